"""Checkpoints of PlantRNA-FM as published: a configuration of `model_type: esm`, a `vocab.txt`, and ESM's names.

OmniGenome's are of the same layout. The published words appear in this file only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.utils.hub import cached_file

from ...safety import read_json
from ...tokenization import get_alphabet
from ..original_checkpoint import read_checkpoint
from .configuration_plantrna_fm import PlantRnaFmConfig

MODEL_TYPES = ("esm", "omnigenome", "mprna")
VOCABULARY_FILE = "vocab.txt"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

# Our fields -> the published ones.
FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "position_embedding": "position_embedding_type",
    "max_position_embeddings": "max_position_embeddings",
    "embedding_norm": "emb_layer_norm_before",
    "layer_norm_eps": "layer_norm_eps",
    "token_dropout": "token_dropout",
    "published_mask_token_id": "mask_token_id",
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "initializer_range": "initializer_range",
    "tie_word_embeddings": "tie_word_embeddings",
}
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

# Our names of modules -> the published ones, for the model, each layer, and the head.
MODEL_NAMES = {
    "embed_tokens.weight": "embeddings.word_embeddings.weight",
    "embed_positions.weight": "embeddings.position_embeddings.weight",
    "embedding_norm.weight": "embeddings.layer_norm.weight",
    "embedding_norm.bias": "embeddings.layer_norm.bias",
    "final_norm.weight": "encoder.emb_layer_norm_after.weight",
    "final_norm.bias": "encoder.emb_layer_norm_after.bias",
    "contact_weight": "contact_head.regression.weight",
    "contact_bias": "contact_head.regression.bias",
}
LAYER_NAMES = {
    "attention_norm": "attention.LayerNorm",
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.out_proj": "attention.output.dense",
    "feed_forward_norm": "LayerNorm",
    "up_proj": "intermediate.dense",
    "down_proj": "output.dense",
}
HEAD_NAMES = {
    "lm_head.dense.weight": "lm_head.dense.weight",
    "lm_head.dense.bias": "lm_head.dense.bias",
    "lm_head.norm.weight": "lm_head.layer_norm.weight",
    "lm_head.norm.bias": "lm_head.layer_norm.bias",
    "lm_head.decoder.weight": "lm_head.decoder.weight",
    "lm_head.decoder.bias": "lm_head.bias",
}
# Tensors that are computed, not learnt, or that a model with rotary positions never reads.
IGNORED = ("inv_freq", "position_ids")


def key_table(num_layers: int, prefix: str = "esm.") -> dict[str, str]:
    """Return our names of all tensors -> the published ones, for a number of layers."""
    layers = {
        f"model.layers.{i}.{ours}.{part}": f"{prefix}encoder.layer.{i}.{theirs}.{part}"
        for i in range(num_layers)
        for ours, theirs in LAYER_NAMES.items()
        for part in ("weight", "bias")
    }
    return {f"model.{ours}": prefix + theirs for ours, theirs in MODEL_NAMES.items()} | layers | HEAD_NAMES


def find_published(checkpoint: Any, options: Mapping[str, Any]) -> Path | None:
    """Return the folder of a checkpoint if it is of the published layout; None for all others.

    Args:
        checkpoint: a folder or an id on the Hub.
        options: of `from_pretrained`, such as `revision`.
    """
    if checkpoint is None:
        return None
    folder = Path(str(checkpoint), options.get("subfolder") or "")
    if folder.is_dir():
        return folder if _is_published(folder / "config.json") else None
    where = {name: options[name] for name in ("cache_dir", "revision", "subfolder", "token") if options.get(name)}
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if options.get("local_files_only"):
        where["local_files_only"] = True
    try:
        config = cached_file(str(checkpoint), "config.json", **where, **quiet)
    except (OSError, ValueError):  # transformers says why when it looks itself
        return None
    if config is None or not _is_published(Path(config)):
        return None
    for name in (VOCABULARY_FILE, *WEIGHT_FILES):
        found = cached_file(str(checkpoint), name, **where, **quiet)
        if found and name in WEIGHT_FILES:
            break
    return Path(config).parent


def _is_published(path: Path) -> bool:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("model_type") in MODEL_TYPES
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def read_published(
    folder: Path, config: PlantRnaFmConfig | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[PlantRnaFmConfig, dict[str, Tensor]]:
    """Read a folder of the published layout.

    Args:
        folder: with `config.json`, `vocab.txt` and `model.safetensors` or `pytorch_model.bin`.
        config: in place of the one that the folder's would become.
        overrides: fields of `PlantRnaFmConfig` to set.

    Returns:
        The configuration and the weights under our names.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the files can't be read, or are not of such a model.
    """
    path = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder} has neither of {' and '.join(WEIGHT_FILES)}")
    published = read_json(folder / "config.json", folder)
    # Some versions of transformers write the older names of a layer norm's tensors.
    older = {"gamma": "weight", "beta": "bias"}
    weights = {}
    for name, tensor in read_checkpoint(path).items():
        module, _, part = name.rpartition(".")
        weights[f"{module}.{older.get(part, part)}"] = tensor
    ending = MODEL_NAMES["embed_tokens.weight"]
    prefix = next((name.removesuffix(ending) for name in weights if name.endswith(ending)), None)
    if prefix is None:
        raise ValueError(f"{path} is no checkpoint of PlantRNA-FM: it has no tensor {ending}")
    mask_id = _read_mask_id(folder, published)
    if config is None:
        config = _build_config(published, weights, prefix, mask_id, overrides or {}, folder)
    table = {theirs: ours for ours, theirs in key_table(config.num_hidden_layers, prefix).items()}
    named = {table[name]: tensor for name, tensor in weights.items() if name in table}
    if config.position_embedding == "rotary":
        named.pop("model.embed_positions.weight", None)
    if not config.has_contact_head:
        named = {name: tensor for name, tensor in named.items() if not name.startswith("model.contact_")}
    if "lm_head.decoder.bias" in named and "lm_head.decoder.weight" not in named:
        named["lm_head.decoder.weight"] = named["model.embed_tokens.weight"]
    return config, named


def _read_mask_id(folder: Path, published: Mapping[str, Any]) -> int:
    """Return the id of `<mask>` by the vocabulary, which a configuration may contradict."""
    alphabet = get_alphabet("plantrna_fm")
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {VOCABULARY_FILE}: which id is which nucleotide is not known")
    tokens = tuple(path.read_text(encoding="utf-8").split())
    if tokens != alphabet.tokens:
        place = next((i for i, pair in enumerate(zip(tokens, alphabet.tokens)) if pair[0] != pair[1]), len(tokens))
        raise ValueError(
            f"{path} is not the published vocabulary of {alphabet.vocab_size} tokens: it differs from id {place} on"
        )
    return alphabet.token_to_id["<mask>"]


def _build_config(
    published: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    prefix: str,
    mask_id: int,
    overrides: Mapping[str, Any],
    folder: Path,
) -> PlantRnaFmConfig:
    missing = [name for name in SIZES if not isinstance(published.get(FIELDS[name]), int)]
    if missing:
        raise ValueError(f"{folder / 'config.json'} has no whole number {FIELDS[missing[0]]!r}")
    fields = {ours: published[theirs] for ours, theirs in FIELDS.items() if published.get(theirs) is not None}
    fields["mask_token_id"] = mask_id
    fields["converted_from"] = "PlantRNA-FM" if published["model_type"] == "esm" else "OmniGenome"
    fields["has_contact_head"] = prefix + MODEL_NAMES["contact_weight"] in weights
    try:
        return PlantRnaFmConfig(**{**fields, **overrides})
    except Exception as error:  # strict dataclasses wrap whatever a validator raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"{folder / 'config.json'} and the settings describe no valid model: {reason}") from error


def check_shapes(weights: Mapping[str, Tensor], shapes: Mapping[str, Any], folder: Path) -> None:
    """Refuse weights that leave a part of the base model unfilled, or that have another shape.

    Args:
        weights: under our names.
        shapes: of all tensors of a `PlantRnaFmForMaskedLM` of the configuration.
        folder: for the message.

    Raises:
        ValueError: with the first tensor.
    """
    missing = sorted(name for name in shapes if name.startswith("model.") and name not in weights)
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} tensors that its configuration needs, such as {missing[0]}")
    for name, tensor in weights.items():
        if name in shapes and tensor.shape != shapes[name]:
            raise ValueError(
                f"{folder}: {name} has shape {tuple(tensor.shape)}, the configuration needs {tuple(shapes[name])}"
            )
