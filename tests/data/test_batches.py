"""Which sequences share a batch."""

from rna_hf.data.batches import make_batches


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
