"""The original's checkpoint format: its words for sizes, parameters and heads.

Source: repository Shujun-He/RibonanzaNet. Its words appear in this file only.
"""

from __future__ import annotations

from collections.abc import Collection

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
"""The heads that the original has, under the names of `--head`."""

# The same -> the attribute that holds the head in ours.
HEAD_NAMES = {
    "reactivity": "reactivity_head",
    "degradation": "degradation_head",
    "dropout": "read_count_head",
    "structure": "pair_head",
    "3d": "coordinate_head",
}

# Heads that a fine-tuned original has beside the decoder of the model that it inherits from.
OWN_PREDICTORS = {"structure": "ct_predictor", "3d": "xyz_predictor"}

EMBEDDING_ROWS = 5
"""Rows of the released embedding: A, C, G, U and padding. The `ribonanzanet` alphabet begins with the same five."""

# Parameter names, ours -> the original's. Where several of the original's tensors are named, ours is their
# concatenation along the first axis, all of one size.
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
    return table | _both(HEAD_NAMES[head], predictor or OWN_PREDICTORS.get(head, "decoder"))
