"""What a benchmark leaves behind: its JSON, the table beside it, and the figures that stand for a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def headline(
    dataset: str, metric: str, name: str, value: float, baselines: Mapping[str, float], is_error: bool = False
) -> dict[str, Any]:
    """Put a checkpoint's figure beside the best of its baselines, as `rna_hf.hub.accuracy.Headline` has it.

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


def write_report(report: Mapping[str, Any], table: str, output: Path) -> None:
    """Write the JSON and, beside it, the table as `.md`; print the table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)
