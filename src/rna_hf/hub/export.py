"""`rna-hf export`: a checkpoint as an ONNX file or a program of torch.export, which run without this package."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checkpoints import find_checkpoint
from ..version import __version__
from .loading import load

FILES = {"onnx": "model.onnx", "torch-export": "model.pt2"}
"""What each format writes the model to."""

DESCRIPTION_FILE = "export.json"
INPUTS = ("input_ids", "attention_mask")
TOLERANCE = 1e-5
"""Largest difference to the model, relative to the largest output, or absolute if that is below 1."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")
_NUCLEOTIDES = "ACGU"
# Of ONNX; the first with all that the models need, and the default of the exporter.
_OPSET = 18


class ExportedModel(nn.Module):
    """A model as it is exported: two tensors in, tensors out, in the order of `names`.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.names: tuple[str, ...] = ()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs that are tensors for (B, L) ids and a mask, 0 at padding."""
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask)
        named = {name: value for name, value in outputs.items() if isinstance(value, Tensor)}
        self.names = tuple(named)
        return tuple(named.values())


def export(checkpoint: str | os.PathLike, output: str | os.PathLike, to: str = "onnx", task: str | None = None) -> Path:
    """Write a checkpoint as a program that runs without this package, for any number of sequences of any length.

    The folder gets `model.onnx` or `model.pt2`, the tokenizer's `tokenizer.json`, `config.json` and `export.json`, that
    says what goes in and comes out. The written program is run at four shapes that it was not made from; it has to give
    what the model gives within `TOLERANCE`.

    Args:
        checkpoint: a folder, a name of `rna-hf models`, or an id on the Hub.
        output: folder to write, which must not exist or be empty.
        to: "onnx" (needs the extra `export`) or "torch-export".
        task: for the model with the head of a task; by default the class that the checkpoint was saved from.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        FileExistsError: the output folder holds something.
        ValueError: there is no such format or task, or the model can't be exported.
        ImportError: a package is missing.
        FloatingPointError: the written program gives something else than the model.

    Example:
        >>> export("rna-hf/ribonanzanet-mini", "ribonanzanet-onnx")
        >>> tokenizer = tokenizers.Tokenizer.from_file("ribonanzanet-onnx/tokenizer.json")
        >>> session = onnxruntime.InferenceSession("ribonanzanet-onnx/model.onnx")
        >>> ids = np.array([tokenizer.encode("GGGAAACUUCGGUUUCCC").ids])
        >>> session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    """
    if to not in FILES:
        raise ValueError(f"to must be one of {', '.join(FILES)}, got {to!r}")
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder: name another one")
    _need_packages(to)
    folder = find_checkpoint(checkpoint)
    model, tokenizer = load(folder, task)
    if model.why_not_exported:
        raise ValueError(f"{checkpoint} can't be exported: {model.why_not_exported}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        written = Path(temporary) / "export"
        written.mkdir()
        description = _write(model.requires_grad_(False), tokenizer, written, to)
        for name in _TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copy(folder / name, written / name)
        (written / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        if output.exists():
            output.rmdir()
        shutil.move(written, output)
    return output


def _need_packages(to: str) -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None] if to == "onnx" else []
    if missing:
        raise ImportError(f"export to onnx needs {' and '.join(missing)}: pip install 'rna-hf[export]'")


def _write(model: Any, tokenizer: Any, folder: Path, to: str) -> dict[str, Any]:
    """Write the program, and return its description once it gives what the model gives."""
    wrapped = ExportedModel(model).eval()
    shortest = model.config.min_sequence_length
    example = _batch(tokenizer, 2, max(24, 2 * shortest), shortest, seed=0)
    with torch.no_grad(), _quiet():
        wrapped(*example)
        path = folder / FILES[to]
        try:
            shortest = max(shortest, (_to_onnx if to == "onnx" else _to_program)(wrapped, example, path))
        except Exception as error:  # the exporters raise many kinds, with pages of text
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(f"{type(model).__name__} can't be exported to {to}: {reason[:300]}") from error
        run = _open_onnx(path) if to == "onnx" else _open_program(path)
        for number, (rows, length) in enumerate(check_shapes(shortest), start=1):
            batch = _batch(tokenizer, rows, length, shortest, seed=number)
            _compare(wrapped.names, wrapped(*batch), run(*batch), f"{rows} sequences of {length} nt")
    return {
        "format": to,
        "file": FILES[to],
        "inputs": {name: ["batch", "length"] for name in INPUTS},
        "outputs": list(wrapped.names),
        "model_class": type(model).__name__,
        "min_sequence_length": shortest,
        "same_alone_and_padded": model.config.masks_padding,
        "largest_difference_allowed": TOLERANCE,
        "checked_at": [list(shape) for shape in check_shapes(shortest)],
        "versions": {"rna_hf": __version__, "torch": torch.__version__} | ({"opset": _OPSET} if to == "onnx" else {}),
    }


def check_shapes(shortest: int) -> list[tuple[int, int]]:
    """Return numbers of sequences and their lengths, at which a program is compared with the model."""
    return [(1, max(20, shortest)), (3, max(37, shortest + 13)), (2, 3 * max(24, shortest)), (5, max(12, shortest))]


def _batch(tokenizer: Any, rows: int, length: int, shortest: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask of random RNAs, the last one shorter than the others where the model reads such."""
    letters = np.random.default_rng(seed).choice(list(_NUCLEOTIDES), (rows, length))
    sequences = ["".join(row) for row in letters]
    if rows > 1:
        sequences[-1] = sequences[-1][: max(shortest, length - 7, 1)]
    encoded = tokenizer(sequences, padding=True, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


def _to_onnx(wrapped: ExportedModel, example: tuple[Tensor, Tensor], path: Path) -> int:
    """Write an ONNX file; return the shortest length that it takes."""
    torch.onnx.export(
        wrapped,
        example,
        path,
        dynamo=True,
        dynamic_shapes={name: {0: "batch", 1: "length"} for name in INPUTS},
        input_names=list(INPUTS),
        output_names=list(wrapped.names),
        opset_version=_OPSET,
        external_data=False,
        verbose=False,
    )
    return 1


def _to_program(wrapped: ExportedModel, example: tuple[Tensor, Tensor], path: Path) -> int:
    """Write a program of torch.export; return the shortest length that it takes, which torch finds out itself."""
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: {0: dynamic, 1: dynamic} for name in INPUTS}
    program = torch.export.export(wrapped, example, dynamic_shapes=shapes)
    torch.export.save(program, path)
    ids = next(node for node in program.graph.nodes if node.name == INPUTS[0])
    return int(program.range_constraints[ids.meta["val"].shape[1].node.expr].lower)


def _open_onnx(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*batch: Tensor) -> list[np.ndarray]:
        return session.run(None, {name: part.numpy() for name, part in zip(INPUTS, batch)})

    return run


def _open_program(path: Path) -> Any:
    module = torch.export.load(path).module()

    def run(*batch: Tensor) -> list[np.ndarray]:
        return [part.numpy() for part in module(*batch)]

    return run


def _compare(names: tuple[str, ...], expected: tuple[Tensor, ...], found: list[np.ndarray], where: str) -> None:
    for name, known, values in zip(names, expected, found, strict=True):
        right = known.float().numpy()
        allowed = TOLERANCE * max(1.0, float(np.abs(right).max()))
        distance = float(np.abs(right - values).max()) if right.shape == values.shape else np.inf
        if not distance <= allowed:
            raise FloatingPointError(
                f"the exported program gives another {name} than the model for {where}: it differs by {distance:.1e}, "
                f"{allowed:.1e} is allowed; nothing was written"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporters say of their own parts to themselves."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
