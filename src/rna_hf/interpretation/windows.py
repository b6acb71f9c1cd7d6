"""The stretches of a sequence that a model looks at most."""

from collections.abc import Iterable, Sequence

import numpy as np

_ROUNDING = 1e-5


def strongest_windows(weights: np.ndarray, windows: np.ndarray, count: int) -> list[int]:
    """Choose the windows with the most attention; of windows that overlap, the strongest one alone.

    Args:
        weights: (P,), attention.
        windows: (P, 2), start and end of each weight's window, nucleotides, the end not included.
        count: how many to choose at most.

    Returns:
        Indices, the strongest first; of equal weights the first. Only windows with at least the mean weight are chosen,
        so that there may be fewer.
    """
    # The mean of equal weights may be rounded up.
    left = np.where(weights >= weights.mean() * (1 - _ROUNDING), weights, -1.0)
    chosen: list[int] = []
    while len(chosen) < count and left.max() >= 0:
        index = int(np.argmax(left))
        chosen.append(index)
        left[_overlap(windows, windows[index])] = -1.0
    return chosen


def windows_elsewhere(windows: np.ndarray, chosen: Iterable[tuple[int, int]]) -> np.ndarray:
    """Return windows (N, 2), in order, that overlap neither a chosen one nor each other.

    Args:
        windows: (P, 2), start and end, nucleotides, the end not included.
        chosen: start and end of each chosen window.
    """
    is_free = np.ones(len(windows), dtype=bool)
    for window in chosen:
        is_free &= ~_overlap(windows, window)
    elsewhere: list[int] = []
    for index in np.flatnonzero(is_free).tolist():
        if not elsewhere or windows[index, 0] >= windows[elsewhere[-1], 1]:
            elsewhere.append(index)
    return windows[elsewhere]


def _overlap(windows: np.ndarray, one: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return (P,), which windows share a nucleotide with one of them."""
    return (windows[:, 0] < one[1]) & (one[0] < windows[:, 1])
