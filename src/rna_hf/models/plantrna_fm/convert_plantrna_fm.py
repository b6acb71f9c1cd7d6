"""Conversion of checkpoints in the published layout of PlantRNA-FM into ours, and back."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...tokenization import RnaTokenizerFast, get_alphabet
from ..golden import record_golden
from .configuration_plantrna_fm import PlantRnaFmConfig
from .modeling_plantrna_fm import PlantRnaFmForMaskedLM, PlantRnaFmModel, PlantRnaFmPreTrainedModel, rotary_frequencies
from .published_plantrna_fm import (
    FIELDS,
    VOCABULARY_FILE,
    WEIGHT_FILES,
    check_shapes,
    find_published,
    key_table,
    read_published,
)


def convert(checkpoint: Path, output: Path, overrides: Mapping[str, Any], **options: Any) -> Path:
    """Convert a checkpoint; see `PlantRnaFmConversion` and `convert_plantrna_fm`."""
    return convert_plantrna_fm(checkpoint, output, overrides, **options)


def convert_plantrna_fm(
    checkpoint: str | Path,
    output: str | Path,
    overrides: Mapping[str, Any] | None = None,
    to: str = "rna_hf",
    t_as_u: bool = False,
) -> Path:
    """Convert a folder as PlantRNA-FM or OmniGenome were published into one of ours, or back.

    Args:
        checkpoint: folder with `config.json` (of `model_type: esm`), `vocab.txt` and `model.safetensors` or
            `pytorch_model.bin`; with `to="published"`, a folder of ours.
        output: folder to write, which must not exist or be empty.
        overrides: fields of `PlantRnaFmConfig` to set, such as `{"fix_mask_token": False}`.
        to: "rna_hf", or "published": a folder that transformers' `EsmForMaskedLM` opens.
        t_as_u: whether the tokenizer reads T as U. As published it does not: T has a token of its own.

    Returns:
        The folder; it was opened again and gave the same outputs, with `to="published"` through `EsmForMaskedLM`.

    Raises:
        FileNotFoundError: if a file is missing.
        FileExistsError: if the output folder holds something.
        ValueError: if the folder is of no such model. Nothing is written then.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder: name another one")
    if not (checkpoint / "config.json").is_file():
        raise FileNotFoundError(f"{checkpoint} is no checkpoint folder: config.json is missing")
    write = _to_published if to == "published" else _to_ours
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "checkpoint"
        write(checkpoint, folder, overrides or {}, t_as_u)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)
    return output


def _to_ours(checkpoint: Path, folder: Path, overrides: Mapping[str, Any], t_as_u: bool) -> None:
    if find_published(checkpoint, {}) is None:
        raise ValueError(
            f"{checkpoint} is not of the published layout: its config.json has another model_type than esm"
        )
    known = {field.name for field in dataclasses.fields(PlantRnaFmConfig)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a field of PlantRnaFmConfig: check the spelling")
    config, weights = read_published(checkpoint, overrides=overrides)
    has_head = all(name in weights for name in ("lm_head.dense.weight", "lm_head.decoder.bias"))
    whole = PlantRnaFmForMaskedLM(config)
    check_shapes(weights, {name: tensor.shape for name, tensor in whole.state_dict().items()}, checkpoint)
    whole.load_state_dict(weights, strict=has_head)
    model = (whole if has_head else whole.model).eval()
    tokenizer = RnaTokenizerFast(alphabet="plantrna_fm", t_as_u=t_as_u)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record_golden(model, tokenizer, folder)
    reloaded = type(model).from_pretrained(folder)
    if not torch.equal(_run(model, config), _run(reloaded, config)):
        raise RuntimeError(f"the checkpoint of {checkpoint} gives other outputs when it is written and opened again")


def _to_published(checkpoint: Path, folder: Path, overrides: Mapping[str, Any], t_as_u: bool) -> None:
    from transformers import EsmForMaskedLM

    content, _ = PlantRnaFmConfig.get_config_dict(checkpoint)
    if content.get("model_type") != "plantrna_fm":
        raise ValueError(f"{checkpoint} is no checkpoint of PlantRNA-FM in the format of rna_hf")
    if overrides or t_as_u:
        raise ValueError("settings are for a folder of ours: leave them out with --to published")
    opened: Any = PlantRnaFmForMaskedLM.from_pretrained(checkpoint, dtype=torch.float32, output_loading_info=True)
    model, report = opened
    if any(name.startswith("lm_head") for name in report["missing_keys"]):
        raise ValueError(f"{checkpoint} has no masked-language head, and the published layout has one")
    config = model.config
    state = model.state_dict()
    weights: dict[str, Tensor] = {
        theirs: state[ours].clone() for ours, theirs in key_table(config.num_hidden_layers).items() if ours in state
    }
    if config.position_embedding == "rotary":  # computed, but transformers reports it missing otherwise
        weights["esm.rotary_embeddings.inv_freq"] = rotary_frequencies(config.head_size)
    folder.mkdir(parents=True)
    published = {theirs: getattr(config, ours) for ours, theirs in FIELDS.items()}
    if config.fix_mask_token:
        published["mask_token_id"] = config.mask_token_id
    published |= {"model_type": "esm", "architectures": ["EsmForMaskedLM"], "pad_token_id": config.pad_token_id}
    (folder / "config.json").write_text(json.dumps(published, indent=2) + "\n", encoding="utf-8")
    tokens = get_alphabet("plantrna_fm").tokens
    (folder / VOCABULARY_FILE).write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    save_file(weights, folder / WEIGHT_FILES[0], metadata={"format": "pt"})
    reopened = EsmForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    model.set_attn_implementation("eager")
    expected = _run(model.eval(), config)
    if (expected - _run(reopened, config)).abs().max() > 1e-4 * max(1.0, float(expected.abs().max())):
        raise RuntimeError(f"EsmForMaskedLM gives something else than {checkpoint} for what was written")


@torch.no_grad()
def _run(model: PlantRnaFmPreTrainedModel | PlantRnaFmModel | Any, config: PlantRnaFmConfig) -> Tensor:
    """Return what a model gives for one sequence with a masked nucleotide."""
    tokenizer = RnaTokenizerFast(alphabet="plantrna_fm")
    ids = tokenizer("GGGAAACGC<mask>UCGGCGUAAACCC", return_tensors="pt")["input_ids"]
    output: Tensor = model(ids)[0]
    return output
