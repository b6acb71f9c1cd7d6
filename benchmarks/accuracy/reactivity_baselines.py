"""Three baselines of per-nucleotide reactivity that need no neural network.

1. letter: the mean of each letter;
2. linear: for each letter a straight line in the probability of being unpaired (least squares);
3. trees: gradient-boosted trees on the letters and the unpaired probabilities of a window of 6 nt to either side.

Unpaired probabilities come from ViennaRNA's partition function (default energies, 37 C) and are kept below `.cache/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.common.places import REPOSITORY
from benchmarks.common.vienna import UnpairedProbabilities

CACHE = REPOSITORY / ".cache" / "trees"
LETTERS = "ACGU"
WINDOW = 6  # nucleotides to either side that the trees see
TREE_NUCLEOTIDES = 400_000  # a third to a half of those measured; more takes long and gains little
Predict = Callable[[list[str]], list[np.ndarray]]


def letter_codes(sequence: str) -> np.ndarray:
    """(L,) codes 0-3 of ACGU, in `LETTERS` order; 4 for any other letter."""
    table = np.full(256, 4, dtype=np.int64)
    table[np.frombuffer(LETTERS.encode(), dtype=np.uint8)] = range(4)
    return table[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]


def window_features(sequence: str, unpaired: np.ndarray) -> np.ndarray:
    """Features of the trees for one RNA.

    Args:
        sequence: L nucleotides.
        unpaired: (L,) probabilities.

    Returns:
        (L, 13 * 5) float32: for each offset -6..6 the one-hot letter and the unpaired probability; beyond the ends
        zeros and -1.
    """
    length = len(sequence)
    one_hot = np.zeros((length + 2 * WINDOW, 5), dtype=np.float32)
    one_hot[:, 4] = -1.0
    inside = one_hot[WINDOW : WINDOW + length]
    inside[:, :4] = np.eye(5, dtype=np.float32)[letter_codes(sequence)][:, :4]
    inside[:, 4] = unpaired
    return np.concatenate([one_hot[o : o + length] for o in range(2 * WINDOW + 1)], axis=1)


def _measured(profiles: Sequence[Any], channel: str) -> tuple[list[str], list[np.ndarray]]:
    """Sequences and (L,) labels clipped to [0, 1] of the profiles in which a channel is measured."""
    column = list(profiles[0].channels).index(channel)
    chosen = [p for p in profiles if np.isfinite(p.reactivity[:, column]).any()]
    return [p.sequence for p in chosen], [p.reactivity[:, column].astype(np.float64).clip(0, 1) for p in chosen]


def fit_letter_mean(profiles: Sequence[Any], channel: str) -> Predict:
    """Mean label of each letter.

    Args:
        profiles: training profiles.
        channel: the channel to learn.

    Returns:
        A predictor of (L,) arrays.
    """
    sequences, labels = _measured(profiles, channel)
    y, codes = np.concatenate(labels), np.concatenate([letter_codes(s) for s in sequences])
    keep = np.isfinite(y)
    means = np.array([*(y[keep & (codes == c)].mean() for c in range(4)), y[keep].mean()])
    return lambda sequences: [means[letter_codes(sequence)] for sequence in sequences]


def fit_linear(profiles: Sequence[Any], channel: str, unpaired: UnpairedProbabilities) -> Predict:
    """Least-squares line of each letter in the unpaired probability.

    Args:
        profiles: training profiles.
        channel: the channel to learn.
        unpaired: folding.

    Returns:
        A predictor of (L,) arrays.
    """
    sequences, labels = _measured(profiles, channel)
    y, codes = np.concatenate(labels), np.concatenate([letter_codes(s) for s in sequences])
    x, keep = np.concatenate(unpaired(sequences)), np.isfinite(y)
    lines = np.zeros((5, 2))
    for c in range(5):
        rows = keep & (codes == c) if c < 4 else keep
        lines[c] = np.polyfit(x[rows], y[rows], 1)

    def predict(sequences: list[str]) -> list[np.ndarray]:
        coefficients = [lines[letter_codes(sequence)].T for sequence in sequences]
        return [intercept + slope * x for (slope, intercept), x in zip(coefficients, unpaired(sequences))]

    return predict


def _boost(features: np.ndarray, y: np.ndarray, loss: str, seed: int) -> Any:
    """Fit the trees; kept on disk by `fit_trees`, since four fits take minutes and never change."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(
        loss=loss, learning_rate=0.1, max_iter=400, max_leaf_nodes=63, min_samples_leaf=50, random_state=seed
    )
    return trees.fit(features, y)


def fit_trees(
    profiles: Sequence[Any],
    channel: str,
    unpaired: UnpairedProbabilities,
    loss: str = "absolute_error",
    max_nucleotides: int = TREE_NUCLEOTIDES,
    seed: int = 0,
) -> Predict:
    """Histogram gradient boosting over a window of letters and unpaired probabilities.

    Args:
        profiles: training profiles.
        channel: the channel to learn.
        unpaired: folding.
        loss: `absolute_error` or `squared_error`.
        max_nucleotides: measured nucleotides to learn from, drawn at random over all profiles.
        seed: of the draw and of the trees.

    Returns:
        A predictor of (L,) arrays.
    """
    from joblib import Memory

    sequences, labels = _measured(profiles, channel)
    y = np.concatenate(labels)
    rows = np.flatnonzero(np.isfinite(y))
    if len(rows) > max_nucleotides:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_nucleotides, replace=False))
    folded, parts, start = unpaired(sequences), [], 0
    for sequence, probabilities in zip(sequences, folded):
        first, last = np.searchsorted(rows, [start, start + len(sequence)])
        if last > first:
            parts.append(window_features(sequence, probabilities)[rows[first:last] - start])
        start += len(sequence)
    trees = Memory(CACHE, verbose=0).cache(_boost)(np.concatenate(parts), y[rows], loss, seed)

    def predict(sequences: list[str]) -> list[np.ndarray]:
        features = [window_features(*pair) for pair in zip(sequences, unpaired(sequences))]
        values = trees.predict(np.concatenate(features))
        return np.split(values, np.cumsum([len(sequence) for sequence in sequences])[:-1])

    return predict


def stack_channels(models: Sequence[Predict]) -> Predict:
    """Join one single-channel model a channel into a predictor of (L, C) arrays for `rna_hf.tasks.scores`."""
    return lambda sequences: [
        np.stack(values, axis=1).astype(np.float32) for values in zip(*(model(sequences) for model in models))
    ]
