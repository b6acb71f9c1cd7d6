"""`pipeline("rna-localisation")`: where in the cell an mRNA is found."""

from __future__ import annotations

from typing import Any, ClassVar

from rna_hf.prediction import Row
from rna_hf.prediction.tasks import LocalisationTask

from .base import RnaPipeline


class LocalisationPipeline(RnaPipeline):
    """Predicts the share of an mRNA in each compartment of the cell, for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `localisation` (a float for each of the model's
    compartments, which sum to 1), `windows`, `attention` and `unit`. `attention` is a weight for each window that the
    model looks at, which sum to 1; window i begins at nucleotide i * config.window_stride (0-based) of what the model
    reads and has config.window_size nucleotides. `windows` are those with the most attention that do not overlap, the
    strongest first: dicts with `rank` (from 1), `start` and `end` (nucleotides, 0-based, the end not included),
    `sequence`, `weight` and `relative_weight` (1 is the mean of all windows).

    Each mRNA is read whole and without padding. `fixed_length`, an option of a call, cuts and pads it to so many
    nucleotides as `rna_hf.predict` does; `start` and `end` stay those of the sequence as given.

    Example:
        >>> predict = pipeline("rna-localisation", model="my-checkpoint")
        >>> predict("GGGAAACUCC" * 100)["localisation"].keys()
        dict_keys(['Cytosol', 'Insoluble', 'Membrane', 'Nuclear'])
    """

    task_name = "rna-localisation"
    prediction_task: ClassVar[LocalisationTask] = LocalisationTask()
    call_options = ("fixed_length",)

    def _name(self, rows: list[Row], sequence: str, task: LocalisationTask) -> dict[str, Any]:
        config, attention = self.model.config, rows[0]["attention"]
        return {
            "localisation": {name: rows[0][name] for name in config.compartments},
            "windows": task.describe_windows(attention, sequence, config),
            "attention": attention.tolist(),
        }
