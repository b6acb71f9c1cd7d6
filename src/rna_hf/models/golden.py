"""A golden output beside a checkpoint's weights, and the check that a model which was loaded gives it again.

Weights that are not found are left at random without an error, and a configuration, a rename or another version of
transformers can change what the same file computes. `golden.json` holds what two short sequences, padded to one batch,
gave when the checkpoint was written: the states of the base model, which every class reads, and the outputs of the
class that it was saved from. With `RNA_HF_CHECK=1` in the environment, `from_pretrained` computes them again and
refuses a model that gives something else.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic_files import replace_text
from ..version import __version__
from .base import GOLDEN_FILE

CHECK_VARIABLE = "RNA_HF_CHECK"

# Relative to the range of an output. Another CPU, library or number of threads adds up in another order: one or two
# threads changed the outputs of the shipped checkpoints by at most 1e-6; other machines get a hundred times that.
TOLERANCE = 1e-4
# For bfloat16, and, not measured, for float16, quantised weights and the shortened products of a GPU. bfloat16 changed
# outputs of the shipped checkpoints by up to 1e-2, weights left at random by 4e-1 and more. A change of few weights may
# be smaller than this: it is seen in float32 on a CPU alone.
COARSE_TOLERANCE = 0.05
# An output that hardly varies is compared within this part of its size instead, far above the rounding of float32.
LEAST_RANGE = 1e-2

# A hairpin with each of the nucleotides. Its first part beside it makes a padded batch, which shows what padding does.
SEQUENCE = "GGGAAACGCUUCGGCGUAAACCC"
LONGER, SHORTER = 23, 13
NUM_VALUES = 48
# What a configuration says beside how the model computes.
UNCOMPARED_FIELDS = {"_name_or_path", "architectures", "auto_map", "dtype", "transformers_version", "use_cache"}


def golden_path(folder: Path) -> Path:
    """Return where a checkpoint's golden output lies."""
    return folder / GOLDEN_FILE


def record_golden(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Write what a model gives for two short sequences into the folder that it was saved to.

    Args:
        model: in float32, on the CPU.
        tokenizer: of the same folder.
        folder: with `config.json` and the weights' files.

    Raises:
        ValueError: the model gives values that are not finite.
    """
    sequences = golden_sequences(model.config)
    batch = tokenizer(sequences, padding=True)
    content: dict[str, Any] = {
        "sequences": sequences,
        "input_ids": [list(row) for row in batch["input_ids"]],
        "attention_mask": [list(row) for row in batch["attention_mask"]],
        "tolerance": TOLERANCE,
        "model_class": type(model).__name__,
        "config": saved_fields(folder),
        "weights_sha256": hash_weights(folder),
        "versions": {"rna_hf": __version__, "torch": torch.__version__, "transformers": _transformers_version()},
    }
    content["states"], content["outputs"] = compute_golden(model, content)
    for name, one in {**content["states"], **content["outputs"]}.items():
        if not all(map(math.isfinite, (*one["values"], *one["range"]))):
            raise ValueError(f"{folder}: {name} of the model is not finite; look for NaN in the weights")
    replace_text(golden_path(folder), _layout(content))
    return golden_path(folder)


def read_golden(path: Path) -> dict[str, Any]:
    """Read a golden output.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = {"input_ids", "attention_mask", "tolerance", "model_class", "states", "outputs"} - set(content)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} can't be read as a golden output ({error})") from error
    if missing:
        raise ValueError(f"{path} is no golden output: {', '.join(sorted(missing))} are missing")
    return content


def golden_sequences(config: Any) -> list[str]:
    """Return two sequences of different lengths that a model can read."""
    shortest = config.min_sequence_length
    lengths = (LONGER, SHORTER) if shortest <= SHORTER else (2 * shortest, shortest)
    return [(SEQUENCE * math.ceil(length / len(SEQUENCE)))[:length] for length in lengths]


def saved_fields(folder: Path) -> dict[str, Any]:
    """Return what `config.json` says of how the model computes."""
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {name: value for name, value in saved.items() if name not in UNCOMPARED_FIELDS}


def hash_weights(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of weights."""
    digests = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


@torch.no_grad()
def compute_golden(model: Any, golden: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return summaries of the base model's states and of the model's own outputs, by name.

    Args:
        model: in evaluation mode.
        golden: with `input_ids` and `attention_mask`, (2, L) each.
    """
    ids, mask = (torch.tensor(golden[name], device=model.device) for name in ("input_ids", "attention_mask"))
    base = model.base_model
    # The last pair state comes only when asked for, and some weights are used by nothing else.
    states = base(input_ids=ids, attention_mask=mask, **_understood(base, output_last_pair_state=True))
    # Coordinates found step by step take seconds, and say no more than the distances that they are found from.
    outputs = (
        {}
        if base is model
        else model(input_ids=ids, attention_mask=mask, **_understood(model, output_coordinates=False))
    )
    ignored = set(getattr(model.config, "keys_to_ignore_at_inference", None) or ())
    kept = {name: value for name, value in outputs.items() if name not in ignored}
    return dict(_summaries(states, mask)), dict(_summaries(kept, mask))


def _understood(model: Any, **arguments: Any) -> dict[str, Any]:
    """Keep the arguments that a model's `forward` names."""
    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


def _summaries(outputs: Mapping[str, Any], mask: Tensor) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in outputs.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            yield name, _summary(value.float().cpu(), mask.cpu())


def _summary(values: Tensor, mask: Tensor) -> dict[str, Any]:
    """Keep a fixed number of values, evenly spread, without those of padding."""
    parts = []
    for row, keep in zip(values, mask != 0):
        for axis, size in enumerate(row.shape):
            if size == len(keep):
                row = row.index_select(axis, keep.nonzero()[:, 0])
        parts.append(row.flatten())
    flat = torch.cat(parts)
    chosen = flat[torch.linspace(0, len(flat) - 1, min(NUM_VALUES, len(flat))).round().long()]
    low_and_high = [_short(flat.min().item()), _short(flat.max().item())]
    return {"shape": list(values.shape), "range": low_and_high, "values": [_short(x) for x in chosen.tolist()]}


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def distance(golden: Mapping[str, Any], computed: Mapping[str, Any]) -> float:
    """Return the largest difference of two summaries, relative to the range of the golden one; inf if NaN."""
    if golden["shape"] != computed["shape"] or len(golden["values"]) != len(computed["values"]):
        return math.inf
    low, high = golden["range"]
    scale = max(high - low, LEAST_RANGE * max(abs(low), abs(high)), torch.finfo(torch.float32).tiny)
    pairs = zip((*golden["values"], low, high), (*computed["values"], *computed["range"]))
    distances = [abs(a - b) / scale for a, b in pairs]
    return max(distances) if all(map(math.isfinite, distances)) else math.inf


def tolerance_for(model: Any, golden: Mapping[str, Any]) -> float:
    """Return the tolerance for a model as it was loaded: that of the file in float32 on the CPU, else a coarse one."""
    is_exact = model.dtype == torch.float32 and model.device.type == "cpu" and not hasattr(model, "hf_quantizer")
    return float(golden["tolerance"]) if is_exact else COARSE_TOLERANCE


def compare_outputs(model: Any, golden: Mapping[str, Any], new_head: bool = False) -> dict[str, float]:
    """Return how far each output of a model is from the golden one, see `distance`.

    Args:
        model: any class of the checkpoint's architecture; what only the saved class gives is compared for that alone.
        golden: from `read_golden`.
        new_head: whether the head was to begin anew, so that outputs of another shape are right.
    """
    states, outputs = compute_golden(model, golden)
    found = {
        name: distance(one, states[name]) if name in states else math.inf for name, one in golden["states"].items()
    }
    if type(model).__name__ != golden["model_class"]:
        return found
    shapes_differ = any(one["shape"] != outputs.get(name, one)["shape"] for name, one in golden["outputs"].items())
    if new_head and shapes_differ:
        return found
    compared = golden["outputs"].items()
    return found | {name: distance(one, outputs[name]) if name in outputs else math.inf for name, one in compared}


def check_model(model: Any, golden: Mapping[str, Any], name: str, missing: set[str], new_head: bool = False) -> None:
    """Refuse a model that does not give the golden output.

    Args:
        model: in evaluation mode.
        golden: from `read_golden`.
        name: of the checkpoint, for the message.
        missing: weights that were not found.
        new_head: see `compare_outputs`.

    Raises:
        ValueError: it gives something else.
    """
    allowed = tolerance_for(model, golden)
    far = {key: value for key, value in compare_outputs(model, golden, new_head).items() if not value <= allowed}
    if far:
        raise ValueError(f"{name} as loaded {explain_distances(far, allowed)}{explain_missing(missing)}")


def explain_distances(far: Mapping[str, float], allowed: float) -> str:
    """Say which outputs are how far off."""
    shown = ", ".join(
        f"{key} by {value:.2g}" if math.isfinite(value) else f"{key} wholly" for key, value in far.items()
    )
    return f"does not give its golden output: {shown} of its range, {allowed:g} is allowed"


def explain_missing(missing: set[str]) -> str:
    """Say which weights are random, as the end of a sentence."""
    if not missing:
        return ""
    names = sorted(missing)
    return f"; not found, and left at random: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _transformers_version() -> str:
    import transformers

    return transformers.__version__


def _layout(content: Mapping[str, Any]) -> str:
    """Write each field and each output on a line of its own."""
    lines = []
    for name, value in content.items():
        if name in ("states", "outputs"):
            inner = ",\n".join(f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in value.items())
            lines.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
