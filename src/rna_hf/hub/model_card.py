"""The card of a checkpoint folder: README.md with the front matter that the Hugging Face Hub reads.

The only writer of cards: shipped checkpoints, fine-tuned ones and whatever folder `rna-hf card` is given. What the
folder says itself (sizes and stated cost from `config.json` and the weights, what it learnt from in
`training_data.json`) comes from there; `CardFacts` holds what no file of it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints import count_parameters
from ..models.registry import ARCHITECTURES
from .card_facts import (
    MANIFEST_FILE,
    CardFacts,
    find_facts,
    find_scores,
    pipeline_tag_of,
    read_config,
    read_facts,
    read_json,
    with_originals,
)
from .card_figures import Figure, check_figures, figure_rows, write_eval_results
from .card_metadata import check_metadata

CARD_FILE = "README.md"
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
LICENCE_NAMES = {"apache-2.0": "the Apache License 2.0", "mit": "the MIT License"}
MARK = "<!-- Made by rna-hf from the files beside it. -->"
# Lengths for which a card states the memory of a forward pass, nucleotides.
COST_LENGTHS = (100, 1_000, 4_000)
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
}


def card_of_folder(
    folder: Path, facts_file: Path | None = None, facts: CardFacts | None = None, overwrite: bool = False
) -> Path:
    """Write the card of any checkpoint folder from what is known of it.

    Args:
        folder: the checkpoint.
        facts_file: YAML with what its files don't say, see `CardFacts`.
        facts: what is known already; by default what the folder's files say.
        overwrite: write over a README.md that was not made here.

    Returns:
        The path of the card.

    Raises:
        FileExistsError: there is a README.md that was not made here.
        ValueError: a fact is wrong, or a number has no source.
    """
    facts = facts or find_facts(folder)
    roots = [folder]
    if facts_file is not None:
        facts = read_facts(facts_file, facts)
        roots.append(facts_file.parent)
    path = folder / CARD_FILE
    if path.is_file() and not overwrite and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{path} was not made by rna-hf: move it away, or write over it with --overwrite")
    return write_card(folder, facts, check_figures(facts.figures(), *roots), scores_text(*find_scores(folder)))


def write_card(folder: Path, facts: CardFacts, figures: Sequence[Figure] = (), accuracy: str = "") -> Path:
    """Write the card of a checkpoint into its folder, and `.eval_results` beside it; see `build_card`."""
    path = folder / CARD_FILE
    text = build_card(folder, facts, figures, accuracy)
    write_eval_results(folder, figures)
    path.write_text(text, encoding="utf-8")
    return path


def build_card(folder: Path, facts: CardFacts, figures: Sequence[Figure] = (), accuracy: str = "") -> str:
    """Render the card of a checkpoint.

    Args:
        folder: with `config.json`, weights and, where there is one, `training_data.json`.
        facts: what these don't say.
        figures: measured numbers for the front matter, from `check_figures`.
        accuracy: Markdown for the section on accuracy.

    Returns:
        Markdown with YAML front matter, which `huggingface_hub.ModelCard` reads, `model-index` included.

    Raises:
        ValueError: the front matter is not as the Hub asks for, or a number has no source file.
    """
    from huggingface_hub import ModelCardData
    from jinja2 import Environment, StrictUndefined

    for figure in figures:
        if not figure.file or figure.value is None:
            raise ValueError(f"the number {figure.describe()} has no source file: name it, or leave it out")
    if not count_parameters(folder):
        raise FileNotFoundError(
            f"{folder} holds no weights (*.safetensors), which the card counts: save the model there"
        )
    saved = read_json(folder / "config.json")
    architecture = ARCHITECTURES[saved["model_type"]]
    config_object = read_config(folder, architecture)
    config = {**config_object.to_dict(), **saved}
    facts = with_originals(facts, architecture.name)
    name = folder.resolve().name
    relation: dict[str, Any] = {"base_model_relation": facts.base_model_relation} if facts.base_model_relation else {}
    data = ModelCardData(
        model_name=name if figures else None,
        license=facts.license,
        license_name=facts.license_name,
        license_link=facts.license_link,
        library_name="transformers",
        pipeline_tag=pipeline_tag_of(facts),
        base_model=facts.base_model,
        datasets=list(facts.datasets) or None,
        tags=[config["model_type"], *facts.tags],
        eval_results=[figure.to_result() for figure in figures] or None,
        **relation,
    )
    check_metadata(data.to_dict())
    manifest = read_json(folder / MANIFEST_FILE)
    # Which of the outputs that the facts know a checkpoint has, its configuration says, where it names them.
    names = config.get(facts.task.get("names", ""), facts.outputs)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        mark=MARK,
        name=name,
        facts=facts,
        task={"example": "GGGAAACGCUUCGGCGUAAACCC", "package": "rna_hf", "predict": "", "output": "", **facts.task},
        outputs={name: facts.outputs.get(name, "") for name in names},
        input_range=_input_range(config),
        architecture_table=_architecture_table(folder, config),
        cost_table=_cost_table(config_object),
        quirk_table=_quirk_table(type(config_object), config),
        training_table=_training_table(manifest, facts.data),
        started_from=manifest.get("started_from"),
        stage_table=_stage_table(manifest),
        accuracy=accuracy,
        figure_table=markdown_table(["test set", "metric", "value", "measured in"], figure_rows(figures))
        if figures
        else "",
        licence_name=facts.license_name or LICENCE_NAMES.get(facts.license or "", facts.license),
    )


def scores_text(file: str, scores: Mapping[str, Any]) -> str:
    """Lay out the scores of a run, and name the file that they are from; nothing where there is none."""
    return f"{scores_table(scores)}\n\nFrom `{file}` beside this card." if file and scores else ""


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


def _cost_table(config: Any) -> str:
    """State the memory of a forward pass for lengths that the model can read."""
    longest = getattr(config, "max_position_embeddings", None) or max(COST_LENGTHS)
    lengths = sorted({min(max(length, config.min_sequence_length), longest) for length in COST_LENGTHS})
    rows = [[f"{length:,}", f"{config.forward_cost(1, length, 4) / 1e6:,.0f}"] for length in lengths]
    return markdown_table(["nucleotides", "MB"], rows)


def _quirk_table(config_class: type, config: Mapping[str, Any]) -> str:
    """List the flags that say which of the original's quirks are kept, and what their documentation says."""
    flags = [name for name in config if name.startswith("fix_") or name == "mask_padding"]
    rows = []
    for name in sorted(flags):
        note = re.search(
            rf"^ +{name}: (.*?)(?=^ +\w+: |\Z|^\s*$)", config_class.__doc__ or "", re.MULTILINE | re.DOTALL
        )
        text = " ".join(note.group(1).split()).replace("|", "\\|") if note else ""
        rows.append([f"`{name}`", "no" if config[name] else "yes", text])
    return markdown_table(["flag", "quirk kept", "what the flag does"], rows) if rows else ""


def _training_table(manifest: Mapping[str, Any], data: Mapping[str, Mapping[str, str]] | None) -> str:
    """List what a model learnt from; `data` None means that nobody says more than the manifest."""
    rows = []
    for source in manifest.get("sources", []):
        rule = str(source.get("rule", "")).replace("|", "\\|")
        counts = [f"{source['rows']:,}", f"{source['sequences']:,}"] if "sequences" in source else ["", ""]
        if data is None:
            files = ", ".join(f"`{file}`" for file in source.get("files", []))
            rows.append([f"{source['name']}{f' ({files})' if files else ''}", *counts, "not stated", rule])
            continue
        known = data.get(source["name"])
        if known is None:
            raise ValueError(
                f"training_data.json names the source {source['name']!r}, which the facts of the card do not know: add "
                f"its name, place and licence under `data` (there are {', '.join(data) or 'none'})"
            )
        rows.append([f"[{known['name']}]({known['source']})", *counts, known["licence"], rule])
    header = ["source", "records", "different sequences", "licence stated there", "which of them"]
    return markdown_table(header, rows) if rows else ""


def _stage_table(manifest: Mapping[str, Any]) -> str:
    rows = []
    for stage in manifest.get("stages", []):
        seconds = f"{stage['seconds']:,.0f}" if "seconds" in stage else "not recorded"
        rows.append([stage["name"], f"{stage['steps']:,}", seconds, stage.get("device", "not recorded")])
    return markdown_table(["stage", "steps", "seconds", "on"], rows) if rows else ""
