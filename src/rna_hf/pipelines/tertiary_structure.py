"""`pipeline("rna-tertiary-structure")`: the position of each nucleotide of a sequence."""

from __future__ import annotations

from typing import Any

from rna_hf.prediction import TASKS, Row

from .base import RnaPipeline


class TertiaryStructurePipeline(RnaPipeline):
    """Predicts the position of each nucleotide's atom C1', for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `coordinates` (a list for each sample, the plain
    prediction first, of `[x, y, z]` of each nucleotide, in a frame of no meaning) and `unit` (angstrom). `num_samples`,
    1 to 100 and 5 by default, is an option of a call. Opened without a model it uses the bundled checkpoint, offline.

    Example:
        >>> predict = pipeline("rna-tertiary-structure")
        >>> len(predict("GGGAAACUCC", num_samples=2)["coordinates"])
        2
    """

    task_name = "rna-tertiary-structure"
    prediction_task = TASKS["3d"]
    call_options = ("num_samples",)

    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        return {
            "coordinates": [
                [list(position) for position in zip(*(row[axis].tolist() for axis in ("x", "y", "z")), strict=True)]
                for row in rows
            ]
        }
