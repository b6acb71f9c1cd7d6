"""Bootstrap intervals over RNAs: 95 % percentile intervals from 1000 resamples of whole RNAs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 1000
# As a report's settings name it.
SETTINGS = {"unit": "RNA", "resamples": RESAMPLES, "interval": 0.95}


def resample_weights(count: int, seed: int = 0) -> np.ndarray:
    """Return how often each RNA counts, (1 + RESAMPLES, count): once each, and then in each resample.

    The same number of RNAs and the same seed draw the same RNAs, so that differences of two predictors are paired.

    Args:
        count: of the RNAs.
        seed: of the resamples.
    """
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return np.concatenate([np.ones((1, count)), draws])


def mean_interval(values: ArrayLike, seed: int = 0) -> dict[str, float]:
    """Return the mean over RNAs and its interval; that of a difference, with the differences as values, is paired.

    Args:
        values: (N,) score of each RNA, or difference of two scores.
        seed: of the resamples.

    Returns:
        `value`, `low` and `high`.

    Raises:
        ValueError: if there is no RNA.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"values have shape {scores.shape}; (N,) is needed, a score for each of at least one RNA")
    return interval(resample_weights(len(scores), seed) @ scores / len(scores))


def interval(values: np.ndarray) -> dict[str, float]:
    """Return `value`, `low` and `high` of a statistic that was computed anew for each resample of the RNAs.

    Args:
        values: (1 + RESAMPLES,), over all RNAs, and over each resample; NaN where a resample has none.
    """
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"value": round(float(values[0]), 5), "low": round(float(low), 5), "high": round(float(high), 5)}
