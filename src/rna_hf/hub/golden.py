"""Writes and checks the golden output of a checkpoint folder; see `rna_hf.models.golden` for what it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ..models.golden import (
    CHECK_VARIABLE,
    compare_outputs,
    explain_distances,
    explain_missing,
    golden_path,
    hash_weights,
    read_golden,
    record_golden,
    saved_fields,
    tolerance_for,
)
from ..models.registry import ARCHITECTURES


class Finding(NamedTuple):
    """What one comparison gave.

    Attributes:
        what: was compared.
        holds: whether it is as recorded.
        detail: how it was compared, or how it differs.
    """

    what: str
    holds: bool
    detail: str


def write_golden(folder: str | Path) -> Path:
    """Compute the golden output of a checkpoint folder and write it to `golden.json` there.

    Returns:
        The path of the written file.

    Raises:
        FileNotFoundError: it is no checkpoint folder.
        ValueError: the checkpoint can't be opened, lacks weights or gives values that are not finite.
    """
    folder = Path(folder)
    model, missing = _open_model(folder)
    if missing:
        raise ValueError(f"{folder} lacks weights of {type(model).__name__}{explain_missing(missing)}")
    return record_golden(model, _open_tokenizer(folder), folder)


def check_golden(folder: str | Path) -> list[Finding]:
    """Compare a checkpoint folder with its golden output: weights, configuration, tokenizer and what the model gives.

    Returns:
        What was compared.

    Raises:
        FileNotFoundError: it is no checkpoint folder, or has no golden output.
        ValueError: something differs; one line says what.
    """
    findings = list(compare_golden(folder))
    wrong = [f"{finding.what}: {finding.detail}" for finding in findings if not finding.holds]
    if wrong:
        raise ValueError(f"{folder} is not what its golden output was made with; {'; '.join(wrong)}")
    return findings


def compare_golden(folder: str | Path) -> Iterator[Finding]:
    """Compare as `check_golden`, and give each finding whether or not it holds."""
    folder = Path(folder)
    path = golden_path(folder)
    if not path.is_file():
        _find_class(folder)
        raise FileNotFoundError(f"{folder} has no {path.name}: write one with `rna-hf check {folder} --write`")
    golden = read_golden(path)
    yield _compare_weights(folder, golden)
    yield _compare_config(folder, golden)
    try:
        tokenizer = _open_tokenizer(folder)
        batch = tokenizer(golden["sequences"], padding=True)
        same = all([list(row) for row in batch[name]] == golden[name] for name in ("input_ids", "attention_mask"))
        detail = "gives the same ids" if same else f"gives other ids for {golden['sequences'][0]}"
        yield Finding("tokenizer", same, detail)
    except ValueError as error:
        yield Finding("tokenizer", False, f"refuses the golden sequences ({_first_line(error)})")
    model, missing = _open_model(folder)
    allowed = tolerance_for(model, golden)
    distances = compare_outputs(model, golden)
    far = {name: value for name, value in distances.items() if not value <= allowed}
    if type(model).__name__ != golden["model_class"]:
        yield Finding("model", False, f"is a {type(model).__name__}, was a {golden['model_class']}")
    elif far or missing:
        explained = explain_distances(far, allowed) if far else "lacks weights"
        yield Finding("model", False, explained + explain_missing(missing))
    else:
        largest = max(distances.values())
        yield Finding(
            "model",
            True,
            f"{', '.join(distances)} differ by at most {largest:.1g} of their range ({allowed:g} allowed)",
        )


def _compare_weights(folder: Path, golden: dict[str, Any]) -> Finding:
    recorded, present = golden.get("weights_sha256", {}), hash_weights(folder)
    names = sorted(set(recorded) | set(present))
    other = [name for name in names if recorded.get(name) != present.get(name)]
    if other:
        states = [f"{name} {'is another file' if name in present else 'is missing'}" for name in other]
        return Finding("weights", False, f"{', '.join(states)}; after a change on purpose, use --write")
    return Finding("weights", True, f"{', '.join(names)} by SHA-256")


def _compare_config(folder: Path, golden: dict[str, Any]) -> Finding:
    recorded, present = golden.get("config", {}), saved_fields(folder)
    other = [name for name in sorted(set(recorded) | set(present)) if recorded.get(name) != present.get(name)]
    if other:
        states = [f"{name} is {present.get(name)!r}, was {recorded.get(name)!r}" for name in other]
        return Finding("configuration", False, ", ".join(states[:3]) + (", ..." if len(states) > 3 else ""))
    return Finding("configuration", True, f"{len(recorded)} fields")


def _find_class(folder: Path) -> Any:
    """Return the class that a folder's model was saved from."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is not a checkpoint: it holds no config.json")
    try:
        saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_type, names = saved.get("model_type"), saved.get("architectures") or []
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder}: config.json is not readable JSON ({error})") from error
    if model_type not in ARCHITECTURES:
        raise ValueError(f"{folder}: model_type {model_type!r} is none of {', '.join(ARCHITECTURES)}")
    module = import_module(ARCHITECTURES[model_type].module)
    if not names or not hasattr(module, names[0]):
        raise ValueError(f"{folder}: config.json names no class of {model_type} under `architectures`")
    return getattr(module, names[0])


def _open_model(folder: Path) -> tuple[Any, set[str]]:
    """Open a model in float32 on the CPU, and return it with the names of the weights that were not found."""
    import torch

    model_class = _find_class(folder)
    try:
        with _unchecked():
            model, info = model_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # of transformers, safetensors or a validator
        raise ValueError(f"{folder} can't be opened as {model_class.__name__}: {_first_line(error)}") from error
    return model.eval(), set(info["missing_keys"])


def _open_tokenizer(folder: Path) -> Any:
    from ..tokenization import RnaTokenizerFast

    try:
        return RnaTokenizerFast.from_pretrained(folder)
    except Exception as error:  # as above
        raise ValueError(f"the tokenizer of {folder} can't be opened: {_first_line(error)}") from error


@contextmanager
def _unchecked() -> Iterator[None]:
    """Load without the check on loading: what is opened here is being checked, or is yet to be."""
    before = os.environ.pop(CHECK_VARIABLE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[CHECK_VARIABLE] = before


def _first_line(error: BaseException) -> str:
    return (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
