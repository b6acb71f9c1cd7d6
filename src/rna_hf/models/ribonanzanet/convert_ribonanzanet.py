"""Conversion of the original RibonanzaNet checkpoints.

The original's words for sizes and parameters appear in this file only.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...tokenization import RnaTokenizerFast
from .configuration_ribonanzanet import RibonanzaNetConfig
from .modeling_ribonanzanet import (
    RibonanzaNetForDegradation,
    RibonanzaNetForReactivity,
    RibonanzaNetForSecondaryStructure,
    RibonanzaNetForSequenceDropout,
    RibonanzaNetForTertiaryStructure,
    RibonanzaNetModel,
    RibonanzaNetPreTrainedModel,
)

# The original's configuration key -> ours. Keys of its training recipe have no effect on the model.
CONFIG_KEYS = {
    "ninp": "hidden_size",
    "nlayers": "num_hidden_layers",
    "nhead": "num_attention_heads",
    "pairwise_dimension": "pair_hidden_size",
    "k": "kernel_size",
    "dropout": "hidden_dropout",
    "use_triangular_attention": "use_triangular_attention",
}
REQUIRED_CONFIG_KEYS = ("ninp", "nlayers", "nhead", "pairwise_dimension", "k")

HEADS: dict[str, type[RibonanzaNetPreTrainedModel]] = {
    "reactivity": RibonanzaNetForReactivity,
    "degradation": RibonanzaNetForDegradation,
    "dropout": RibonanzaNetForSequenceDropout,
    "structure": RibonanzaNetForSecondaryStructure,
    "3d": RibonanzaNetForTertiaryStructure,
    "none": RibonanzaNetModel,
}
"""What `--head` can name."""

# Heads that a fine-tuned original has beside the decoder of the model that it inherits from.
OWN_PREDICTORS = {"structure": "ct_predictor", "3d": "xyz_predictor"}

VOCABULARY_SIZE = 9
"""Rows of the `ribonanzanet` alphabet; the original has the first five."""

# Parameter names, ours -> the original's. `{}` stands for the layer's number. Where several of the original's tensors
# are named, ours is their concatenation along the first axis.
TRIANGLE_PARTS = ("left_proj", "right_proj", "left_gate", "right_gate", "out_gate")
TRIANGLE_UPDATES = {"triangle_outgoing": "triangle_update_out", "triangle_ingoing": "triangle_update_in"}
TRIANGLE_ATTENTIONS = {
    "triangle_row_attention": "triangle_attention_out",
    "triangle_column_attention": "triangle_attention_in",
}


def _both(ours: str, *originals: str) -> dict[str, tuple[str, ...]]:
    """Name the weight and the bias of a module at once."""
    return {f"{ours}.{kind}": tuple(f"{original}.{kind}" for original in originals) for kind in ("weight", "bias")}


def _outer_product_keys(ours: str, original: str) -> dict[str, tuple[str, ...]]:
    return {
        **_both(f"{ours}.down_proj", f"{original}.proj_down1"),
        f"{ours}.weight": (f"{original}.proj_down2.weight",),
        f"{ours}.bias": (f"{original}.proj_down2.bias",),
    }


def _layer_keys(use_triangular_attention: bool) -> dict[str, tuple[str, ...]]:
    keys = {
        **_both("conv", "conv"),
        **_both("conv_norm", "norm3"),
        **_both("pair_norm", "pairwise_norm"),
        "pair_bias_proj.weight": ("pairwise2heads.weight",),
        "attention.q_proj.weight": ("self_attn.w_qs.weight",),
        "attention.k_proj.weight": ("self_attn.w_ks.weight",),
        "attention.v_proj.weight": ("self_attn.w_vs.weight",),
        "attention.out_proj.weight": ("self_attn.fc.weight",),
        **_both("attention.norm", "self_attn.layer_norm"),
        **_both("attention_norm", "norm1"),
        **_both("up_proj", "linear1"),
        **_both("down_proj", "linear2"),
        **_both("feed_forward_norm", "norm2"),
        **_outer_product_keys("pair_update.outer_product", "outer_product_mean"),
        **_both("pair_update.transition.norm", "pair_transition.0"),
        **_both("pair_update.transition.up_proj", "pair_transition.1"),
        **_both("pair_update.transition.down_proj", "pair_transition.3"),
    }
    for ours, original in TRIANGLE_UPDATES.items():
        keys |= _both(f"pair_update.{ours}.norm", f"{original}.norm")
        keys |= _both(f"pair_update.{ours}.in_proj", *(f"{original}.{part}" for part in TRIANGLE_PARTS))
        keys |= _both(f"pair_update.{ours}.out_norm", f"{original}.to_out_norm")
        keys |= _both(f"pair_update.{ours}.out_proj", f"{original}.to_out")
    if use_triangular_attention:
        for ours, original in TRIANGLE_ATTENTIONS.items():
            keys |= _both(f"pair_update.{ours}.norm", f"{original}.norm")
            keys[f"pair_update.{ours}.qkv_proj.weight"] = (f"{original}.to_qkv.weight",)
            keys[f"pair_update.{ours}.bias_proj.weight"] = (f"{original}.linear_for_pair.weight",)
            keys |= _both(f"pair_update.{ours}.gate_proj", f"{original}.to_gate.0")
            keys |= _both(f"pair_update.{ours}.out_proj", f"{original}.to_out")
    return keys


def find_head(weights: Collection[str], columns: int | None) -> str:
    """Tell which head a checkpoint of the original has, where its names and sizes say so.

    Args:
        weights: names of its tensors.
        columns: of its decoder; None without one.

    Returns:
        A key of `HEADS`; "reactivity" for a decoder that could also be for read counts or coordinates.
    """
    for head, predictor in OWN_PREDICTORS.items():
        if f"{predictor}.weight" in weights:
            return head
    if columns is None:
        return "none"
    return "degradation" if columns == 5 else "reactivity"


def key_table(
    config: RibonanzaNetConfig, head: str = "reactivity", predictor: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Return each parameter name of the model with the original's name, or names, for it.

    Args:
        config: of the model.
        head: a key of `HEADS`.
        predictor: the original's name of the head; by default what its fine-tune has.
    """
    table = {
        "embed_tokens.weight": ("encoder.weight",),
        **_outer_product_keys("outer_product", "outer_product_mean"),
        **_both("relative_position.linear", "pos_encoder.linear"),
    }
    layer_keys = _layer_keys(config.use_triangular_attention)
    for layer in range(config.num_hidden_layers):
        for ours, originals in layer_keys.items():
            table[f"layers.{layer}.{ours}"] = tuple(f"transformer_encoder.{layer}.{o}" for o in originals)
    if head == "none":
        return table
    table = {f"model.{ours}": originals for ours, originals in table.items()}
    if head == "structure" and config.predict_reactivity:
        table |= _both("reactivity_head", "decoder")
    return table | _both("head", predictor or OWN_PREDICTORS.get(head, "decoder"))


def convert_ribonanzanet(
    checkpoint: str | Path,
    config: str | Path,
    output: str | Path,
    overrides: Mapping[str, Any] | None = None,
    head: str | None = None,
) -> Path:
    """Convert an original RibonanzaNet checkpoint into a folder that Auto classes open.

    Args:
        checkpoint: the original's weights, `.pt` or `.safetensors`, bare or under a `model` key.
        config: its YAML or JSON configuration, in the original's words (`ninp`, `nlayers`, ...).
        output: folder to write, which must not exist or be empty.
        overrides: fields of `RibonanzaNetConfig` to set, such as `{"fix_attention_mask": True}`.
        head: a key of `HEADS`; by default what `find_head` makes of the checkpoint.

    Returns:
        The folder, with config, weights in float32 and tokenizer; it was opened again and gave the same outputs.

    Raises:
        FileNotFoundError: if a file is missing.
        FileExistsError: if the output folder holds something.
        ValueError: if the files are broken, hold code, or don't fit each other. Nothing is written then.
    """
    checkpoint, config, output = Path(checkpoint), Path(config), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder: name another one")
    weights = read_checkpoint(checkpoint)
    columns = len(weights["decoder.weight"]) if "decoder.weight" in weights else None
    if head is None:
        head = find_head(weights, columns)
    if head not in HEADS:
        raise ValueError(f"head {head!r} is unknown: use one of {', '.join(HEADS)}")
    if head == "3d":
        if "xyz_predictor.weight" in weights:
            # The decoder that the fine-tune inherits is not used by it.
            weights = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}
        elif columns not in (3, None):
            raise ValueError(f"{checkpoint}: the decoder has {columns} columns, but head '3d' has 3 coordinates")
    model_config = read_config(config, weights, overrides or {}, head)
    model = HEADS[head](model_config)
    model.load_state_dict(translate(weights, model, head, checkpoint))
    model.eval()

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "checkpoint"
        model.save_pretrained(folder)
        RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder)
        _check_reload(model, folder)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)
    return output


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the original's tensors by name, in float32, without ever running code from the file."""
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols; the reader gets one line, ours
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is no checkpoint, or holds more than tensors: opening it could run code, so it is refused; "
            "save its state dict alone and convert that"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:  # KeyError: a file of text
        reason = f"{type(error).__name__} {error}".splitlines()[0].strip()
        raise ValueError(f"{path} can't be read as a checkpoint: {reason}") from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    ):
        raise ValueError(f"{path} is not a state dict: names with tensors are needed, bare or under the key 'model'")
    if all(name.startswith("model.") for name in content):
        content = {name.removeprefix("model."): tensor for name, tensor in content.items()}
    if all(name.startswith("module.") for name in content):  # as DistributedDataParallel names them
        content = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    for name, tensor in content.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds NaN or infinite values")
    return {name: tensor.float() for name, tensor in content.items()}


def read_config(
    path: Path, weights: Mapping[str, Tensor], overrides: Mapping[str, Any], head: str
) -> RibonanzaNetConfig:
    """Build our configuration from the original's file, the sizes of its weights, the user's settings and the head."""
    if not path.is_file():
        raise FileNotFoundError(f"config {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config {path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"config {path} is not a table of keys and values")
    missing = [key for key in REQUIRED_CONFIG_KEYS if key not in content]
    if missing:
        raise ValueError(f"config {path} lacks {', '.join(missing)}: the original's words are needed")
    fields: dict[str, Any] = {ours: content[key] for key, ours in CONFIG_KEYS.items() if key in content}
    fields["vocab_size"] = VOCABULARY_SIZE

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

    known = {field.name for field in dataclasses.fields(RibonanzaNetConfig)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a field of RibonanzaNetConfig: check the spelling")
    fields |= dict(overrides)
    try:
        config = RibonanzaNetConfig(**fields)
    except Exception as error:  # strict dataclasses wrap whatever a validator raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"config {path} describes no valid model: {reason}") from error
    named = len(getattr(config, names))
    if columns not in (named, None):
        raise ValueError(f"{named} {names.replace('_', ' ')} are named, but the decoder has {columns} columns")
    return config


def translate(
    weights: Mapping[str, Tensor], model: RibonanzaNetPreTrainedModel, head: str, path: Path
) -> dict[str, Tensor]:
    """Rename, join and check the original's tensors so that they fit the model exactly."""
    # Some fine-tunes put the coordinates into the decoder.
    in_decoder = head == "3d" and "xyz_predictor.weight" not in weights
    table = key_table(model.config, head, "decoder" if in_decoder else None)
    wanted = {original for originals in table.values() for original in originals}
    missing, unexpected = sorted(wanted - set(weights)), sorted(set(weights) - wanted)
    if missing or unexpected:
        parts = []
        if missing:
            parts.append(f"{len(missing)} tensors are missing ({_some(missing)})")
        if unexpected:
            parts.append(f"{len(unexpected)} are not expected ({_some(unexpected)})")
        raise ValueError(
            f"{path} does not fit its config and head {head!r}: {'; '.join(parts)}. "
            f"Check nlayers, use_triangular_attention and --head ({', '.join(HEADS)})"
        )
    state = {ours: torch.cat([weights[original] for original in originals]) for ours, originals in table.items()}
    embedding = next(name for name in table if name.endswith("embed_tokens.weight"))
    rows = state[embedding].shape[0]
    if rows > VOCABULARY_SIZE:
        raise ValueError(f"{path}: encoder.weight has {rows} rows, more than the alphabet's {VOCABULARY_SIZE}")
    # Letters that the original never saw (N, <mask>, <bos>, <eos>) start at zero.
    state[embedding] = torch.nn.functional.pad(state[embedding], (0, 0, 0, VOCABULARY_SIZE - rows))
    for name, tensor in model.state_dict().items():
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: {', '.join(table[name])} gives shape {tuple(state[name].shape)}, "
                f"the config needs {tuple(tensor.shape)}"
            )
    return state


def _some(names: list[str], number: int = 3) -> str:
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


@torch.no_grad()
def _check_reload(model: RibonanzaNetPreTrainedModel, folder: Path) -> None:
    """Open the written folder again and compare outputs with the model in memory, bit by bit."""
    reloaded = type(model).from_pretrained(folder)
    tokenizer = RnaTokenizerFast.from_pretrained(folder)
    batch = tokenizer(["GGGAAACCCUUAGC", "ACGUA"], padding=True, return_tensors="pt")
    ours, theirs = model(**batch), reloaded(**batch)
    if not torch.equal(ours[0], theirs[0]):
        raise RuntimeError(f"the checkpoint written to {folder} gives other outputs when opened again")
