"""Conversion of our RibonanzaNet checkpoints into the original's format."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from .configuration_ribonanzanet import RibonanzaNetConfig
from .modeling_ribonanzanet import RibonanzaNetPreTrainedModel
from .original_ribonanzanet import CONFIG_KEYS, EMBEDDING_ROWS, HEADS, key_table


def convert_ribonanzanet_to_original(checkpoint: str | Path, output: str | Path) -> Path:
    """Write a checkpoint of ours as a file that the original's code opens.

    The original reads padded batches in its own way, whatever `fix_attention_mask` says; a sequence alone gives the
    same values in both. It has no letters but A, C, G and U: the other rows of the embedding are left out. Beside the
    predictors of "structure" and "3d" its classes have a `decoder` in any case; ours may have none for it, and then
    the file opens with `strict=False`.

    Args:
        checkpoint: folder with config and weights, as `save_pretrained` writes it.
        output: the file to write, `.pt`: a bare state dict in float32 under the original's names, which
            `torch.load(output, weights_only=True)` opens. Its YAML configuration is written beside it, with the
            ending `.yaml`. Neither file may exist.

    Returns:
        The `.pt` file; it was opened again and held the same tensors.

    Raises:
        FileNotFoundError: if the folder or a file in it is missing.
        FileExistsError: if one of the two files exists.
        ValueError: if the output doesn't end in `.pt`, or the original has no such model or head. Nothing is written
            then.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.suffix != ".pt":
        raise ValueError(f"{output} does not end in .pt, as the original's checkpoints do")
    config_file = output.with_suffix(".yaml")
    for path in (output, config_file):
        if path.exists():
            raise FileExistsError(f"{path} exists: name another output")
    model, head = _open(checkpoint)
    _check_is_possible(model.config, head, checkpoint)
    weights = _translate(model, head)

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary)
        torch.save(weights, folder / output.name)
        content = _original_config(model.config, weights)
        (folder / config_file.name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        reopened = torch.load(folder / output.name, weights_only=True)
        if not all(torch.equal(reopened[name], tensor) for name, tensor in weights.items()):
            raise RuntimeError(f"{output} holds other tensors when opened again")
        # The checkpoint comes last: where it is, its configuration is too.
        for path in (config_file, output):
            os.replace(folder / path.name, path)
    return output


def _open(folder: Path) -> tuple[RibonanzaNetPreTrainedModel, str]:
    """Open our checkpoint, whole, in float32, and tell its head."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is no checkpoint folder: config.json is missing")
    content, _ = RibonanzaNetConfig.get_config_dict(folder)
    if content.get("model_type") != "ribonanzanet" or "pair_hidden_size" not in content:
        raise ValueError(f"{folder} is no RibonanzaNet checkpoint of rna_hf: convert it into one first")
    heads = {model_class.__name__: head for head, model_class in HEADS.items()}
    name = (content.get("architectures") or [None])[0]
    if name not in heads:
        raise ValueError(f"{folder} holds the class {name}, which the original has not: only {', '.join(heads)}")
    opened: Any = HEADS[heads[name]].from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, report = opened
    if report["missing_keys"]:
        raise ValueError(f"{folder} lacks weights: {', '.join(sorted(report['missing_keys'])[:3])}")
    return model, heads[name]


def _check_is_possible(config: RibonanzaNetConfig, head: str, folder: Path) -> None:
    """Refuse a configuration whose values the original would not compute."""
    fixed: dict[str, Any] = {
        "intermediate_size": 4 * config.hidden_size,
        "outer_product_size": 32,
        "max_relative_position": 8,
        "fix_attention_residual": False,
        "pad_token_id": 4,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if config.use_triangular_attention:
        fixed["num_triangle_attention_heads"] = 4
    if head == "3d":
        fixed["coordinate_head"] = "sequence"
    for name, value in fixed.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{folder} has {name} {getattr(config, name)!r}: the original has {value!r} always, so it can't hold "
                "this model"
            )


def _translate(model: RibonanzaNetPreTrainedModel, head: str) -> dict[str, Tensor]:
    """Rename and part our tensors; each is a copy of its own, since torch.save writes what a view is a view of."""
    state = model.state_dict()
    weights = {}
    for ours, originals in key_table(model.config, head).items():
        tensor = state[ours][:EMBEDDING_ROWS] if ours.endswith("embed_tokens.weight") else state[ours]
        for original, part in zip(originals, tensor.chunk(len(originals)), strict=True):
            weights[original] = part.clone()
    return weights


def _original_config(config: RibonanzaNetConfig, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return the configuration in the original's words."""
    classes = len(weights["decoder.weight"]) if "decoder.weight" in weights else len(config.channels)
    sizes = {original: getattr(config, ours) for original, ours in CONFIG_KEYS.items()}
    return sizes | {"ntoken": EMBEDDING_ROWS, "nclass": classes}
