"""`pipeline("rna-degradation")`: reactivity and degradation rates of each nucleotide of a sequence."""

from __future__ import annotations

from typing import Any

from rna_hf.prediction import TASKS, Row

from .base import RnaPipeline


class DegradationPipeline(RnaPipeline):
    """Predicts the degradation of each nucleotide, for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `degradation` (for each of the model's targets a list
    of floats as long as the sequence) and `unit`. Rates are relative to a reference: only ratios of them mean
    something. Opened without a model it uses the bundled checkpoint, offline.

    Example:
        >>> predict = pipeline("rna-degradation")
        >>> predict("GGGAAACUCC")["degradation"].keys()
        dict_keys(['reactivity', 'deg_Mg_pH10', 'deg_pH10', 'deg_Mg_50C', 'deg_50C'])
    """

    task_name = "rna-degradation"
    prediction_task = TASKS["degradation"]

    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        return {"degradation": {target: values.tolist() for target, values in rows[0].items()}}
