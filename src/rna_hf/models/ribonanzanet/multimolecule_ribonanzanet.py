"""The checkpoint format of the package `multimolecule`: its words for classes, sizes, parameters and tokens.

Written from what its version 0.2.2 writes and computes. A model in its format is a folder with `config.json` and
`model.safetensors`, beside the files of a tokenizer. Its words appear in this file only.

Its norms add another small number to the variance than the original's (`layer_norm_eps`, 1e-12 by default); ours are
the original's always, so outputs differ from those of `multimolecule` by as little as this does. Its base model has a
pooler that the original hasn't; its weights are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...tokenization.alphabets import RIBONANZANET
from .modeling_ribonanzanet import (
    RibonanzaNetForDegradation,
    RibonanzaNetForReactivity,
    RibonanzaNetForSecondaryStructure,
    RibonanzaNetForSequenceDropout,
    RibonanzaNetForTokenClassification,
    RibonanzaNetModel,
    RibonanzaNetPreTrainedModel,
)

CLASSES: dict[str, type[RibonanzaNetPreTrainedModel]] = {
    "RibonanzaNetModel": RibonanzaNetModel,
    "RibonanzaNetForPreTraining": RibonanzaNetForReactivity,
    "RibonanzaNetForDegradationPrediction": RibonanzaNetForDegradation,
    "RibonanzaNetForSequenceDropoutPrediction": RibonanzaNetForSequenceDropout,
    "RibonanzaNetForSecondaryStructurePrediction": RibonanzaNetForSecondaryStructure,
    "RibonanzaNetForTokenPrediction": RibonanzaNetForTokenClassification,
}
"""Its class -> ours. Its heads for sequences and contacts compute something else than ours and are missing here."""

# Its configuration key -> ours.
CONFIG_KEYS = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "pairwise_size": "pair_hidden_size",
    "pairwise_attention_size": "outer_product_size",
    "pairwise_num_attention_heads": "num_triangle_attention_heads",
    "kernel_size": "kernel_size",
    "use_triangular_attention": "use_triangular_attention",
    "hidden_dropout": "hidden_dropout",
    "attention_dropout": "attention_dropout",
    "fix_attention_mask": "fix_attention_mask",
    "fix_attention_residual": "fix_attention_residual",
    "fix_pairwise_dropout": "fix_pairwise_dropout",
}

PROBLEM_TYPES = {
    "regression": "regression",
    "binary": "multi_label_classification",
    "multilabel": "multi_label_classification",
    "multiclass": "single_label_classification",
}

TOKENS = ("<pad>", "<cls>", "<eos>", "<unk>", "<mask>", "<null>", "A", "C", "G", "U", "N")
"""What the vocabularies of its RNA tokenizer begin with (that without ambiguous letters ends before N)."""

OUR_TOKENS = {"<bos>": "<cls>"}
"""Our names of tokens -> its own, where they differ."""

CHECKED_KEYS = ("pairwise_intermediate_size", "hidden_act", "pairwise_hidden_act", "layer_norm_eps")
"""Keys of its configuration that ours has no field for."""

MAX_LAYER_NORM_EPS = 1e-5
"""The larger one of the two that the original has."""


def _in_blocks(blocks: Mapping[str, str], modules: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Name the modules of each block of the pair track."""
    return {
        f"pair_update.{ours}.{module}": tuple(f"pairwise.{theirs}.{name}" for name in names)
        for ours, theirs in blocks.items()
        for module, names in modules.items()
    }


# Module names, ours -> its own. Where several are named, ours is their concatenation along the first axis.
BASE_MODULES = {
    "embed_tokens": ("embeddings.word_embeddings",),
    "outer_product.down_proj": ("encoder.pairwise_embeddings.triangle_proj.in_proj",),
    "outer_product": ("encoder.pairwise_embeddings.triangle_proj.out_proj",),
    "relative_position.linear": ("encoder.pairwise_embeddings.position_embeddings",),
}
LAYER_MODULES = {
    "conv": ("conv",),
    "conv_norm": ("conv_norm",),
    "pair_norm": ("pairwise_bias_norm",),
    "pair_bias_proj": ("pairwise_bias_proj",),
    "attention.q_proj": ("attention.self.query",),
    "attention.k_proj": ("attention.self.key",),
    "attention.v_proj": ("attention.self.value",),
    "attention.out_proj": ("attention.output.dense",),
    "attention.norm": ("attention.output.layer_norm",),
    "attention_norm": ("attention.output.layer_norm2",),
    "up_proj": ("intermediate.dense",),
    "down_proj": ("output.dense",),
    "feed_forward_norm": ("output.layer_norm",),
    "pair_update.outer_product.down_proj": ("pairwise.triangle_proj.in_proj",),
    "pair_update.outer_product": ("pairwise.triangle_proj.out_proj",),
    **_in_blocks(
        {"triangle_outgoing": "triangle_mixer_out", "triangle_ingoing": "triangle_mixer_in"},
        {
            "norm": ("in_norm",),
            "in_proj": ("left_proj", "right_proj", "left_gate", "right_gate", "out_gate"),
            "out_norm": ("out_norm",),
            "out_proj": ("out_proj",),
        },
    ),
    **_in_blocks(
        {"triangle_row_attention": "triangle_attention_out", "triangle_column_attention": "triangle_attention_in"},
        {
            "norm": ("triangle.layer_norm",),
            "qkv_proj": ("triangle.query", "triangle.key", "triangle.value"),
            "bias_proj": ("triangle.pairwise_bias",),
            "gate_proj": ("triangle.gate",),
            "out_proj": ("output.dense",),
        },
    ),
    "pair_update.transition.norm": ("pairwise.intermediate.layer_norm",),
    "pair_update.transition.up_proj": ("pairwise.intermediate.dense",),
    "pair_update.transition.down_proj": ("pairwise.output.dense",),
}

# One head for each of the original's columns, in our order of the columns.
REACTIVITY_HEADS = ("a3c_head.decoder", "dms_head.decoder")
DEGRADATION_HEADS = tuple(
    f"{target}_head.decoder" for target in ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
)
HEAD_MODULES: dict[type[RibonanzaNetPreTrainedModel], dict[str, tuple[str, ...]]] = {
    RibonanzaNetModel: {},
    RibonanzaNetForReactivity: {"reactivity_head": REACTIVITY_HEADS},
    RibonanzaNetForDegradation: {"degradation_head": DEGRADATION_HEADS},
    RibonanzaNetForSequenceDropout: {"read_count_head": REACTIVITY_HEADS},
    RibonanzaNetForSecondaryStructure: {"pair_head": ("ss_head.decoder",), "reactivity_head": REACTIVITY_HEADS},
    RibonanzaNetForTokenClassification: {"token_classifier": ("token_head.decoder",)},
}


def key_table(model: RibonanzaNetPreTrainedModel) -> dict[str, tuple[str, ...]]:
    """Return each parameter name of one of our models with its name, or names, for it."""
    table = {}
    for ours in model.state_dict():
        module, _, kind = ours.rpartition(".")
        prefix = "model." if module.startswith("model.") else ""
        module = module.removeprefix("model.")
        if module.startswith("layers."):
            _, layer, module = module.split(".", 2)
            names = tuple(f"encoder.layer.{layer}.{name}" for name in LAYER_MODULES[module])
        else:
            names = BASE_MODULES.get(module) or HEAD_MODULES[type(model)][module]
        table[ours] = tuple(f"{prefix}{name}.{kind}" for name in names)
    return table


def read_config(folder: Path) -> tuple[type[RibonanzaNetPreTrainedModel], dict[str, Any]]:
    """Read what a folder says about its model.

    Args:
        folder: with `config.json`, and where there is a tokenizer also `tokenizer_config.json` and `vocab.txt`.

    Returns:
        Our class, and the fields of our configuration.

    Raises:
        FileNotFoundError: if `config.json` is missing.
        ValueError: if this is no RibonanzaNet in this format, or one that ours can't be.
    """
    content = _read_json(folder / "config.json")
    if content.get("model_type") != "ribonanzanet":
        raise ValueError(f"{folder} is of model_type {content.get('model_type')!r}: 'ribonanzanet' is needed")
    if "pair_hidden_size" in content:
        raise ValueError(f"{folder} is in the format of rna_hf already: open it with from_pretrained")
    name = (content.get("architectures") or [None])[0]
    if name not in CLASSES:
        raise ValueError(f"{folder} holds the class {name}: only {', '.join(CLASSES)} can be converted")
    model_class = CLASSES[name]
    _check_config(content, folder)
    _check_vocabulary(folder / "vocab.txt")

    head = content.get("head") or {}
    fields: dict[str, Any] = {ours: content[key] for key, ours in CONFIG_KEYS.items()}
    fields["converted_from"] = "multimolecule"
    fields |= {"vocab_size": RIBONANZANET.vocab_size, "head_dropout": head.get("dropout") or 0.0}
    for role, is_added in _added_tokens(folder, content).items():
        fields[f"{role}_token_id"] = RIBONANZANET.token_to_id[f"<{role}>"] if is_added else None
    if model_class is RibonanzaNetForSecondaryStructure:
        fields["predict_reactivity"] = True
    if model_class is RibonanzaNetForTokenClassification:
        fields["num_labels"] = head.get("num_labels") or content.get("num_labels") or 1
        problem_type: Any = head.get("problem_type") or content.get("problem_type")
        fields["problem_type"] = PROBLEM_TYPES.get(problem_type, problem_type)
    return model_class, fields


def read_weights(weights: Mapping[str, Tensor], model: RibonanzaNetPreTrainedModel) -> dict[str, Tensor]:
    """Bring its tensors to what `key_table` names, in the order of our alphabet.

    Args:
        weights: the tensors of a checkpoint.
        model: of ours that they are for, fresh.
    """
    # The pooler is no part of the original.
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
    fresh = model.state_dict()
    for ours, names in key_table(model).items():
        if ours.endswith("embed_tokens.weight") and names[0] in weights:
            # A vocabulary without N has no row for it: ours starts at zero.
            missing_rows = max(0, len(TOKENS) - len(weights[names[0]]))
            rows = nn.functional.pad(weights[names[0]], (0, 0, 0, missing_rows))
            order = [TOKENS.index(OUR_TOKENS.get(token, token)) for token in RIBONANZANET.tokens]
            weights[names[0]] = rows[order]
        elif ".attention_norm." in ours and model.config.fix_attention_residual:
            # It leaves the norm out that is not used then.
            weights.setdefault(names[0], fresh[ours])
    return weights


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: a folder in multimolecule's format has one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"{path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a table of keys and values")
    return content


def _check_config(content: Mapping[str, Any], folder: Path) -> None:
    """Refuse what our model has no option for."""
    missing = [key for key in (*CONFIG_KEYS, *CHECKED_KEYS) if key not in content]
    if missing:
        raise ValueError(
            f"{folder / 'config.json'} lacks {', '.join(missing)}: open it with multimolecule 0.2.2 and save it again"
        )
    head = content.get("head") or {}
    for key, value, supported in (
        ("pairwise_intermediate_size", content["pairwise_intermediate_size"], 4 * content["pairwise_size"]),
        ("hidden_act", content["hidden_act"], "gelu"),
        ("pairwise_hidden_act", content["pairwise_hidden_act"], "relu"),
        ("head.transform", head.get("transform"), None),
        ("head.act", head.get("act"), None),
    ):
        if value != supported:
            raise ValueError(f"{folder / 'config.json'} says {key} {value!r}: only {supported!r} can be converted")
    if content["layer_norm_eps"] > MAX_LAYER_NORM_EPS:
        raise ValueError(
            f"{folder / 'config.json'} says layer_norm_eps {content['layer_norm_eps']}: only values up to "
            f"{MAX_LAYER_NORM_EPS} can be converted, since our norms are the original's"
        )


def _check_vocabulary(path: Path) -> None:
    """Refuse another vocabulary than that of single RNA letters; without the file, this is what it has to be."""
    if not path.is_file():
        return
    tokens = tuple(path.read_text(encoding="utf-8").split()[: len(TOKENS)])
    if tokens != TOKENS[: len(tokens)]:
        raise ValueError(f"{path} begins with {' '.join(tokens)}: {' '.join(TOKENS)} is needed")


def _added_tokens(folder: Path, content: Mapping[str, Any]) -> dict[str, bool]:
    """Tell whether <bos> and <eos> stand around a sequence: by the tokenizer, or without one by the configuration."""
    path = folder / "tokenizer_config.json"
    if path.is_file():
        tokenizer = _read_json(path)
        return {role: bool(tokenizer.get(f"{role}_token")) for role in ("bos", "eos")}
    return {role: content.get(f"{role}_token_id") is not None for role in ("bos", "eos")}
