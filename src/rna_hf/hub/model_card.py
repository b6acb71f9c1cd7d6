"""The card of a checkpoint folder: README.md with the front matter that the Hugging Face Hub reads.

What the folder says itself (sizes from `config.json` and the weights, what it learnt from in `training_data.json`)
comes from there; `CardFacts` holds what no file of it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import count_parameters
from ..models.registry import ARCHITECTURES

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD_FILE = "README.md"
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
LICENCE_NAMES = {"apache-2.0": "the Apache License 2.0", "mit": "the MIT License"}
# Rows of the card's table of the architecture: field of the configuration -> its name there.
ARCHITECTURE_ROWS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width of the sequence track",
    "pair_hidden_size": "width of the pair track",
    "num_attention_heads": "attention heads",
    "kernel_size": "kernel of the convolution (nucleotides)",
    "use_triangular_attention": "triangular attention",
    "num_conv_layers": "convolutions, each with a pool",
    "gru_hidden_size": "width of the recurrent layer, in each direction",
    "mask_padding": "`mask_padding`",
    "fix_attention_mask": "`fix_attention_mask`",
    "fix_attention_residual": "`fix_attention_residual`",
    "fix_pairwise_dropout": "`fix_pairwise_dropout`",
}


@dataclass(frozen=True)
class CardFacts:
    """What no file of a checkpoint says. A section about which nothing is known is left out of the card.

    Attributes:
        title: of the card.
        summary: what the checkpoint does, or where it comes from.
        tags: on the Hub, beside the type of the model.
        task: `auto_class`, which opens it, and of which package it is (`package`, if not `rna_hf`). For the snippet of
            `rna_hf.predict`: `predict`, the task's name, and `column` of the result. `output` of the model and its
            `shape`; `example`, a sequence; `names`, the field of the configuration that lists the outputs.
        license: identifier of the weights' licence.
        base_model: what it was fine-tuned from.
        note: how the card was made.
        outputs: name of each output to what it is.
        original: `name`, `repository`, `commit` and `licence` of the original of the architecture.
        data: key of a source in `training_data.json` to its `name`, `source` and `licence`.
        limits: what to know before use.
        authors: of weights and architecture.
        paper: `authors`, `year`, `title`, `journal` and `doi`.
    """

    title: str
    summary: str
    tags: Sequence[str]
    task: Mapping[str, Any]
    license: str | None = None
    base_model: str | None = None
    note: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    original: Mapping[str, str] | None = None
    data: Mapping[str, Mapping[str, str]] | None = None
    limits: Sequence[str] = ()
    authors: Sequence[str] = ()
    paper: Mapping[str, Any] | None = None


def write_card(folder: Path, facts: CardFacts, results: Sequence[EvalResult] = (), accuracy: str = "") -> Path:
    """Write the card of a checkpoint into its folder; see `build_card`."""
    path = folder / CARD_FILE
    path.write_text(build_card(folder, facts, results, accuracy), encoding="utf-8")
    return path


def build_card(folder: Path, facts: CardFacts, results: Sequence[EvalResult] = (), accuracy: str = "") -> str:
    """Render the card of a checkpoint.

    Args:
        folder: with `config.json`, weights and, where there is one, `training_data.json`.
        facts: what these don't say.
        results: figures for the front matter.
        accuracy: Markdown for the section on accuracy.

    Returns:
        Markdown with YAML front matter, which `huggingface_hub.ModelCard` reads, `model-index` included.
    """
    from huggingface_hub import ModelCardData
    from jinja2 import Environment, StrictUndefined

    config = _read_config(folder)
    data = ModelCardData(
        model_name=folder.name,
        license=facts.license,
        library_name="transformers",
        base_model=facts.base_model,
        tags=[config["model_type"], *facts.tags],
        eval_results=list(results) or None,
    )
    manifest = _read_manifest(folder)
    # Which of the outputs that the facts know a checkpoint has, its configuration says, where it names them.
    names = config.get(facts.task.get("names", ""), facts.outputs)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        name=folder.name,
        facts=facts,
        task={"example": "GGGAAACGCUUCGGCGUAAACCC", "package": "rna_hf", "predict": "", "output": "", **facts.task},
        outputs={name: facts.outputs.get(name, "") for name in names},
        input_range=_input_range(config),
        architecture_table=_architecture_table(folder, config),
        training_table=_training_table(manifest, facts.data or {}),
        started_from=manifest.get("started_from"),
        stage_table=_stage_table(manifest),
        accuracy=accuracy,
        licence_name=LICENCE_NAMES.get(facts.license or "", facts.license),
    )


def scores_table(scores: Mapping[str, Any]) -> str:
    """Lay out the scores of an evaluation, by name; what is no number with a fraction is left out."""
    rows = [[name, f"{value:.4f}"] for name, value in sorted(scores.items()) if isinstance(value, float)]
    return markdown_table(["", "value"], rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; columns of numbers are aligned to the right."""
    columns = [[row[i] for row in rows if row[i]] for i in range(len(header))]
    are_numbers = [all(cell.lstrip("*-")[:1].isdigit() for cell in column) for column in columns]
    rule = ["---:" if is_number else "---" for is_number in are_numbers]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration, which is saved without the values that equal the defaults of its class."""
    saved: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {**ARCHITECTURES[saved["model_type"]].find_class("Config")().to_dict(), **saved}


def _input_range(config: Mapping[str, Any]) -> str:
    """Say which RNAs a model was trained on, as the end of a sentence; nothing where it does not say."""
    shortest, longest = config.get("training_min_length"), config.get("training_max_length")
    parts = []
    if longest and shortest:
        lengths = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
        parts.append(f"those in training had {lengths} nucleotides; shorter or much longer ones get a warning")
    elif longest:
        parts.append(f"the longest in training had {longest:,} nucleotides; much longer ones get a warning")
    ends = [
        f"the {end} {number}"
        for end, number in (("first", config.get("unmeasured_5prime")), ("last", config.get("unmeasured_3prime")))
        if number
    ]
    if ends:
        parts.append(f"{' and '.join(ends)} nucleotides were measured in none, and get one too")
    return "".join(f"; {part}" for part in parts)


def _architecture_table(folder: Path, config: Mapping[str, Any]) -> str:
    rows = [["parameters", f"{count_parameters(folder):,}"]]
    for name, label in ARCHITECTURE_ROWS.items():
        if name in config:
            value = config[name]
            rows.append([label, ("yes" if value else "no") if isinstance(value, bool) else str(value)])
    return markdown_table(["", "value"], rows)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "training_data.json"
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return manifest


def _training_table(manifest: Mapping[str, Any], data: Mapping[str, Mapping[str, str]]) -> str:
    rows = []
    for source in manifest.get("sources", []):
        known = data.get(source["name"])
        if known is None:
            raise ValueError(
                f"training_data.json names the source {source['name']!r}, which the facts of the card do not know: add "
                f"its name, place and licence under `data` (there are {', '.join(data) or 'none'})"
            )
        name = f"[{known['name']}]({known['source']})"
        rows.append([name, f"{source['rows']:,}", f"{source['sequences']:,}", known["licence"]])
    header = ["source", "records", "different sequences", "licence stated there"]
    return markdown_table(header, rows) if rows else ""


def _stage_table(manifest: Mapping[str, Any]) -> str:
    rows = []
    for stage in manifest.get("stages", []):
        minutes = f"{stage['seconds'] / 60:.0f}" if "seconds" in stage else "not recorded"
        rows.append([stage["name"], f"{stage['steps']:,}", minutes, stage.get("device", "not recorded")])
    return markdown_table(["stage", "steps", "minutes", "on"], rows) if rows else ""
