"""What can be fine-tuned: for each task its Auto class, its collator, and the metrics of an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.collators import (
    SHARES_TOLERANCE,
    DataCollatorForContacts,
    DataCollatorForCoordinates,
    DataCollatorForLocalisation,
    DataCollatorForMaskedNucleotides,
    DataCollatorForNucleotides,
    DataCollatorForPairs,
    DataCollatorForReactivity,
    DataCollatorForSequences,
    DataCollatorForTokens,
)
from ..data.readers.localisation import to_distribution
from ..losses import problem_type_of
from .metrics import channel_metrics, is_measured, pearson_r, spearman_r


class BatchMetrics(ABC):
    """A `compute_metrics` for `TrainingArguments(batch_eval_metrics=True)`: it sees one batch after the other.

    So nothing of the size (RNAs, L, L) is ever gathered.
    """

    def __init__(self) -> None:
        self._batches: list[Any] = []

    def __call__(self, prediction: Any, compute_result: bool = False) -> dict[str, float]:
        """Take in a batch; with `compute_result` return the metrics of all since the last result."""
        values, labels = (
            np.asarray((part[0] if isinstance(part, tuple) else part).float().cpu())
            for part in (prediction.predictions, prediction.label_ids)
        )
        self._batches.append(self.reduce(values, labels))
        if not compute_result:
            return {}
        batches, self._batches = self._batches, []
        return self.compute(batches)

    @abstractmethod
    def reduce(self, values: np.ndarray, labels: np.ndarray) -> Any:
        """Return what has to be kept of a batch."""

    @abstractmethod
    def compute(self, batches: list[Any]) -> dict[str, float]:
        """Return the metrics by name."""


class ChannelMetrics(BatchMetrics):
    """Errors and correlations of each named channel over all measured values."""

    def __init__(self, config: Any):
        super().__init__()
        self.channels = self._channels(config)
        self.clip = self._clip(config)

    def _channels(self, config: Any) -> list[str]:
        return list(config.channels)

    def _clip(self, config: Any) -> tuple[float, float] | None:
        return None if config.label_range is None else tuple(config.label_range)

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = len(self.channels)
        return values.reshape(-1, size), labels.reshape(-1, size)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        values, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        return channel_metrics(values[None], labels[None], self.channels, self.clip)


class DegradationMetrics(ChannelMetrics):
    """Those of each target, and the mean of the root mean squared errors over targets (MCRMSE).

    `mcrmse_scored` is over the three targets that the OpenVaccine competition scored, where the model has them.
    """

    SCORED = ("reactivity", "deg_Mg_pH10", "deg_Mg_50C")

    def _channels(self, config: Any) -> list[str]:
        return list(config.degradation_targets)

    def _clip(self, config: Any) -> tuple[float, float] | None:
        return None

    def compute(self, batches: list[Any]) -> dict[str, float]:
        values, labels = (np.concatenate(part).astype(np.float64) for part in zip(*batches, strict=True))
        result: dict[str, float] = {}
        errors = {}
        for index, name in enumerate(self.channels):
            known = is_measured(labels[:, index])
            errors[name] = float(np.sqrt(np.mean((values[known, index] - labels[known, index]) ** 2)))
            result[f"rmse_{name}"] = errors[name]
            result[f"pearson_{name}"] = pearson_r(values[known, index], labels[known, index])
        result["mcrmse"] = float(np.mean(list(errors.values())))
        if set(self.SCORED) <= set(errors):
            result["mcrmse_scored"] = float(np.mean([errors[name] for name in self.SCORED]))
        return result


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


class LocalisationMetrics(BatchMetrics):
    """Pearson's r of predicted and measured shares: of each compartment, and of all values as one list."""

    def __init__(self, config: Any):
        super().__init__()
        self.compartments = list(config.compartments)

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = values.astype(np.float64)
        return np.exp(values - np.logaddexp.reduce(values, axis=-1, keepdims=True)), labels.astype(np.float64)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        shares, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        labelled = is_measured(labels).all(-1)
        shares, labels = shares[labelled], labels[labelled]
        result = {"pearson": pearson_r(shares.ravel(), labels.ravel())}
        for index, name in enumerate(self.compartments):
            result[f"pearson_{name}"] = pearson_r(shares[:, index], labels[:, index])
        return result


class PairMetrics(BatchMetrics):
    """Precision, recall and F1 of base pairs with a probability over one half, averaged over RNAs.

    An RNA without pairs counts as 1 where none was predicted and as 0 otherwise. Decoding a structure, which costs more
    and leaves out conflicts, is for `rna_hf.structure`.
    """

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
        upper = np.triu(np.ones(labels.shape[1:], dtype=bool), 1) & is_measured(labels)
        predicted, known = (values > 0) & upper, (labels > 0.5) & upper
        return np.stack([part.sum((1, 2)) for part in (predicted & known, predicted, known)], axis=1)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        right, predicted, known = np.concatenate(batches).T.astype(np.float64)
        empty = (predicted == 0) & (known == 0)
        return {
            name: float(np.where(empty, 1.0, right / np.maximum(total, 1)).mean())
            for name, total in (("precision", predicted), ("recall", known), ("f1", (predicted + known) / 2))
        }


class ContactMetrics(PairMetrics):
    """Those of `PairMetrics`, for pairs of nucleotides whose likelier class of two is 1."""

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return super().reduce(values[..., 1] - values[..., 0], labels)


class CoordinateMetrics(BatchMetrics):
    """TM-score and root mean squared deviation after superposition, averaged over chains."""

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> list[tuple[float, float]]:
        from ..structure.coordinates import rmsd, tm_score

        scores = []
        for model, native in zip(values, labels):
            resolved = ~(np.isnan(native).any(1) | (native == -100).all(1))
            if resolved.sum() >= 3:
                scores.append((tm_score(model[resolved], native[resolved]), rmsd(model[resolved], native[resolved])))
        return scores

    def compute(self, batches: list[Any]) -> dict[str, float]:
        scores = np.array([score for batch in batches for score in batch]).reshape(-1, 2)
        return {"tm_score": float(scores[:, 0].mean()), "rmsd": float(scores[:, 1].mean())}


class ClassMetrics(BatchMetrics):
    """Accuracy and macro-averaged F1 of classes; for a regression, Pearson's r and the mean absolute error."""

    def __init__(self, config: Any):
        super().__init__()
        self.num_labels = config.num_labels
        self.problem_type = problem_type_of(config)

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.problem_type == "single_label_classification":
            return values.argmax(-1).ravel(), labels.ravel()
        return values.reshape(-1, self.num_labels), labels.reshape(-1, self.num_labels)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        values, labels = (np.concatenate(part).astype(np.float64) for part in zip(*batches, strict=True))
        if self.problem_type == "regression":
            known = is_measured(labels)
            return {
                "mae": float(np.abs(values[known] - labels[known]).mean()),
                "pearson": pearson_r(values[known], labels[known]),
            }
        if self.problem_type == "multi_label_classification":
            known = is_measured(labels)
            predicted, truth = values > 0, labels > 0.5
            classes = [(predicted[known[:, c], c], truth[known[:, c], c]) for c in range(self.num_labels)]
            accuracy = float((predicted == truth)[known].mean())
        else:
            known = labels != -100
            predicted, truth = values[known], labels[known]
            classes = [(predicted == c, truth == c) for c in range(self.num_labels)]
            accuracy = float((predicted == truth).mean())
        scores = [2 * (p & t).sum() / max(p.sum() + t.sum(), 1) for p, t in classes if (p | t).any()]
        return {"accuracy": accuracy, "macro_f1": float(np.mean(scores))}


class MaskedLMMetrics(BatchMetrics):
    """Part of the hidden nucleotides that are named right, and the perplexity: exp of their mean cross-entropy."""

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[float, float, int]:
        hidden = is_measured(labels)
        values, labels = values[hidden].astype(np.float64), labels[hidden].astype(np.int64)
        entropy = np.logaddexp.reduce(values, axis=-1) - values[np.arange(len(labels)), labels]
        return float((values.argmax(-1) == labels).sum()), float(entropy.sum()), len(labels)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        right, entropy, count = np.array(batches).sum(0)
        return {"accuracy": float(right / count), "perplexity": float(np.exp(entropy / count))}


def keep_columns(dataset: Any) -> Any:
    """Return a data set as it is."""
    return dataset


def reads_as_labels(dataset: Any) -> Any:
    """Make the numbers of reads of a Ribonanza file the labels; NaN for an experiment without a row there."""
    if not {"reads", "signal_to_noise"} <= set(dataset.column_names):
        return dataset

    def count(example: dict[str, Any]) -> dict[str, list[float]]:
        pairs = zip(example["reads"], example["signal_to_noise"], strict=True)
        return {"labels": [float("nan") if np.isnan(ratio) else float(reads) for reads, ratio in pairs]}

    kept = dataset.select_columns(["sequence", "reads", "signal_to_noise"])
    return kept.map(count, desc="reads")


def shares_as_labels(dataset: Any) -> Any:
    """Divide the numbers of each RNA's compartments by their sum, where that is not 1 already; NaN: not measured.

    Raises:
        ValueError: labels are no list, one is negative or all are 0.
    """
    from datasets import Features, List, Value

    if "labels" not in dataset.column_names:
        return dataset

    def divide(example: dict[str, Any], index: int) -> dict[str, list[float]]:
        where = f"row {index + 1}"
        labels = np.array(example["labels"], dtype=np.float64)
        if labels.ndim != 1:
            raise ValueError(f"{where}: labels are {example['labels']}; a number for each compartment is needed")
        labels[~is_measured(labels)] = np.nan
        shares = to_distribution(labels.tolist(), where)
        return {"labels": labels.tolist() if abs(labels.sum() - 1) <= SHARES_TOLERANCE else shares}

    # The type of whole numbers would stay otherwise, as long as the shares are 0 and 1.
    features = Features(dataset.features | {"labels": List(Value("float32"))})
    return dataset.map(divide, with_indices=True, features=features, desc="shares")


@dataclass(frozen=True)
class FineTuneTask:
    """One kind of fine-tuning.

    Attributes:
        auto_class: name of the Auto class of its models.
        collator: makes its collator from a tokenizer.
        metrics: makes its metrics from a configuration.
        best: the metric by which the best checkpoint is chosen.
        greater_is_better: of that metric.
        columns: that a data set must have.
        prepare: makes them of the columns that a reader gives.
        label_names: field of the configuration that names the labels of an RNA, where their number is fixed.
    """

    auto_class: str
    collator: Callable[[Any], Any]
    metrics: Callable[[Any], BatchMetrics]
    best: str
    greater_is_better: bool
    columns: tuple[str, ...]
    prepare: Callable[[Any], Any] = keep_columns
    label_names: str | None = None


_LABELLED = ("sequence", "labels")
TASKS: dict[str, FineTuneTask] = {
    "reactivity": FineTuneTask(
        "AutoModelForReactivity", DataCollatorForReactivity, ChannelMetrics, "loss", False, _LABELLED
    ),
    "degradation": FineTuneTask(
        "AutoModelForDegradation", DataCollatorForNucleotides, DegradationMetrics, "mcrmse", False, _LABELLED
    ),
    "dropout": FineTuneTask(
        "AutoModelForSequenceDropout",
        DataCollatorForSequences,
        SequenceDropoutMetrics,
        "loss",
        False,
        _LABELLED,
        reads_as_labels,
    ),
    "structure": FineTuneTask(
        "AutoModelForSecondaryStructure", DataCollatorForPairs, PairMetrics, "f1", True, ("sequence", "pairs")
    ),
    "3d": FineTuneTask(
        "AutoModelForTertiaryStructure",
        DataCollatorForCoordinates,
        CoordinateMetrics,
        "tm_score",
        True,
        ("sequence", "coordinates"),
    ),
    "localisation": FineTuneTask(
        "AutoModelForLocalisation",
        DataCollatorForLocalisation,
        LocalisationMetrics,
        "pearson",
        True,
        _LABELLED,
        shares_as_labels,
        "compartments",
    ),
    "sequence-classification": FineTuneTask(
        "AutoModelForSequenceClassification", DataCollatorForSequences, ClassMetrics, "loss", False, _LABELLED
    ),
    "token-classification": FineTuneTask(
        "AutoModelForTokenClassification", DataCollatorForTokens, ClassMetrics, "loss", False, _LABELLED
    ),
    "contact-prediction": FineTuneTask(
        "AutoModelForContactPrediction", DataCollatorForContacts, ContactMetrics, "f1", True, ("sequence", "pairs")
    ),
    "masked-lm": FineTuneTask(
        "AutoModelForMaskedLM", DataCollatorForMaskedNucleotides, MaskedLMMetrics, "loss", False, ("sequence",)
    ),
}
