"""Sequence dropout: numbers of reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..measured import is_measured
from .base import Kind, Prediction, Row, Task, Training
from .scores import BatchMetrics, pearson_r, spearman_r

if TYPE_CHECKING:
    from torch import Tensor


class SequenceDropoutPrediction(Prediction):
    """Number of reads that a sequence gets in an experiment, one column `reads_<channel>` for each channel."""

    summary = "number of reads of each RNA in an experiment"
    columns_in_words = "`reads_2A3`, `reads_DMS`"
    unit = "reads"

    def columns(self, config: Any) -> dict[str, Kind]:
        return {f"reads_{channel}": "number" for channel in config.channels}

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        return list(outputs.read_counts.float().cpu().numpy())

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        return [dict(zip(self.columns(config), values.tolist(), strict=True))]

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Number of reads, for one sequence or a list of them; one with few reads drops out of an experiment.

        Returns for each sequence a dict with `sequence` (as given), `reads` (a float for each of the model's channels)
        and `unit`. No checkpoint for this comes with the package: a model has to be named.

        Example:
            >>> predict = pipeline("rna-sequence-dropout", model="my-checkpoint")
            >>> predict("GGGAAACUCC")["reads"].keys()
            dict_keys(['2A3', 'DMS'])
        """
        return {"reads": {channel: rows[0][f"reads_{channel}"] for channel in config.channels}}


class SequenceDropoutMetrics(BatchMetrics):
    """Correlation of predicted and counted reads over sequences, on log(1 + reads)."""

    def __init__(self, config: Any):
        super().__init__()
        self.channels = list(config.channels)

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.logaddexp(0, values), labels

    def compute(self, batches: list[Any]) -> dict[str, float]:
        values, labels = (np.concatenate(part).astype(np.float64) for part in zip(*batches, strict=True))
        result = {}
        for index, name in enumerate(self.channels):
            known = is_measured(labels[:, index])
            predicted, counted = values[known, index], np.log1p(labels[known, index])
            result[f"mae_log_{name}"] = float(np.abs(predicted - counted).mean())
            result[f"pearson_log_{name}"] = pearson_r(predicted, counted)
            result[f"spearman_{name}"] = spearman_r(predicted, counted)
        return result


def reads_as_labels(dataset: Any) -> Any:
    """Make the numbers of reads of a Ribonanza file the labels; NaN for an experiment without a row there."""
    if not {"reads", "signal_to_noise"} <= set(dataset.column_names):
        return dataset

    def count(example: dict[str, Any]) -> dict[str, list[float]]:
        pairs = zip(example["reads"], example["signal_to_noise"], strict=True)
        return {"labels": [float("nan") if np.isnan(ratio) else float(reads) for reads, ratio in pairs]}

    kept = dataset.select_columns(["sequence", "reads", "signal_to_noise"])
    return kept.map(count, desc="reads")


SEQUENCE_DROPOUT = Task(
    name="dropout",
    head="SequenceDropout",
    prediction=SequenceDropoutPrediction(),
    training=Training(
        "`labels`: numbers of reads, one for each channel",
        "rna_hf.data.collators:DataCollatorForSequences",
        SequenceDropoutMetrics,
        prepare=reads_as_labels,
        label_names="channels",
        labels_of="sequence",
        lowest=0.0,
    ),
)
