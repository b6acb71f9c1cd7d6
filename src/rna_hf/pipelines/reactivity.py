"""`pipeline("rna-reactivity")`: chemical reactivity of each nucleotide of a sequence."""

from __future__ import annotations

from typing import Any

from rna_hf.prediction import TASKS, Row

from .base import RnaPipeline


class ReactivityPipeline(RnaPipeline):
    """Predicts the reactivity of each nucleotide, for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `reactivity` (for each of the model's channels a list
    of floats as long as the sequence) and `unit`. Opened without a model it uses the bundled checkpoint, offline.

    Example:
        >>> predict = pipeline("rna-reactivity")
        >>> predict("GGGAAACUCC")["reactivity"].keys()
        dict_keys(['2A3', 'DMS'])
    """

    task_name = "rna-reactivity"
    prediction_task = TASKS["reactivity"]

    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        return {
            "reactivity": {channel: rows[0][f"reactivity_{channel}"].tolist() for channel in self.model.config.channels}
        }
