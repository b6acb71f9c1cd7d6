"""The measured numbers of a card, each with the file that it was taken from; one without is refused."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .card_metadata import is_hub_id

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

RESULTS_FOLDER = ".eval_results"
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: of the metric, for readers.
        value: the number; read from the file where it is None and `key` says where it stands there.
        file: that it was taken from, as the card names it.
        type: of the metric, such as `mae`, for the Hub.
        dataset: key of the test set.
        dataset_name: of the test set, for readers.
        key: where the number stands in a JSON file, names with dots between.
        task_type: key of the task.
        task_name: of the task, for readers.
        split: of the test set.
        hub_dataset: id of a benchmark on the Hub, for `.eval_results`; needs `hub_task`.
        hub_task: id of the task within that benchmark.
        date: when it was measured, YYYY-MM-DD.
    """

    name: str
    value: float | None = None
    file: str = ""
    type: str = ""
    dataset: str = ""
    dataset_name: str = ""
    key: str = ""
    task_type: str = ""
    task_name: str = ""
    split: str = "test"
    hub_dataset: str = ""
    hub_task: str = ""
    date: str = ""

    def describe(self) -> str:
        """Name the number in a message."""
        return f"{self.name} {self.value!r}" + (f" on {self.dataset_name or self.dataset}" if self.dataset else "")

    def to_result(self) -> EvalResult:
        """Return it for the front matter's `model-index`."""
        from huggingface_hub import EvalResult

        return EvalResult(
            task_type=self.task_type,
            task_name=self.task_name or None,
            dataset_type=self.dataset,
            dataset_name=self.dataset_name or self.dataset,
            dataset_split=self.split or None,
            metric_type=self.type,
            metric_name=self.name,
            metric_value=self.value,
        )


def make_figure(entry: Mapping[str, Any], **defaults: str) -> Figure:
    """Make a figure of an entry under `metrics` in a file of facts.

    Raises:
        ValueError: a field is unknown or missing.
    """
    known = {field.name for field in fields(Figure)}
    if not isinstance(entry, dict) or not set(entry) <= known or "name" not in entry:
        raise ValueError(
            f"metrics: {entry!r} must have a name, a value and a file, of the fields {', '.join(sorted(known))}"
        )
    entry = {name: str(value) if isinstance(value, datetime.date) else value for name, value in entry.items()}
    value = entry.get("value")
    if isinstance(value, bool) or not (value is None or isinstance(value, (int, float))):
        raise ValueError(f"metrics: the value of {entry['name']} is {value!r}, no number")
    return Figure(**{**defaults, **entry})


def check_figures(figures: Iterable[Figure], *roots: Path) -> list[Figure]:
    """Compare each number with its file, and return the figures with all values.

    Args:
        figures: to check.
        *roots: folders that the names of files may begin from.

    Raises:
        ValueError: a number has no file, its file is missing, or does not have the number.
    """
    return [_check(figure, roots) for figure in figures]


def _check(figure: Figure, roots: Sequence[Path]) -> Figure:
    if not figure.file:
        raise ValueError(f"the number {figure.describe()} has no source file: name it under `file`, or leave it out")
    path = next((root / figure.file for root in roots if (root / figure.file).is_file()), None)
    if path is None:
        raise ValueError(f"the number {figure.describe()}: its source file {figure.file} is not there")
    text = path.read_text(encoding="utf-8")
    value = figure.value
    if figure.key:
        found = _find(text, figure.key)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise ValueError(f"the number {figure.describe()}: {figure.file} has no number at {figure.key}")
        numbers = [float(found)]
        value = found if value is None else value
    else:
        numbers = [float(number) for number in _NUMBER.findall(text)]
    if value is None:
        raise ValueError(f"the metric {figure.name} has neither a value nor a key that says where its file has it")
    if not math.isfinite(value):
        raise ValueError(f"the number {figure.describe()} is not finite")
    if not any(_is_rounded(value, number) for number in numbers):
        raise ValueError(f"the number {figure.describe()} is not in its source file {figure.file}")
    return Figure(**{**vars(figure), "value": value})


def _find(text: str, key: str) -> Any:
    try:
        content = json.loads(text)
        for part in key.split("."):
            content = content[int(part)] if isinstance(content, list) else content[part]
    except (ValueError, LookupError, TypeError):
        return None
    return content


def _is_rounded(value: float, number: float) -> bool:
    """Whether a stated value is a number, or a number rounded to the value's digits."""
    if value == number:
        return True
    decimals = repr(value).partition(".")[2]
    return decimals.isdigit() and decimals != "0" and round(number, len(decimals)) == value


def figure_rows(figures: Iterable[Figure]) -> list[list[str]]:
    """Return rows for a card: test set, metric, value, file."""
    return [[one.dataset_name or one.dataset, one.name, f"{one.value:.4g}", f"`{one.file}`"] for one in figures]


def write_eval_results(folder: Path, figures: Iterable[Figure]) -> list[Path]:
    """Write `.eval_results/*.yaml`, a file for each benchmark that the Hub has, and return their paths.

    Raises:
        ValueError: a benchmark's id or task is not of the Hub's form.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries: dict[str, list[EvalResultEntry]] = {}
    for figure in figures:
        if not figure.hub_dataset:
            continue
        if not is_hub_id(figure.hub_dataset) or not figure.hub_task:
            raise ValueError(
                f"the number {figure.describe()}: hub_dataset {figure.hub_dataset!r} must be owner/name, and hub_task "
                f"{figure.hub_task!r} name one of its tasks"
            )
        if figure.date and not re.fullmatch(r"\d{4}-\d\d-\d\d", figure.date):
            raise ValueError(f"the number {figure.describe()}: date {figure.date!r} must be YYYY-MM-DD")
        entry = EvalResultEntry(
            dataset_id=figure.hub_dataset,
            task_id=figure.hub_task,
            value=figure.value,
            date=figure.date or None,
            notes=figure.name,
        )
        entries.setdefault(figure.hub_dataset, []).append(entry)
    written = []
    for dataset, of_dataset in entries.items():
        path = folder / RESULTS_FOLDER / f"{dataset.replace('/', '_')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(eval_result_entries_to_yaml(of_dataset), sort_keys=False), encoding="utf-8")
        written.append(path)
    return written
