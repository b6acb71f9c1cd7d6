"""What a benchmark leaves behind: its JSON, the table beside it, and the figures that stand for a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def headline(
    dataset: str, metric: str, name: str, value: float, baselines: Mapping[str, float], is_error: bool = False
) -> dict[str, Any]:
    """Put a checkpoint's figure beside the best of its baselines, as `tools.report.accuracy.Headline` has it.

    Args:
        dataset: key of the test set.
        metric: key of the metric.
        name: of the metric, for readers.
        value: of the checkpoint.
        baselines: of each baseline.
        is_error: whether less is better.
    """
    best = (min if is_error else max)(baselines, key=lambda baseline: baselines[baseline])
    figures = {"value": value, "baseline": best, "baseline_value": baselines[best]}
    return {"dataset": dataset, "metric": metric, "name": name, **figures}


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, by which a card knows that they are those that were measured."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def weights_digests(folders: Iterable[Path]) -> dict[str, str]:
    """Return `weights_digest` by the names of the folders."""
    return {folder.name: weights_digest(folder) for folder in folders}


def with_interval(entry: Mapping[str, float], form: str = ".3f") -> str:
    """Write `value`, `low` and `high` as in `0.512 (0.498 to 0.527)`.

    Args:
        entry: the three.
        form: of each number, such as `+.3f` for a difference.
    """
    return f"{entry['value']:{form}} ({entry['low']:{form}} to {entry['high']:{form}})"


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out a table of numbers, each row with a name before them.

    Args:
        heads: of the columns of numbers.
        rows: a name and the cells.
    """
    header = ["| | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    return header + ["| " + " | ".join(row) + " |" for row in rows]


def write_report(report: Mapping[str, Any], table: str, output: Path) -> None:
    """Write the JSON and, beside it, the table as `.md`; print the table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)
