"""`predict dropout`: numbers of reads."""

from typing import Any

import numpy as np
from torch import Tensor

from .base import Kind, PredictionTask, Row


class SequenceDropoutTask(PredictionTask):
    """Number of reads that a sequence gets in an experiment, one column `reads_<channel>` for each channel."""

    name = "dropout"
    unit = "reads"

    def auto_class(self) -> Any:
        from ...auto import AutoModelForSequenceDropout

        return AutoModelForSequenceDropout

    def columns(self, config: Any) -> dict[str, Kind]:
        return {f"reads_{channel}": "number" for channel in config.channels}

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        return list(outputs.read_counts.float().cpu().numpy())

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        return [dict(zip(self.columns(config), values.tolist(), strict=True))]
