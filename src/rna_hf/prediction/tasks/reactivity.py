"""`predict reactivity`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import ProfileTask, Row

REACTIVITY_UNIT = "normalised; 1 = 90th percentile"


class ReactivityTask(ProfileTask):
    """Chemical reactivity of each nucleotide, one column `reactivity_<channel>` for each of the model's channels."""

    name = "reactivity"
    unit = REACTIVITY_UNIT
    plot_file = "reactivity.png"

    def auto_class(self) -> Any:
        from ...auto import AutoModelForReactivity

        return AutoModelForReactivity

    def labels(self, config: Any) -> dict[str, str]:
        return {f"reactivity_{channel}": channel for channel in config.channels}

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        from ...plots import plot_heat_map

        plot_heat_map(rows, self.labels(config), path, f"reactivity ({self.unit})", title, limits=(0.0, 1.0))
