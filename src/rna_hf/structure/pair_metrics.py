"""Agreement of predicted with reference base pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

from .dotbracket import Pair, order_pair

METRICS = ("precision", "recall", "f1", "mcc")


def pair_metrics(predicted: Iterable[Pair], reference: Iterable[Pair], length: int, shift: int = 0) -> dict[str, float]:
    """Compare the base pairs of one RNA with its reference.

    Precision is the share of predicted pairs that match a reference pair, recall the share of reference pairs that
    match a predicted pair, F1 their harmonic mean. With `shift=0` matching pairs are equal. With `shift=1` one end of a
    pair may be off by one nucleotide: (i, j) matches (i, j), (i - 1, j), (i + 1, j), (i, j - 1) and (i, j + 1). Each
    share is counted over its own set, so two predicted pairs may match the same reference pair.

    Matthews' correlation counts the L (L - 1) / 2 possible pairs i < j, all others being true negatives. It is computed
    from the shares as sqrt(PPV TPR TNR NPV) - sqrt(FDR FNR FPR FOR), which is the usual value for `shift=0` and holds
    for `shift=1` too, where the two numbers of matches may differ.

    If neither set has a pair, the prediction is perfect: everything is 1. If only one set is empty, everything is 0.
    A perfect prediction has `mcc` 1 even where the quotient is 0 / 0.

    Args:
        predicted: 0-based pairs in any order; repeats count once, a nucleotide may be in several.
        reference: 0-based pairs, likewise.
        length: number of nucleotides L.
        shift: 0 or 1 nucleotide.

    Returns:
        `precision`, `recall` and `f1` in 0..1, `mcc` in -1..1.

    Raises:
        ValueError: if a position lies outside the RNA or `shift` is neither 0 nor 1.
    """
    if shift not in (0, 1):
        raise ValueError(f"shift is {shift}; 0 (exact) and 1 (one end off by one nucleotide) are defined")
    found = {order_pair(pair, length) for pair in predicted}
    true = {order_pair(pair, length) for pair in reference}
    if not found and not true:
        return dict.fromkeys(METRICS, 1.0)
    if not found or not true:
        return dict.fromkeys(METRICS, 0.0)

    confirmed = _count_matched(found, true, shift)
    recovered = _count_matched(true, found, shift)
    precision, recall = confirmed / len(found), recovered / len(true)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    possible = length * (length - 1) // 2
    false_positives, false_negatives = len(found) - confirmed, len(true) - recovered
    true_absent, found_absent = possible - len(true), possible - len(found)
    if not false_positives and not false_negatives:
        mcc = 1.0
    elif not true_absent or not found_absent:
        mcc = 0.0
    else:
        fall_out, omission = false_positives / true_absent, false_negatives / found_absent
        mcc = sqrt(precision * recall * (1 - fall_out) * (1 - omission))
        mcc -= sqrt((1 - precision) * (1 - recall) * fall_out * omission)
    return {"precision": precision, "recall": recall, "f1": f1, "mcc": mcc}


def mean_pair_metrics(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average over RNAs, each counting the same, whatever its length.

    Args:
        metrics: what `pair_metrics` returned for each RNA.

    Returns:
        Mean `precision`, `recall`, `f1` and `mcc`. The mean F1 is not the F1 of the mean precision and recall.

    Raises:
        ValueError: if there is no RNA.
    """
    if not metrics:
        raise ValueError("there are no metrics to average; pass the result of pair_metrics for at least one RNA")
    return {name: sum(values[name] for values in metrics) / len(metrics) for name in METRICS}


def _count_matched(pairs: set[Pair], others: set[Pair], shift: int) -> int:
    """Count the pairs that match at least one of the others."""
    offsets = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)] if shift else [(0, 0)]
    return sum(any((i + di, j + dj) in others for di, dj in offsets) for i, j in pairs)
