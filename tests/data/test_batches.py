"""Which sequences share a batch."""

import random

import pytest

from rna_hf.data.batches import make_batches
from rna_hf.prediction import predictor


def count(number, length):
    return number


def tokens(number, length):
    return number * length


def test_groups():
    lengths = [10, 600, 10, 20, 700, 10]
    assert make_batches(lengths, 2, True, count) == [[4, 1], [3, 0], [2, 5]]
    assert make_batches(lengths, 2, False, count) == [[4], [1], [3], [0, 2], [5]]
    assert make_batches(lengths, 60, True, tokens) == [[4], [1], [3, 0, 2], [5]]
    assert make_batches([], 60, True, tokens) == []


def test_one_sequence_always_fits():
    assert make_batches([512] * 3, 1, True, tokens) == [[0], [1], [2]]


@pytest.mark.parametrize("pads", [True, False])
def test_same_batches_as_in_prediction(pads):
    rng = random.Random(0)
    lengths = [rng.randint(1, 700) for _ in range(300)]

    def cost(number, length):
        return number * length * max(1.0, length / predictor.LINEAR_LENGTH)

    assert make_batches(lengths, 4096, pads, cost) == predictor.make_batches(lengths, 4096, pads)
