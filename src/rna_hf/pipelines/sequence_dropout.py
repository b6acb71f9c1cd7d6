"""`pipeline("rna-sequence-dropout")`: the number of reads that a sequence gets in an experiment."""

from __future__ import annotations

from typing import Any

from rna_hf.prediction import TASKS, Row

from .base import RnaPipeline


class SequenceDropoutPipeline(RnaPipeline):
    """Predicts the number of reads, for one sequence or a list of them; one with few reads drops out of an experiment.

    Returns for each sequence a dict with `sequence` (as given), `reads` (a float for each of the model's channels) and
    `unit`. No checkpoint for this comes with the package: a model has to be named.

    Example:
        >>> predict = pipeline("rna-sequence-dropout", model="my-checkpoint")
        >>> predict("GGGAAACUCC")["reads"].keys()
        dict_keys(['2A3', 'DMS'])
    """

    task_name = "rna-sequence-dropout"
    prediction_task = TASKS["dropout"]

    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        return {"reads": {channel: rows[0][f"reads_{channel}"] for channel in self.model.config.channels}}
