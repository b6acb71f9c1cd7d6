"""Metrics of base pairs: counted by hand, written out in full, and Matthews' correlation against scikit-learn."""

from itertools import combinations

import numpy as np
import pytest

from rna_hf.structure import mean_pair_metrics, pair_metrics

PERFECT = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "mcc": 1.0}
NOTHING = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "mcc": 0.0}


def _random_set(rng: np.random.Generator, length: int, number: int) -> list[tuple[int, int]]:
    possible = list(combinations(range(length), 2))
    return [possible[n] for n in rng.choice(len(possible), number, replace=False)]


def test_counted_by_hand() -> None:
    # Two of three predicted pairs are right and two of four found; L = 10 has 45 pairs, so 40 are rightly absent.
    metrics = pair_metrics([(0, 9), (1, 8), (2, 6)], [(0, 9), (1, 8), (2, 7), (3, 6)], 10)
    assert metrics["precision"] == pytest.approx(2 / 3)
    assert metrics["recall"] == pytest.approx(2 / 4)
    assert metrics["f1"] == pytest.approx(4 / 7)
    assert metrics["mcc"] == pytest.approx((2 * 40 - 1 * 2) / np.sqrt(3 * 4 * 41 * 42))


def test_shifted_pairs_count_once_allowed() -> None:
    predicted, reference = [(0, 9), (1, 8), (2, 6)], [(0, 9), (1, 8), (2, 7), (3, 6)]
    # (2, 6) lies beside both (2, 7) and (3, 6), and so confirms both.
    assert pair_metrics(predicted, reference, 10, shift=1) == PERFECT
    # Two predictions beside one reference pair, the other reference pair missed.
    metrics = pair_metrics([(1, 10), (2, 11)], [(1, 11), (4, 8)], 12, shift=1)
    assert (metrics["precision"], metrics["recall"]) == (1.0, 0.5)
    assert metrics["f1"] == pytest.approx(2 / 3)
    # Both ends off by one, or one end by two, is a miss.
    assert pair_metrics([(2, 8)], [(1, 9)], 12, shift=1) == pytest.approx(
        {"precision": 0.0, "recall": 0.0, "f1": 0.0, "mcc": -1 / 65}
    )
    assert pair_metrics([(3, 9)], [(1, 9)], 12, shift=1)["f1"] == 0.0


def test_shares_equal_their_definition() -> None:
    rng = np.random.default_rng(0)
    for shift in (0, 1):
        for _ in range(50):
            predicted, reference = (_random_set(rng, 9, int(rng.integers(1, 12))) for _ in range(2))

            def share(pairs: list, others: list, shift: int = shift) -> float:
                return float(np.mean([any(abs(i - a) + abs(j - b) <= shift for a, b in others) for i, j in pairs]))

            metrics = pair_metrics(predicted, reference, 9, shift)
            assert metrics["precision"] == pytest.approx(share(predicted, reference))
            assert metrics["recall"] == pytest.approx(share(reference, predicted))
            swapped = pair_metrics(reference, predicted, 9, shift)
            assert (swapped["f1"], swapped["mcc"]) == pytest.approx((metrics["f1"], metrics["mcc"]))
            assert -1 <= metrics["mcc"] <= 1


def test_correlation_equals_scikit_learn() -> None:
    matthews_corrcoef = pytest.importorskip("sklearn.metrics").matthews_corrcoef
    rng = np.random.default_rng(1)
    for _ in range(40):
        length = int(rng.integers(4, 12))
        possible = list(combinations(range(length), 2))
        predicted, reference = (_random_set(rng, length, int(rng.integers(1, len(possible)))) for _ in range(2))
        expected = matthews_corrcoef([p in reference for p in possible], [p in predicted for p in possible])
        assert pair_metrics(predicted, reference, length)["mcc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0, 1])
def test_empty_sets(shift: int) -> None:
    assert pair_metrics([], [], 5, shift) == PERFECT
    assert pair_metrics([], [], 1, shift) == PERFECT
    assert pair_metrics([(0, 4)], [], 5, shift) == NOTHING
    assert pair_metrics([], [(0, 4)], 5, shift) == NOTHING


def test_sets_of_all_pairs() -> None:
    every_pair = list(combinations(range(4), 2))
    assert pair_metrics([(0, 1)], [(0, 1)], 2) == PERFECT
    assert pair_metrics(every_pair, every_pair, 4) == PERFECT
    assert pair_metrics(every_pair, [(0, 3)], 4)["mcc"] == 0.0
    assert pair_metrics([(0, 3)], every_pair, 4)["mcc"] == 0.0


def test_order_and_repeats_do_not_matter() -> None:
    pairs = [(0, 9), (1, 8)]
    assert pair_metrics([(9, 0), (0, 9), (8, 1)], pairs, 10) == PERFECT
    assert pair_metrics(pairs, [(9, 0), (0, 9), (8, 1)], 10) == PERFECT


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pair \(0, 5\) does not fit an RNA of 5"):
        pair_metrics([(0, 5)], [], 5)
    with pytest.raises(ValueError, match=r"pair \(2, 2\) does not fit"):
        pair_metrics([], [(2, 2)], 5)
    with pytest.raises(ValueError, match="shift is 2"):
        pair_metrics([], [], 5, shift=2)


def test_mean_counts_each_rna_once() -> None:
    half = pair_metrics([(0, 9)], [(0, 9), (1, 8)], 10)
    mean = mean_pair_metrics([PERFECT, NOTHING, half])
    assert mean["precision"] == pytest.approx(2 / 3)
    assert mean["recall"] == pytest.approx(0.5)
    assert mean["f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert mean["mcc"] == pytest.approx((1 + half["mcc"]) / 3)
    assert mean_pair_metrics([NOTHING, NOTHING]) == NOTHING
    with pytest.raises(ValueError, match="no metrics to average"):
        mean_pair_metrics([])
