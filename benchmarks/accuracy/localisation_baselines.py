"""Baselines of localisation: what the words of an RNA, or its length alone, tell about where it is.

Each learns from sequences and distributions over compartments and returns a distribution for other sequences. Words of
k letters count by their share of an RNA's words, so that they tell nothing of its length. Regularisation is chosen
inside the training data, by five folds that keep similar RNAs together, and by the measure that selects our models too:
the correlation of predicted and true shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

FOLDS = 5
# Inverse strength of the L2 penalty on standardised features, from the strongest.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-11, -1))

_LETTERS = np.full(256, -1, dtype=np.int64)
for _code, _pair in enumerate(("Aa", "Cc", "Gg", "UuTt")):
    for _letter in _pair:
        _LETTERS[ord(_letter)] = _code


def word_shares(sequences: Sequence[str], k: int) -> np.ndarray:
    """Return the share of each word of `k` letters among an RNA's words, (N, 4**k), in the order AA..A to UU..U.

    Words with another letter than A, C, G, U or T don't count; an RNA without words has zeros.
    """
    shares = np.zeros((len(sequences), 4**k), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        letters = _LETTERS[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
        size = len(letters) - k + 1
        if size < 1:
            continue
        parts = np.stack([letters[shift : shift + size] for shift in range(k)])
        words = 4 ** np.arange(k - 1, -1, -1) @ parts[:, (parts >= 0).all(0)]
        if len(words):
            shares[row] = np.bincount(words, minlength=4**k) / len(words)
    return shares


def length_features(sequences: Sequence[str]) -> np.ndarray:
    """Return the logarithm of the length in nucleotides, and its square, (N, 2)."""
    lengths = np.log10([max(len(sequence), 1) for sequence in sequences])
    return np.stack([lengths, lengths**2], axis=1).astype(np.float32)


def short_words_and_length(sequences: Sequence[str], longest: int) -> np.ndarray:
    """Return shares of words of 1 to `longest` letters, and the length."""
    words = [word_shares(sequences, k) for k in range(1, longest + 1)]
    return np.concatenate([*words, length_features(sequences)], axis=1)


def one_row_a_label(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn distributions over compartments into weighted classes, which give the same cross-entropy.

    Args:
        labels: (N, C), each row summing to 1.

    Returns:
        Row, class and weight of each entry over 0.
    """
    rows, classes = np.nonzero(labels)
    return rows, classes, labels[rows, classes]


def _probabilities(model: object, features: np.ndarray, count: int) -> np.ndarray:
    """Return a classifier's probabilities (N, count); 0 for a class that it never saw."""
    found = np.zeros((len(features), count))
    found[:, model.classes_] = model.predict_proba(features)  # type: ignore[attr-defined]
    return found


def mean_correlation(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over compartments of Pearson's r of predicted and true shares, both (N, C)."""
    from rna_hf.tasks.scores import pearson_r

    return float(np.nanmean([pearson_r(*columns) for columns in zip(predicted.T, labels.T)]))


def predict_logistic(
    train: np.ndarray, labels: np.ndarray, clusters: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fit a multinomial logistic regression and apply it.

    Args:
        train: (N, F) features.
        labels: (N, C) distributions.
        clusters: (N,) numbers; RNAs of one cluster stay together when the penalty is chosen.
        test: (M, F) features.

    Returns:
        (M, C) distributions, and the strength that was chosen from `STRENGTHS`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    def path(inside: np.ndarray, targets: np.ndarray, outside: np.ndarray, strengths: Sequence[float]) -> list:
        scaler = StandardScaler().fit(inside)
        rows, classes, weights = one_row_a_label(targets)
        features, others = scaler.transform(inside)[rows], scaler.transform(outside)
        model = LogisticRegression(warm_start=True, max_iter=500, tol=1e-3)
        found = []
        for strength in strengths:
            model.set_params(C=strength).fit(features, classes, sample_weight=weights)
            found.append(_probabilities(model, others, targets.shape[1]))
        return found

    held_out = np.zeros((len(STRENGTHS), *labels.shape))
    for inside, outside in GroupKFold(FOLDS).split(train, groups=clusters):
        held_out[:, outside] = path(train[inside], labels[inside], train[outside], STRENGTHS)
    best = STRENGTHS[int(np.argmax([mean_correlation(shares, labels) for shares in held_out]))]
    return path(train, labels, test, [best])[0], best


def predict_trees(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Fit gradient-boosted trees, stopped by a tenth of the training data, and apply them; shapes as above."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, classes, weights = one_row_a_label(labels)
    model = HistGradientBoostingClassifier(
        max_iter=300, learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0, early_stopping=True, random_state=0
    )
    model.fit(train[rows], classes, sample_weight=weights)
    return _probabilities(model, test, labels.shape[1])


Baseline = Callable[[Sequence[str], np.ndarray, np.ndarray, Sequence[str]], np.ndarray]


def _logistic_on(features: Callable[[Sequence[str]], np.ndarray]) -> Baseline:
    def predict(train: Sequence[str], labels: np.ndarray, clusters: np.ndarray, test: Sequence[str]) -> np.ndarray:
        return predict_logistic(features(train), labels, clusters, features(test))[0]

    return predict


def _trees(train: Sequence[str], labels: np.ndarray, clusters: np.ndarray, test: Sequence[str]) -> np.ndarray:
    return predict_trees(short_words_and_length(train, 4), labels, short_words_and_length(test, 4))


# Training sequences, their distributions (N, C), their clusters (N,) and test sequences -> distributions (M, C).
REFERENCE = "logistic regression on 6-mers"
BASELINES: dict[str, Baseline] = {
    "logistic regression on length": _logistic_on(length_features),
    REFERENCE: _logistic_on(lambda sequences: word_shares(sequences, 6)),
    "logistic regression on 1- to 6-mers and length": _logistic_on(lambda s: short_words_and_length(s, 6)),
    "trees on 1- to 4-mers and length": _trees,
}
