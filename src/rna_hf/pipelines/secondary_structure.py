"""`pipeline("rna-secondary-structure")`: the base pairs of a sequence."""

from __future__ import annotations

from typing import Any

from rna_hf.prediction import TASKS, Row

from .base import RnaPipeline


class SecondaryStructurePipeline(RnaPipeline):
    """Predicts base pairs, for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `structure` (dot-bracket, pseudoknots included),
    `confidence` (0 to 1: the mean probability of the state, paired or not, of each nucleotide) and `unit`. Opened
    without a model it uses the bundled checkpoint, offline.

    Example:
        >>> predict = pipeline("rna-secondary-structure")
        >>> predict("GGGGAAAACCCC")["structure"]
        '((((....))))'
    """

    task_name = "rna-secondary-structure"
    prediction_task = TASKS["structure"]

    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        return {"structure": rows[0]["structure"], "confidence": rows[0]["confidence"]}
