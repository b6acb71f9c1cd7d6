"""Conversion of RibonanzaNet checkpoints of the original and of the package `multimolecule` into ours."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ...tokenization import RnaTokenizerFast
from ...tokenization.alphabets import RIBONANZANET
from ..golden import record_golden
from ..original_checkpoint import read_checkpoint
from . import multimolecule_ribonanzanet as multimolecule
from .configuration_ribonanzanet import RibonanzaNetConfig
from .modeling_ribonanzanet import RibonanzaNetPreTrainedModel
from .original_ribonanzanet import CONFIG_KEYS, HEADS, REQUIRED_CONFIG_KEYS, find_head, key_table


def convert(
    checkpoint: Path,
    output: Path,
    overrides: Mapping[str, Any],
    config: Path | None = None,
    to: str = "rna_hf",
    head: str | None = None,
) -> Path:
    """Convert in either direction; see `RibonanzaNetConversion`, `convert_ribonanzanet` and its counterpart."""
    if to != "original":
        return convert_ribonanzanet(checkpoint, config, output, overrides, head)
    if config or head or overrides:
        raise ValueError("--config, --head and --set don't go with --to original: the checkpoint is written as it is")
    from .convert_ribonanzanet_to_original import convert_ribonanzanet_to_original

    return convert_ribonanzanet_to_original(checkpoint, output)


def convert_ribonanzanet(
    checkpoint: str | Path,
    config: str | Path | None,
    output: str | Path,
    overrides: Mapping[str, Any] | None = None,
    head: str | None = None,
) -> Path:
    """Convert a RibonanzaNet checkpoint of another format into a folder that Auto classes open.

    Args:
        checkpoint: the original's weights, `.pt` or `.safetensors`, bare or under a `model` key; or a folder in the
            format of the package `multimolecule`, with `config.json` and `model.safetensors`.
        config: the original's YAML or JSON configuration, in its words (`ninp`, `nlayers`, ...); None for a folder.
        output: folder to write, which must not exist or be empty.
        overrides: fields of `RibonanzaNetConfig` to set, such as `{"fix_attention_mask": True}`.
        head: of the original's weights, a key of `HEADS`; by default what `find_head` makes of them. None for a
            folder, which says it itself.

    Returns:
        The folder, with config, weights in float32 and tokenizer; it was opened again and gave the same outputs.

    Raises:
        FileNotFoundError: if a file is missing.
        FileExistsError: if the output folder holds something.
        ValueError: if the files are broken, hold code, or don't fit each other. Nothing is written then.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder: name another one")
    if checkpoint.is_dir():
        if config is not None or head is not None:
            raise ValueError(f"{checkpoint} is a folder, which holds its own config and head: leave both out")
        model = _read_multimolecule(checkpoint, overrides or {})
    else:
        model = _read_original(checkpoint, None if config is None else Path(config), overrides or {}, head)
    _write(model.eval(), output)
    return output


def _read_original(
    checkpoint: Path, config: Path | None, overrides: Mapping[str, Any], head: str | None
) -> RibonanzaNetPreTrainedModel:
    weights = read_checkpoint(checkpoint)
    if config is None:
        raise ValueError(
            f"{checkpoint} needs the original's configuration as well: name its YAML or JSON file (--config)"
        )
    columns = len(weights["decoder.weight"]) if "decoder.weight" in weights else None
    if head is None:
        head = find_head(weights, columns)
    if head not in HEADS:
        raise ValueError(f"head {head!r} is unknown: use one of {', '.join(HEADS)}")
    predictor = None
    if head == "3d":
        if "xyz_predictor.weight" in weights:
            # The decoder that the fine-tune inherits is not used by it.
            weights = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}
        elif columns not in (3, None):
            raise ValueError(f"{checkpoint}: the decoder has {columns} columns, but head '3d' has 3 coordinates")
        else:
            predictor = "decoder"  # some fine-tunes put the coordinates there
    model = HEADS[head](read_config(config, weights, overrides, head))
    hint = f"check nlayers, use_triangular_attention and --head ({', '.join(HEADS)})"
    table = key_table(model.config, head, predictor)
    model.load_state_dict(translate(_pad_embedding(weights, checkpoint), model, table, checkpoint, hint))
    return model


def _pad_embedding(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Add the rows of letters that the original never saw (N, <mask>, <bos>, <eos>): they start at zero."""
    if "encoder.weight" not in weights:
        return dict(weights)
    rows, needed = len(weights["encoder.weight"]), RIBONANZANET.vocab_size
    if rows > needed:
        raise ValueError(f"{path}: encoder.weight has {rows} rows, more than the alphabet's {needed}")
    return {**weights, "encoder.weight": nn.functional.pad(weights["encoder.weight"], (0, 0, 0, needed - rows))}


def _read_multimolecule(folder: Path, overrides: Mapping[str, Any]) -> RibonanzaNetPreTrainedModel:
    model_class, fields = multimolecule.read_config(folder)
    model = model_class(build_config(fields, overrides, folder / "config.json"))
    weights = multimolecule.read_weights(read_checkpoint(folder / "model.safetensors"), model)
    model.load_state_dict(translate(weights, model, multimolecule.key_table(model), folder, "check config.json"))
    return model


def read_config(
    path: Path, weights: Mapping[str, Tensor], overrides: Mapping[str, Any], head: str
) -> RibonanzaNetConfig:
    """Build our configuration from the original's file, the sizes of its weights, the user's settings and the head."""
    if not path.is_file():
        raise FileNotFoundError(f"config {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"config {path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"config {path} is not a table of keys and values")
    missing = [key for key in REQUIRED_CONFIG_KEYS if key not in content]
    if missing:
        raise ValueError(f"config {path} lacks {', '.join(missing)}: the original's words are needed")
    fields: dict[str, Any] = {ours: content[key] for key, ours in CONFIG_KEYS.items() if key in content}
    fields |= {"vocab_size": RIBONANZANET.vocab_size, "converted_from": "RibonanzaNet"}

    for key, tensor_name in (("ntoken", "encoder.weight"), ("nclass", "decoder.weight")):
        if key in content and tensor_name in weights and content[key] != weights[tensor_name].shape[0]:
            raise ValueError(
                f"config {path} says {key} {content[key]}, but {tensor_name} has {weights[tensor_name].shape[0]} rows"
            )
    columns = weights["decoder.weight"].shape[0] if "decoder.weight" in weights and head != "3d" else None
    names = "degradation_targets" if head == "degradation" else "channels"
    # Two channels are the original's 2A3 and DMS, five targets those of OpenVaccine, in this order.
    if columns not in (5 if head == "degradation" else 2, None):
        fields[names] = [f"channel_{i + 1}" for i in range(columns)]
    fields["predict_reactivity"] = head == "structure" and columns is not None
    built = build_config(fields, overrides, path)
    named = len(getattr(built, names))
    if columns not in (named, None):
        raise ValueError(f"{named} {names.replace('_', ' ')} are named, but the decoder has {columns} columns")
    return built


def build_config(fields: Mapping[str, Any], overrides: Mapping[str, Any], path: Path) -> RibonanzaNetConfig:
    """Build our configuration from what a file says and the user's settings, which come last."""
    known = {field.name for field in dataclasses.fields(RibonanzaNetConfig)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a field of RibonanzaNetConfig: check the spelling")
    try:
        return RibonanzaNetConfig(**{**fields, **overrides})
    except Exception as error:  # strict dataclasses wrap whatever a validator raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"config {path} describes no valid model: {reason}") from error


def translate(
    weights: Mapping[str, Tensor],
    model: RibonanzaNetPreTrainedModel,
    table: Mapping[str, tuple[str, ...]],
    path: Path,
    hint: str,
) -> dict[str, Tensor]:
    """Rename, join and check another format's tensors so that they fit the model exactly.

    Args:
        weights: the tensors under the other format's names.
        model: with sizes to fit.
        table: each parameter name of the model with the other format's name, or names, for it.
        path: of the checkpoint, for messages.
        hint: what to do where names don't fit.
    """
    nameless = sorted(set(model.state_dict()) - set(table))
    if nameless:
        raise ValueError(f"{path} can't hold what the settings ask for ({_some(nameless)}): leave out such a setting")
    wanted = {original for originals in table.values() for original in originals}
    missing, unexpected = sorted(wanted - set(weights)), sorted(set(weights) - wanted)
    if missing or unexpected:
        parts = []
        if missing:
            parts.append(f"{len(missing)} tensors are missing ({_some(missing)})")
        if unexpected:
            parts.append(f"{len(unexpected)} are not expected ({_some(unexpected)})")
        raise ValueError(f"{path} does not fit its config as {type(model).__name__}: {'; '.join(parts)}; {hint}")
    for ours, tensor in model.state_dict().items():
        needed = (len(tensor) // len(table[ours]), *tensor.shape[1:])
        for original in table[ours]:
            if weights[original].shape != needed:
                raise ValueError(
                    f"{path}: {original} gives shape {tuple(weights[original].shape)}, the config needs {needed}"
                )
    return {ours: torch.cat([weights[original] for original in originals]) for ours, originals in table.items()}


def _some(names: list[str], number: int = 3) -> str:
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


def _write(model: RibonanzaNetPreTrainedModel, output: Path) -> None:
    """Write model and tokenizer into a folder, which appears when it is whole and checked."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "checkpoint"
        model.save_pretrained(folder)
        has_bos, has_eos = (getattr(model.config, f"{role}_token_id") is not None for role in ("bos", "eos"))
        tokenizer = RnaTokenizerFast(alphabet="ribonanzanet", bos_token=has_bos, eos_token=has_eos)
        tokenizer.save_pretrained(folder)
        record_golden(model, tokenizer, folder)
        _check_reload(model, folder)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)


@torch.no_grad()
def _check_reload(model: RibonanzaNetPreTrainedModel, folder: Path) -> None:
    """Open the written folder again and compare outputs with the model in memory, bit by bit."""
    reloaded = type(model).from_pretrained(folder)
    tokenizer = RnaTokenizerFast.from_pretrained(folder)
    batch = tokenizer(["GGGAAACCCUUAGC", "ACGUA"], padding=True, return_tensors="pt")
    ours, theirs = model(**batch), reloaded(**batch)
    if not torch.equal(ours[0], theirs[0]):
        raise RuntimeError(f"the checkpoint written to {folder} gives other outputs when opened again")
