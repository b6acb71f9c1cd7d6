"""What can be predicted: for each kind, the models it takes, the columns it makes and how an output becomes a row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

REACTIVITY_UNIT = "normalised; 1 = 90th percentile"


class PredictionTask(ABC):
    """What the engine has to know about one kind of prediction.

    Attributes:
        name: as on the command line.
        unit: of the predicted values, for the files' metadata.
        plot_file: name of the figure of the first RNAs.
    """

    name: str
    unit: str
    plot_file: str

    @abstractmethod
    def auto_class(self) -> Any:
        """Return the Auto class whose models are accepted."""

    @abstractmethod
    def columns(self, config: Any) -> list[str]:
        """Return the names of the predicted columns, each a list of float32 as long as the sequence."""

    @abstractmethod
    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return one array for each sequence of a batch.

        Args:
            outputs: what the model returned.
            keep: (B, L), True at the sequence's own nucleotides, False at special tokens and padding.
        """

    @abstractmethod
    def reverse(self, values: np.ndarray) -> np.ndarray:
        """Bring the array of a reversed sequence into the order of the sequence itself."""

    @abstractmethod
    def row(self, values: np.ndarray, config: Any) -> dict[str, np.ndarray]:
        """Spread an array over `columns`."""

    @abstractmethod
    def plot(self, rows: Sequence[dict[str, Any]], config: Any, path: Path, title: str) -> None:
        """Draw rows (with `id` and `sequence`) to a PNG."""


class ReactivityTask(PredictionTask):
    """Chemical reactivity of each nucleotide, one column `reactivity_<channel>` for each of the model's channels."""

    name = "reactivity"
    unit = REACTIVITY_UNIT
    plot_file = "reactivity.png"

    def auto_class(self) -> Any:
        from ..auto import AutoModelForReactivity

        return AutoModelForReactivity

    def columns(self, config: Any) -> list[str]:
        return [f"reactivity_{channel}" for channel in config.channels]

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        logits = outputs.logits.float().cpu()
        return [logits[index][keep[index]].numpy() for index in range(len(keep))]

    def reverse(self, values: np.ndarray) -> np.ndarray:
        return values[::-1]

    def row(self, values: np.ndarray, config: Any) -> dict[str, np.ndarray]:
        return {name: values[:, index] for index, name in enumerate(self.columns(config))}

    def plot(self, rows: Sequence[dict[str, Any]], config: Any, path: Path, title: str) -> None:
        from ..plots import plot_reactivity

        plot_reactivity(rows, config.channels, path, self.unit, title)


TASKS: dict[str, PredictionTask] = {task.name: task for task in (ReactivityTask(),)}
