"""Chemical reactivity of each nucleotide."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import ProfilePrediction, Row, Task, Training
from .scores import ChannelMetrics

REACTIVITY_UNIT = "normalised; 1 = 90th percentile"


class ReactivityPrediction(ProfilePrediction):
    """Chemical reactivity of each nucleotide, one column `reactivity_<channel>` for each of the model's channels."""

    summary = "chemical reactivity (2A3, DMS) of each nucleotide"
    columns_in_words = "`reactivity_2A3`, `reactivity_DMS`: a number for each nucleotide"
    files_in_words = "heat map"
    unit = REACTIVITY_UNIT
    plot_file = "reactivity.png"

    def labels(self, config: Any) -> dict[str, str]:
        return {f"reactivity_{channel}": channel for channel in config.channels}

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Chemical reactivity of each nucleotide, for one sequence or a list of them.

        Returns for each sequence a dict with `sequence` (as given), `reactivity` (for each of the model's channels a
        list of floats as long as the sequence) and `unit`. Opened without a model it uses the bundled checkpoint,
        offline.

        Example:
            >>> predict = pipeline("rna-reactivity")
            >>> predict("GGGAAACUCC")["reactivity"].keys()
            dict_keys(['2A3', 'DMS'])
        """
        return {"reactivity": {label: rows[0][name].tolist() for name, label in self.labels(config).items()}}

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        from ..plots import plot_heat_map

        plot_heat_map(rows, self.labels(config), path, f"reactivity ({self.unit})", title, limits=(0.0, 1.0))


REACTIVITY = Task(
    name="reactivity",
    head="Reactivity",
    prediction=ReactivityPrediction(),
    training=Training(
        "`labels`: a row of channels for each nucleotide",
        "rna_hf.data.collators:DataCollatorForReactivity",
        ChannelMetrics,
        label_names="channels",
        labels_of="nucleotides",
    ),
    default_checkpoint="ribonanzanet-mini",
)
