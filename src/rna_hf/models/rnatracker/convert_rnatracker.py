"""Conversion of checkpoints of the original RNATracker into ours.

Source: the PyTorch re-implementation brianchiu123/RNATracker. Its words appear in this file only.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...tokenization import KEPT_ENDS, RnaTokenizerFast
from ..golden import record_golden
from ..original_checkpoint import read_checkpoint
from .configuration_rnatracker import NUM_CHANNELS, RnaTrackerConfig
from .modeling_rnatracker import RnaTrackerForLocalisation

# Our parameter names -> the original's.
KEY_TABLE = {
    "model.blocks.0.conv.weight": "conv_block1.0.weight",
    "model.blocks.1.conv.weight": "conv_block2.0.weight",
    "model.attention.proj.weight": "attention.attention_w.weight",
    "model.attention.proj.bias": "attention.attention_w.bias",
    "model.attention.score.weight": "attention.attention_w2.weight",
    "localisation_head.weight": "output.weight",
    "localisation_head.bias": "output.bias",
    **{
        f"model.{ours}.{name}_l0": f"gru.{name}_l0{direction}"
        for ours, direction in (("forward_gru", ""), ("backward_gru", "_reverse"))
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
}


def convert(checkpoint: Path, output: Path, overrides: Mapping[str, Any], **options: Any) -> Path:
    """Convert a checkpoint; see `RnaTrackerConversion` and `convert_rnatracker`."""
    return convert_rnatracker(checkpoint, output, overrides, **options)


def convert_rnatracker(
    checkpoint: str | Path,
    output: str | Path,
    overrides: Mapping[str, Any] | None = None,
    keep: str = "5prime",
    max_length: int = 4000,
) -> Path:
    """Convert a checkpoint of the original RNATracker into a folder that Auto classes open.

    The model reads padding as the original does (`mask_padding=False`) unless `overrides` say otherwise: with
    `tokenizer(sequences, padding="max_length", truncation=True, return_tensors="pt")` it gives the original's
    predictions at a fixed length, and without padding those at full length.

    Args:
        checkpoint: the original's weights, `.pt` or `.safetensors`, bare or under a `model` key.
        output: folder to write, which must not exist or be empty.
        overrides: fields of `RnaTrackerConfig` to set, such as `{"mask_padding": True}`.
        keep: the end of longer sequences that the tokenizer keeps where it truncates, "5prime" as the original, or
            "3prime".
        max_length: the tokenizer's `model_max_length`, nucleotides.

    Returns:
        The folder, with config, weights in float32 and tokenizer; it was opened again and gave the same outputs.

    Raises:
        FileNotFoundError: if the file is missing.
        FileExistsError: if the output folder holds something.
        ValueError: if the file is broken, holds code, or is not an RNATracker's. Nothing is written then.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder: name another one")
    if keep not in KEPT_ENDS:
        raise ValueError(f"keep is {keep!r}: choose one of {', '.join(KEPT_ENDS)}")
    weights = read_checkpoint(checkpoint)
    _check_names(weights, checkpoint)
    model = RnaTrackerForLocalisation(_build_config(weights, overrides or {}, checkpoint))
    if max_length < model.config.min_sequence_length:
        raise ValueError(
            f"max_length is {max_length}: the model reads no less than {model.config.min_sequence_length} nucleotides"
        )
    model.load_state_dict(_translate(weights, model, checkpoint))
    tokenizer = RnaTokenizerFast(alphabet="rnatracker", truncation_side=KEPT_ENDS[keep], model_max_length=max_length)
    _write(model.eval(), tokenizer, output)
    return output


def _check_names(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a checkpoint that has other tensors than the original's."""
    wanted = set(KEY_TABLE.values())
    missing, unexpected = sorted(wanted - set(weights)), sorted(set(weights) - wanted)
    if missing or unexpected:
        parts = []
        if missing:
            parts.append(f"{len(missing)} tensors are missing ({_some(missing)})")
        if unexpected:
            parts.append(f"{len(unexpected)} are not expected ({_some(unexpected)})")
        raise ValueError(f"{path} is no RNATracker checkpoint: {'; '.join(parts)}; check which model it is of")


def _some(names: list[str], number: int = 3) -> str:
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


def _build_config(weights: Mapping[str, Tensor], overrides: Mapping[str, Any], path: Path) -> RnaTrackerConfig:
    """Build our configuration from the sizes of the weights and the user's settings, which come last."""
    known = {field.name for field in dataclasses.fields(RnaTrackerConfig)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a field of RnaTrackerConfig: check the spelling")
    conv = weights["conv_block1.0.weight"]
    if conv.dim() != 3 or conv.shape[1] != NUM_CHANNELS:
        raise ValueError(
            f"{path}: conv_block1.0.weight has shape {tuple(conv.shape)}, but (channels, {NUM_CHANNELS}, kernel) is "
            "needed, one input channel for each of G, A, T and C"
        )
    fields: dict[str, Any] = {
        "hidden_size": conv.shape[0],
        "kernel_size": conv.shape[2],
        "gru_hidden_size": weights["gru.weight_hh_l0"].shape[-1],
        "attention_size": len(weights["attention.attention_w.bias"]),
        "mask_padding": False,
        "converted_from": "RNATracker",
    }
    rows = len(weights["output.bias"])
    if rows != len(RnaTrackerConfig().compartments):
        fields["compartments"] = [f"compartment_{i + 1}" for i in range(rows)]
    try:
        config = RnaTrackerConfig(**{**fields, **overrides})
    except Exception as error:  # strict dataclasses wrap whatever a validator raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"{path} and the settings describe no valid model: {reason}") from error
    if len(config.compartments) != rows:
        raise ValueError(f"{len(config.compartments)} compartments are named, but the output has {rows} rows")
    return config


def _translate(weights: Mapping[str, Tensor], model: RnaTrackerForLocalisation, path: Path) -> dict[str, Tensor]:
    """Rename the original's tensors and check that they fit the model exactly."""
    state = model.state_dict()
    if set(state) != set(KEY_TABLE):
        raise ValueError(f"{path} has two convolutions, and the settings ask for another number: leave that out")
    for ours, original in KEY_TABLE.items():
        if weights[original].shape != state[ours].shape:
            raise ValueError(
                f"{path}: {original} has shape {tuple(weights[original].shape)}, the config needs "
                f"{tuple(state[ours].shape)}"
            )
    return {ours: weights[original] for ours, original in KEY_TABLE.items()}


def _write(model: RnaTrackerForLocalisation, tokenizer: RnaTokenizerFast, output: Path) -> None:
    """Write model and tokenizer into a folder, which appears when it is whole and checked."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "checkpoint"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        record_golden(model, tokenizer, folder)
        _check_reload(model, folder)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)


@torch.no_grad()
def _check_reload(model: RnaTrackerForLocalisation, folder: Path) -> None:
    """Open the written folder again and compare outputs with the model in memory, bit by bit."""
    reloaded = RnaTrackerForLocalisation.from_pretrained(folder)
    tokenizer = RnaTokenizerFast.from_pretrained(folder)
    shortest = model.config.min_sequence_length
    batch = tokenizer(["GGGAAACCCUUAGC" * shortest, "ACGUA" * shortest], padding=True, return_tensors="pt")
    ours, theirs = model(**batch), reloaded(**batch)
    if not torch.equal(ours[0], theirs[0]):
        raise RuntimeError(f"the checkpoint written to {folder} gives other outputs when opened again")
