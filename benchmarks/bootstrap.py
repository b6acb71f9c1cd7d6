"""Means over RNAs with their bootstrap intervals, for the benchmarks that score each RNA by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 1000


def mean_interval(values: ArrayLike, seed: int = 0) -> dict[str, float]:
    """Return the mean over RNAs and its 95 % percentile interval from 1000 resamples of whole RNAs.

    The same seed draws the same RNAs, so the interval of a difference, with the differences as values, is paired.

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
    draws = np.random.default_rng(seed).multinomial(len(scores), np.full(len(scores), 1 / len(scores)), RESAMPLES)
    low, high = np.percentile(draws @ scores / len(scores), [2.5, 97.5])
    return {"value": float(scores.mean().round(5)), "low": float(low.round(5)), "high": float(high.round(5))}


def interval(values: np.ndarray) -> dict[str, float]:
    """Return `value`, `low` and `high` of a statistic that was computed anew for each resample of the RNAs.

    Args:
        values: (1 + RESAMPLES,), over all RNAs, and over each resample; NaN where a resample has none.
    """
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"value": round(float(values[0]), 5), "low": round(float(low), 5), "high": round(float(high), 5)}
