"""Scores of predictions over measured values only, those of the losses: see `rna_hf.measured`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from ..measured import is_measured


class MeasuredProfile(Protocol):
    """What `evaluate` reads of a record."""

    @property
    def sequence(self) -> str:
        """RNA sequence of L nucleotides."""

    @property
    def channels(self) -> Sequence[str]:
        """Names of the C columns of `reactivity`."""

    @property
    def reactivity(self) -> np.ndarray:
        """(L, C), normalised reactivity, NaN where not measured."""


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Rank values from 1; equal values share the mean of their ranks, as Spearman's r wants it.

    Args:
        values: (N,).

    Returns:
        (N,), float64.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def pearson_r(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of two (N,) arrays; NaN for fewer than two values or a constant side."""
    if len(x) < 2:
        return float("nan")
    x = np.asarray(x, dtype=np.float64) - np.mean(x, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64) - np.mean(y, dtype=np.float64)
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def spearman_r(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman rank correlation of two (N,) arrays, ties averaged; NaN where Pearson's would be."""
    return pearson_r(average_ranks(np.asarray(x)), average_ranks(np.asarray(y)))


def regression_metrics(
    predictions: np.ndarray, labels: np.ndarray, clip: tuple[float, float] | None = (0.0, 1.0)
) -> dict[str, float]:
    """Mean absolute error and correlations of one channel over its measured values, pooled.

    Args:
        predictions: any shape, normalised reactivity.
        labels: same shape; NaN or -100 where not measured.
        clip: range to which predictions *and* labels are clipped first, as the published error is computed on labels
            in [0, 1]; None leaves both as they are.

    Returns:
        `mae`, `pearson`, `spearman` and `count`, the number of measured values; NaN where undefined.

    Raises:
        ValueError: if the shapes differ or a prediction at a measured position is not finite.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape:
        raise ValueError(
            f"predictions of shape {predictions.shape} do not match labels of shape {labels.shape}; "
            "cut both to the sequence and select the same channels"
        )
    mask = is_measured(labels)
    x, y = predictions[mask].astype(np.float64), labels[mask].astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).sum())} of {x.size} predictions are not finite; check the model")
    if clip is not None:
        x, y = x.clip(*clip), y.clip(*clip)
    return {
        "mae": float(np.abs(x - y).mean()) if x.size else float("nan"),
        "pearson": pearson_r(x, y),
        "spearman": spearman_r(x, y),
        "count": float(x.size),
    }


def channel_metrics(
    predictions: np.ndarray,
    labels: np.ndarray,
    channels: Sequence[str],
    clip: tuple[float, float] | None = (0.0, 1.0),
) -> dict[str, float]:
    """Metrics of each channel, and their mean over the channels that have labels.

    Args:
        predictions: (..., C), normalised reactivity.
        labels: (..., C); NaN or -100 where not measured.
        channels: the C names.
        clip: see `regression_metrics`.

    Returns:
        `mae_<channel>`, `pearson_<channel>`, `spearman_<channel>`, `count_<channel>`; without suffix the plain mean
        over channels that are not NaN (for `count` the sum).

    Raises:
        ValueError: if `channels` does not name each column.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape[-1] != len(channels) or labels.shape[-1] != len(channels):
        raise ValueError(
            f"{len(channels)} channels named ({', '.join(channels)}), but predictions have {predictions.shape[-1]} "
            f"and labels {labels.shape[-1]} columns"
        )
    each = {c: regression_metrics(predictions[..., i], labels[..., i], clip) for i, c in enumerate(channels)}
    result: dict[str, float] = {}
    for name in ("mae", "pearson", "spearman"):
        values = [m[name] for m in each.values() if np.isfinite(m[name])]
        result[name] = float(np.mean(values)) if values else float("nan")
    result["count"] = sum(m["count"] for m in each.values())
    for channel, metrics in each.items():
        result.update({f"{name}_{channel}": value for name, value in metrics.items()})
    return result


def column_errors(predictions: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return the root mean squared error of each column over its measured values; their mean is the MCRMSE.

    Args:
        predictions: (N, C).
        labels: (N, C); NaN or -100 where not measured.
    """
    errors = []
    for column in range(labels.shape[1]):
        known = is_measured(labels[:, column])
        errors.append(float(np.sqrt(np.mean((predictions[known, column] - labels[known, column]) ** 2))))
    return errors


def class_scores(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the accuracy, and the mean F1 of the classes that occur among predictions or labels.

    Args:
        predicted: (N,), class indices.
        labels: (N,); -100 where unknown.
    """
    known = is_measured(labels)
    predicted, labels = predicted[known], labels[known]
    classes = [(predicted == c, labels == c) for c in np.union1d(predicted, labels)]
    return {"accuracy": _mean(predicted == labels), "macro_f1": _macro_f1(classes)}


def _macro_f1(classes: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the mean F1 of classes, each with who is predicted to be and who is in it; of those that occur."""
    scores = [2 * (p & t).sum() / (p.sum() + t.sum()) for p, t in classes if (p | t).any()]
    return _mean(np.array(scores))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def sum_masked_tokens(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float, int]:
    """Return how many hidden tokens are named right, the sum of their cross-entropies (nats), and their number.

    Args:
        logits: (..., V).
        labels: (...), ids; -100 where no token was hidden.
    """
    hidden = is_measured(labels)
    logits, labels = logits[hidden].astype(np.float64), labels[hidden].astype(np.int64)
    entropy = np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(len(labels)), labels]
    return float((logits.argmax(-1) == labels).sum()), float(entropy.sum()), len(labels)


def masked_token_scores(right: float, entropy: float, count: float) -> dict[str, float]:
    """Return the accuracy and the perplexity, exp of the mean cross-entropy, of what `sum_masked_tokens` gives."""
    if not count:
        return {"accuracy": float("nan"), "perplexity": float("nan")}
    return {"accuracy": right / count, "perplexity": float(np.exp(entropy / count))}


def select_channels(record: MeasuredProfile, channels: Sequence[str]) -> np.ndarray:
    """Columns of a record's reactivity by name.

    Args:
        record: a measured profile.
        channels: names wanted, in order.

    Returns:
        (L, len(channels)).

    Raises:
        ValueError: if the record lacks a channel.
    """
    have = list(record.channels)
    missing = [c for c in channels if c not in have]
    if missing:
        raise ValueError(f"channels {missing} are not among the record's {have}")
    return np.asarray(record.reactivity)[:, [have.index(c) for c in channels]]


def evaluate(
    predict: Callable[[list[str]], Sequence[np.ndarray]],
    records: Iterable[MeasuredProfile],
    channels: Sequence[str],
    clip: tuple[float, float] | None = (0.0, 1.0),
) -> dict[str, float]:
    """Metrics of a predictor over records, all measured nucleotides of a channel pooled.

    Args:
        predict: from a list of sequences to one (L, len(channels)) array each, columns in the order of `channels`.
        records: measured profiles; columns are found by name.
        channels: the channels to compare.
        clip: see `regression_metrics`.

    Returns:
        As `channel_metrics`.

    Raises:
        ValueError: if `predict` returns another number or shape of arrays.
    """
    records = list(records)
    predictions = predict([r.sequence for r in records])
    if len(predictions) != len(records):
        raise ValueError(f"{len(records)} sequences went in, {len(predictions)} predictions came out")
    labels = [select_channels(r, channels) for r in records]
    for record, p, y in zip(records, predictions, labels):
        if np.shape(p) != y.shape:
            raise ValueError(f"prediction of shape {np.shape(p)} for {record.sequence[:12]}..., expected {y.shape}")
    empty = np.zeros((0, len(channels)))
    return channel_metrics(np.concatenate([empty, *predictions]), np.concatenate([empty, *labels]), channels, clip)


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


class ClassMetrics(BatchMetrics):
    """Accuracy and macro-averaged F1 of classes; for a regression, Pearson's r and the mean absolute error."""

    def __init__(self, config: Any):
        from ..losses import problem_type_of

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
            return {"accuracy": _mean((predicted == truth)[known]), "macro_f1": _macro_f1(classes)}
        return class_scores(values, labels)
