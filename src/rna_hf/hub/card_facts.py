"""What is known of a checkpoint folder for its card: from its files, and from a YAML file for what they can't say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..models.registry import ARCHITECTURES, Architecture
from ..tasks import TASKS, Task
from .card_figures import Figure, make_figure
from .card_metadata import TAG_OF_AUTO_CLASS, hub_id_of
from .originals import ORIGINALS

MANIFEST_FILE = "training_data.json"
SCORES_FILES = ("scores.json", "trainer_state.json")
EXAMPLE = "GGGAAACGCUUCGGCGUAAACCC"
# Of a file of facts, what `tools.report` reads beside a card.
REPORT_FIELDS = {"tests", "benchmark", "scoring", "baselines"}


@dataclass(frozen=True)
class CardFacts:
    """What no file of a checkpoint says. A section about which nothing is known is left out of the card.

    Measured numbers belong under `metrics`, where each needs the file that holds it; prose is not searched for numbers.

    Attributes:
        title: of the card.
        summary: what the checkpoint does, or where it comes from.
        tags: on the Hub, beside the type of the model.
        task: `auto_class`, which opens it, and of which package it is (`package`, if not `rna_hf`). For the snippet of
            `rna_hf.predict`: `predict`, the task's name, and `column` of the result. `output` of the model and its
            `shape`; `example`, a sequence; `names`, the field of the configuration that lists the outputs. For figures:
            its `type` and `name`.
        license: identifier of the weights' licence that the Hub knows, or "other".
        license_name: of another licence.
        license_link: where that is.
        base_model: id on the Hub of what it was made from.
        base_model_relation: how: "finetune", "adapter", "merge" or "quantized".
        datasets: ids on the Hub of what it was trained on.
        pipeline_tag: the Hub's name for its task; None for that of the Auto class, or "other".
        note: how the card was made.
        outputs: name of each output to what it is, unit included.
        original: `name`, `repository`, `commit` and `licence` of the original of the architecture; None for what
            `ORIGINALS` says.
        data: key of a source in `training_data.json` to its `name`, `source` and `licence`.
        limits: what to know before use.
        authors: of weights and architecture.
        paper: `authors`, `year`, `title`, `journal` and `doi`; None for what `ORIGINALS` says.
        metrics: entries of `rna_hf.hub.card_figures.Figure`.
    """

    title: str
    summary: str
    tags: list[str] | tuple[str, ...]
    task: Mapping[str, Any]
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    base_model: str | None = None
    base_model_relation: str | None = None
    datasets: list[str] | tuple[str, ...] = ()
    pipeline_tag: str | None = None
    note: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    original: Mapping[str, str] | None = None
    data: Mapping[str, Mapping[str, str]] | None = None
    limits: list[str] | tuple[str, ...] = ()
    authors: list[str] | tuple[str, ...] = ()
    paper: Mapping[str, Any] | None = None
    metrics: list[Mapping[str, Any]] | tuple[Mapping[str, Any], ...] = ()

    def figures(self) -> list[Figure]:
        """Return its metrics; the task is that of the card where an entry names none."""
        kind = str(self.task.get("type") or self.task.get("auto_class", "").removeprefix("AutoModelFor").lower())
        defaults = {"task_type": kind, "task_name": str(self.task.get("name") or "")}
        return [make_figure(entry, **defaults) for entry in self.metrics]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a folder; nothing where there is none.

    Raises:
        ValueError: it holds no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def read_config(folder: Path, architecture: Architecture) -> Any:
    """Open the configuration of a folder.

    Raises:
        ValueError: it describes no model of the architecture.
    """
    try:
        return architecture.find_class("Config").from_pretrained(folder)
    except Exception as error:  # strict dataclasses wrap whatever a validator raised
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{folder}: config.json describes no {architecture.name}: {reason}") from error


def find_facts(folder: Path) -> CardFacts:
    """Return what the files of a checkpoint folder say of it.

    Raises:
        FileNotFoundError: it has no `config.json`.
        ValueError: its model is none of this package's.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is not a checkpoint: it holds no config.json")
    saved, manifest = read_json(folder / "config.json"), read_json(folder / MANIFEST_FILE)
    if saved.get("model_type") not in ARCHITECTURES:
        raise ValueError(f"{folder}: model_type {saved.get('model_type')!r} is none of {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[saved["model_type"]]
    config = read_config(folder, architecture)
    head = (saved.get("architectures") or [""])[0].removeprefix(f"{architecture.prefix}For")
    task = next((task for task in TASKS.values() if task.head == head), None)
    auto_class = task.auto_class() if task else None
    auto_name = task.auto_class_name if task else "AutoModel"
    example = EXAMPLE * -(-config.min_sequence_length // len(EXAMPLE))
    base = hub_id_of(manifest.get("started_from"))
    return CardFacts(
        title=task.name if task else folder.resolve().name,
        summary=_summary(architecture.name, manifest),
        tags=["rna", *([task.name] if task else [])],
        base_model=base,
        base_model_relation="finetune" if base else None,
        task={
            "auto_class": auto_name,
            "package": auto_class.__module__.partition(".")[0] if auto_class else "transformers",
            "example": example,
            "type": task.pipeline_name if task else "",
            "name": task.name if task else "",
        },
        outputs=_outputs(task, config),
    )


def with_originals(facts: CardFacts, model_type: str) -> CardFacts:
    """Fill in whose work an architecture is, where the facts don't say."""
    known = ORIGINALS.get(model_type, {})
    return replace(facts, **{name: value for name, value in known.items() if getattr(facts, name) is None})


def read_facts(path: Path, facts: CardFacts) -> CardFacts:
    """Return facts with those of a YAML file in their place.

    Args:
        path: a file whose fields are those of `CardFacts`.
        facts: of the folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it can't be read, or has a field of another name or kind.
    """
    import yaml

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise ValueError(f"{path} must hold fields and their values, not {type(given).__name__}")
    return merge_facts(facts, given, str(path))


def merge_facts(facts: CardFacts, given: Mapping[str, Any], place: str = "facts") -> CardFacts:
    """Return facts with others in their place; fields of `task` one by one.

    Raises:
        ValueError: a field has another name or kind; `place` says where.
    """
    kinds = {"title": str, "summary": str, "note": str, "tags": list, "datasets": list, "limits": list}
    kinds |= {"authors": list, "metrics": list, "task": dict, "outputs": dict, "data": dict}
    names = {one.name for one in fields(CardFacts)}
    for name, value in given.items():
        if name in REPORT_FIELDS:
            continue
        if name not in names:
            raise ValueError(f"{place}: there is no field {name!r}; choose of {', '.join(sorted(names))}")
        kind = kinds.get(name)
        if kind and not isinstance(value, kind):
            raise ValueError(f"{place}: {name} must be a {kind.__name__}, got {value!r}")
    chosen = {name: value for name, value in given.items() if name in names}
    if "task" in chosen:
        chosen["task"] = {**facts.task, **chosen["task"]}
        if "auto_class" in given["task"] and "package" not in given["task"]:
            chosen["task"]["package"] = "rna_hf"
    if chosen.get("base_model") and "base_model_relation" not in chosen and not facts.base_model_relation:
        chosen["base_model_relation"] = "finetune"
    return replace(facts, **chosen)


def pipeline_tag_of(facts: CardFacts) -> str:
    """Return the Hub's name for the task; "other" where it has none that means the same."""
    return facts.pipeline_tag or TAG_OF_AUTO_CLASS.get(facts.task.get("auto_class", ""), "other")


def find_scores(folder: Path) -> tuple[str, dict[str, float]]:
    """Return the last scores of a run's folder and the name of the file that holds them; empty if none does."""
    scores = read_json(folder / SCORES_FILES[0])
    if scores:
        return SCORES_FILES[0], scores
    found: dict[str, float] = {}
    for entry in read_json(folder / SCORES_FILES[1]).get("log_history", []):
        found |= {name: value for name, value in entry.items() if name.startswith(("eval_", "test_"))}
    return (SCORES_FILES[1] if found else ""), found


def _summary(architecture: str, manifest: Mapping[str, Any]) -> str:
    """Say where a checkpoint comes from."""
    if not manifest.get("task"):
        return f"A `{architecture}` for `rna_hf`."
    started_from = manifest.get("started_from")
    origin = f"Fine-tuned from `{started_from}`" if started_from else f"A `{architecture}`, trained from nothing"
    sources = manifest.get("sources", [])
    counts = ", ".join(f"{source['rows']:,} {source['name']}" for source in sources)
    files: list[str] = next((source["files"] for source in sources if source["name"] == "train"), [])
    on = f" on {', '.join(f'`{file}`' for file in files)}" if files else ""
    return f"{origin} with `{manifest.get('tool', 'rna-hf finetune')}`{on} ({counts} RNAs)."


def _outputs(task: Task | None, config: Any) -> dict[str, str]:
    """Name what a head predicts, with its unit."""
    if task is None:
        return {}
    if task.prediction:
        return dict.fromkeys(task.prediction.columns(config), task.prediction.unit)
    if task.training and task.training.has_classes:
        names = [str(name) for name in config.id2label.values()]
        return dict.fromkeys(names, "label of the training data, on its scale")
    return {}
