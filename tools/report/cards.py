"""Model cards and the generated parts of README.md, written from what the repository measured.

A card joins four sources, each fact from one place: the checkpoint's `config.json` and weights, its
`training_data.json`, the scores in `benchmarks/results/`, and `model_cards/<checkpoint>.yaml` for what no file of the
checkpoint says (authors, licences, limits). `python -m tools.report` writes them; `--check` only says what is stale.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rna_hf.checkpoints import Checkpoint, list_checkpoints
from rna_hf.hub.card_facts import CardFacts
from rna_hf.hub.card_figures import Figure, check_figures
from rna_hf.hub.model_card import CARD_FILE, build_card, markdown_table
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.tasks import TASKS, predictions, trainings

from .accuracy import (
    Headline,
    accuracy_tables,
    check_weights,
    headline_table,
    measured_figures,
    measured_text,
    read_scores,
)
from .performance import performance_text

RESULTS_FOLDER = Path("benchmarks/results")
ACCURACY_FILE = RESULTS_FOLDER / "reactivity_accuracy.json"
CHECKPOINTS_FOLDER = Path("src/rna_hf/checkpoints")
FACTS_FOLDER = Path("model_cards")
NOTE = "This card is generated; `make cards` writes it again."
NOTHING_YET = "*Not measured yet.*"


def load_facts(name: str, root: Path) -> dict[str, Any]:
    """Read `model_cards/<name>.yaml`.

    Raises:
        FileNotFoundError: a checkpoint has no such file yet.
    """
    import yaml

    path = root / FACTS_FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: write what the checkpoint's own files cannot say, as in its neighbours"
        )
    facts: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return facts


def report_card(
    checkpoint: Checkpoint, facts: Mapping[str, Any], root: Path, figures: Sequence[Headline] = (), tables: str = ""
) -> str:
    """Render the card of a bundled checkpoint.

    Args:
        checkpoint: a folder with `config.json` and, where it was trained here, `training_data.json`.
        facts: from `load_facts`.
        root: the checkout.
        figures: from `measured_figures`.
        tables: from `measured_text`.
    """
    file = (RESULTS_FOLDER / f"{facts['benchmark']}_accuracy.json").as_posix()
    stated = [
        Figure(
            name=figure.name,
            value=round(figure.value, 4),
            file=file,
            type=figure.metric,
            dataset=figure.dataset,
            dataset_name=facts["tests"].get(figure.dataset, figure.dataset),
            task_type=facts["task"]["type"],
            task_name=facts["task"]["name"],
        )
        for figure in figures
    ]
    known = {field.name: facts[field.name] for field in fields(CardFacts) if field.name in facts}
    command = f"`python -m benchmarks.accuracy.{facts['benchmark']}` in the repository measures it."
    accuracy = f"{facts['scoring']} {command}\n\n{tables}" if tables else ""
    return build_card(checkpoint.path, CardFacts(**known, note=NOTE), check_figures(stated, root), accuracy)


def _names(facts: Mapping[str, Any]) -> dict[str, str]:
    return {**facts["tests"], **facts["baselines"]}


def models_table(checkpoints: Sequence[Checkpoint], root: Path) -> str:
    """Lay out the table of the bundled checkpoints for the README."""
    rows = []
    for checkpoint in checkpoints:
        facts = load_facts(checkpoint.name, root)
        link = f"[`{checkpoint.name}`]({CHECKPOINTS_FOLDER.as_posix()}/{checkpoint.name}/README.md)"
        # The weights alone: the card is one of the folder's files, and it must not change its own size.
        size = (checkpoint.path / "model.safetensors").stat().st_size
        cells = [link, checkpoint.model_class, facts["task"]["name"], f"{checkpoint.num_parameters / 1e6:.1f} M"]
        rows.append([*cells, f"{size / 1e6:.1f} MB", facts["license"]])
    if not rows:
        return NOTHING_YET
    return markdown_table(["checkpoint", "class", "task", "parameters", "weights", "licence"], rows)


def predictions_table() -> str:
    """Lay out the table of what `rna-hf predict` gives for each task."""
    rows = [[f"`{name}`", one.columns_in_words, one.files_in_words] for name, one in predictions().items()]
    header = ["`rna-hf predict`", "columns beside `id`, `sequence` and `warning`", "files beside the table"]
    return markdown_table(header, rows)


def defaults_text() -> str:
    """Say which tasks come with a checkpoint."""
    without = [f"`{name}`" for name in predictions() if TASKS[name].default_checkpoint is None]
    return f"All but {', '.join(without)} come with a small trained checkpoint; `--model` names another one."


def trainings_table() -> str:
    """Lay out the table of what `rna-hf finetune` trains, and which classes have a head for it."""
    rows = []
    for name, training in trainings().items():
        head = TASKS[name].head
        classes = [f"`{one.prefix}For{head}`" for one in ARCHITECTURES.values() if head in one.heads]
        rows.append([f"`{name}`", ", ".join(classes), training.labels_in_words])
    return markdown_table(["task", "head", "labels of an RNA"], rows)


def fill_region(text: str, name: str, content: str) -> str:
    """Replace what stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`.

    Raises:
        ValueError: the two markers are not there exactly once.
    """
    begin, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the text needs {begin} and after it {end}, each once")
    return re.sub(
        f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL
    )


def generate(root: Path) -> dict[Path, str]:
    """Render everything that is generated.

    Args:
        root: the checkout.

    Returns:
        Path of each generated file to the text that it should have.
    """
    checkpoints = list_checkpoints(root / CHECKPOINTS_FOLDER)
    files: dict[Path, str] = {}
    names: dict[str, str] = {}
    headlines: dict[str, list[Headline]] = {}
    for checkpoint in checkpoints:
        facts = load_facts(checkpoint.name, root)
        names.update(_names(facts))
        path = root / RESULTS_FOLDER / f"{facts['benchmark']}_accuracy.json"
        check_weights(path, checkpoint)
        headlines[checkpoint.name] = measured_figures(path, checkpoint.name)
        text = measured_text(path, checkpoint.name, _names(facts))
        files[checkpoint.path / CARD_FILE] = report_card(checkpoint, facts, root, headlines[checkpoint.name], text)
    accuracy = [accuracy_tables(read_scores(root / ACCURACY_FILE), names), headline_table(headlines, names)]
    readme = (root / "README.md").read_text(encoding="utf-8")
    readme = fill_region(readme, "predictions", f"{predictions_table()}\n\n{defaults_text()}")
    readme = fill_region(readme, "trainings", trainings_table())
    readme = fill_region(readme, "models", models_table(checkpoints, root))
    readme = fill_region(readme, "accuracy", "\n\n".join(part for part in accuracy if part) or NOTHING_YET)
    readme = fill_region(readme, "performance", performance_text(root / RESULTS_FOLDER) or NOTHING_YET)
    memory = root / RESULTS_FOLDER / "embedding_memory.md"
    readme = fill_region(readme, "embedding_memory", memory.read_text(encoding="utf-8") if memory.is_file() else "")
    files[root / "README.md"] = readme
    return files


def find_stale(root: Path) -> list[Path]:
    """List the generated files that differ from what they should be."""
    return [
        path for path, text in generate(root).items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the generated files, or with `--check` name the stale ones; exit code 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.report", description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: the current folder)")
    parser.add_argument("--check", action="store_true", help="write nothing, only say what is stale")
    arguments = parser.parse_args(argv)
    if not (arguments.root / FACTS_FOLDER).is_dir():
        parser.error(f"{arguments.root.resolve()} is no checkout of rna_hf: it has no folder {FACTS_FOLDER}")
    stale = find_stale(arguments.root)
    for path in stale:
        print(f"{path}: {'stale, run `make cards`' if arguments.check else 'written'}")
    if arguments.check:
        return 1 if stale else 0
    for path, text in generate(arguments.root).items():
        path.write_text(text, encoding="utf-8")
    return 0
