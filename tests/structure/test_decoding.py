"""Decoding of pairing probabilities: hand-made matrices, and brute force over all structures of tiny RNAs."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest

from rna_hf.structure import (
    decode_pairs,
    has_pseudoknot,
    pairs_to_matrix,
    parse_dotbracket,
    structure_confidence,
    unpaired_probabilities,
)


def _matrix(length: int, values: dict[tuple[int, int], float]) -> np.ndarray:
    """A symmetric matrix with the given values and zeros elsewhere."""
    probabilities = np.zeros((length, length))
    for (i, j), value in values.items():
        probabilities[i, j] = probabilities[j, i] = value
    return probabilities


def _helix(i: int, j: int, number: int, value: float = 0.9) -> dict[tuple[int, int], float]:
    return {(i + step, j - step): value for step in range(number)}


def _random_symmetric(rng: np.random.Generator, length: int, scale: float) -> np.ndarray:
    upper = np.triu(rng.random((length, length)) * scale, 1)
    return upper + upper.T


def _structures(free: tuple[int, ...]) -> Iterator[list[tuple[int, int]]]:
    """All sets of pairs among the free nucleotides."""
    if not free:
        yield []
        return
    first, *rest = free
    yield from _structures(tuple(rest))
    for partner in rest:
        for others in _structures(tuple(n for n in rest if n != partner)):
            yield [(first, partner), *others]


def _states_sum(probabilities: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    """Sum over nucleotides of the probability of their state, written out."""
    length = len(probabilities)
    total = 0.0
    for i in range(length):
        partners = [a + b - i for a, b in pairs if i in (a, b)]
        off_diagonal = sum(probabilities[i, k] for k in range(length) if k != i)
        total += probabilities[i, partners[0]] if partners else max(0.0, 1.0 - off_diagonal)
    return total


@pytest.mark.parametrize(
    "structure",
    [
        "((((...))))",
        "..((..((....))..((....))..))..",
        "((((..[[[[..))))..]]]]",  # a pseudoknot comes out as it is
        "((..[[..{{..))..]]..}}",
    ],
)
def test_certain_matrices_give_their_structure(structure: str) -> None:
    pairs = parse_dotbracket(structure)
    probabilities = pairs_to_matrix(pairs, len(structure)) * 0.9
    assert decode_pairs(probabilities) == pairs
    assert has_pseudoknot(decode_pairs(probabilities)) == ("[" in structure)


def test_large_noisy_matrix() -> None:
    rng = np.random.default_rng(0)
    helices = [(0, 499, 8), (20, 150, 12), (40, 120, 10), (160, 300, 15), (200, 400, 9), (320, 480, 11)]
    values = {pair: 0.8 for i, j, number in helices for pair in _helix(i, j, number)}
    probabilities = np.maximum(_matrix(500, values), _random_symmetric(rng, 500, 0.01))
    decoded = decode_pairs(probabilities.astype(np.float32))
    assert decoded == sorted(values)
    assert has_pseudoknot(decoded)


def test_one_nucleotide_is_unpaired() -> None:
    assert decode_pairs(np.array([[0.9]])) == []  # the diagonal means nothing
    assert structure_confidence(np.array([[0.9]]), []) == 1.0


def test_a_weight_on_pairs_finds_less_probable_ones() -> None:
    probabilities = _matrix(12, _helix(0, 11, 3, 0.3))
    # Paired, two nucleotides count 0.3 each; unpaired 0.7 each.
    assert decode_pairs(probabilities, threshold=0.1, pair_weight=2.3) == []
    assert len(decode_pairs(probabilities, threshold=0.1, pair_weight=2.4)) == 3
    assert decode_pairs(probabilities, threshold=0.3, pair_weight=100) == []


def test_threshold_is_exclusive() -> None:
    probabilities = _matrix(12, _helix(0, 11, 3, 0.6))
    assert decode_pairs(probabilities, threshold=0.59) == [(0, 11), (1, 10), (2, 9)]
    assert decode_pairs(probabilities, threshold=0.6) == []


def test_unpaired_probability_competes_with_a_pair() -> None:
    # Each nucleotide is unpaired with 0.6: the assignment leaves the pairs out, whatever the threshold.
    assert decode_pairs(_matrix(12, _helix(0, 11, 3, 0.4)), threshold=0.1) == []
    assert len(decode_pairs(_matrix(12, _helix(0, 11, 3, 0.51)), threshold=0.1)) == 3


def test_the_two_triangles_are_averaged() -> None:
    probabilities = np.triu(_matrix(12, _helix(0, 11, 3, 1.0))) + np.tril(_matrix(12, _helix(0, 11, 3, 0.4)))
    assert len(decode_pairs(probabilities, threshold=0.69)) == 3
    assert decode_pairs(probabilities, threshold=0.71) == []
    assert structure_confidence(probabilities, [(0, 11)]) == pytest.approx((2 * 0.7 + 4 * 0.3 + 6) / 12)


def test_short_helices_go_and_bulges_break_them() -> None:
    # Two pairs, a bulge of one nucleotide, one pair, and apart from them a helix of three.
    values = {(0, 12): 0.9, (1, 11): 0.9, (2, 9): 0.9} | _helix(14, 24, 3)
    probabilities = _matrix(25, values)
    outer, inner, apart = [(0, 12), (1, 11)], [(2, 9)], [(14, 24), (15, 23), (16, 22)]
    assert decode_pairs(probabilities, min_helix_length=1) == outer + inner + apart
    assert decode_pairs(probabilities) == outer + apart
    assert decode_pairs(probabilities, min_helix_length=3) == apart
    assert decode_pairs(probabilities, min_helix_length=4) == []


def test_hairpin_loops_have_a_least_length() -> None:
    probabilities = _matrix(9, _helix(0, 8, 4))  # the inner pair (3, 5) encloses one nucleotide
    assert decode_pairs(probabilities) == [(0, 8), (1, 7), (2, 6)]
    assert decode_pairs(probabilities, min_loop_length=1) == [(0, 8), (1, 7), (2, 6), (3, 5)]
    assert decode_pairs(probabilities, min_loop_length=4) == [(0, 8), (1, 7)]
    neighbours = _matrix(2, {(0, 1): 0.9})
    assert decode_pairs(neighbours, min_loop_length=0, min_helix_length=1) == [(0, 1)]


def test_pairs_that_are_too_close_still_count_as_pairing() -> None:
    # Nucleotide 0 is unpaired with 0.1, because of a partner that is too close; the distant one is the likelier state.
    probabilities = _matrix(12, {(0, 2): 0.6, (0, 11): 0.3, (8, 11): 0.3})
    assert decode_pairs(probabilities, threshold=0.2, min_helix_length=1) == [(0, 11)]
    assert decode_pairs(_matrix(12, {(0, 11): 0.3}), threshold=0.2, min_helix_length=1) == []


def test_canonical_pairs_only() -> None:
    sequence = "GaGTAxAAAAAAUCGUUC"
    #           GaGTA........UCGUUC: G-C, a-U, G-U, T-G, A-C and x-U
    probabilities = _matrix(18, _helix(0, 17, 6))
    assert len(decode_pairs(probabilities, sequence=sequence)) == 6
    decoded = decode_pairs(probabilities, sequence=sequence, canonical_only=True)
    assert decoded == [(0, 17), (1, 16), (2, 15), (3, 14)]


def test_ring_of_pairs_is_resolved_by_probability() -> None:
    # 0-5, 5-10 and 0-10 together outweigh any structure, so the assignment turns in a ring.
    probabilities = _matrix(11, {(0, 5): 0.56, (5, 10): 0.6, (0, 10): 0.58})
    assert decode_pairs(probabilities, min_helix_length=1) == [(5, 10)]


def test_optimal_among_all_structures_with_canonical_pairs() -> None:
    # Canonical pairs join purines with pyrimidines; in such a graph the assignment is an optimal matching.
    rng = np.random.default_rng(1)
    most = 0
    for _ in range(40):
        sequence = "".join(rng.choice(list("ACGU"), 8))
        probabilities = _random_symmetric(rng, 8, rng.choice([0.2, 0.4, 0.9]))
        allowed = [
            (i, j)
            for i in range(8)
            for j in range(i + 2, 8)
            if {sequence[i], sequence[j]} in ({"A", "U"}, {"G", "C"}, {"G", "U"})
        ]
        candidates = [s for s in _structures(tuple(range(8))) if set(s) <= set(allowed)]
        best = max(candidates, key=lambda pairs: _states_sum(probabilities, pairs))
        options = {"threshold": 0.0, "min_helix_length": 1, "min_loop_length": 1}
        decoded = decode_pairs(probabilities, sequence=sequence, canonical_only=True, **options)
        assert decoded == sorted(best)
        most = max(most, len(decoded))
    assert most >= 3


def test_optimal_among_all_structures_where_the_assignment_has_no_ring() -> None:
    rng = np.random.default_rng(2)
    assignments = np.array(list(permutations(range(6))))
    structures = list(_structures(tuple(range(6))))
    assert len(structures) == 76
    without_ring = 0
    for _ in range(40):
        probabilities = _random_symmetric(rng, 6, rng.choice([0.2, 0.5, 0.9]))
        states = probabilities + np.diag(unpaired_probabilities(probabilities))
        highest = states[np.arange(6), assignments].sum(axis=1).max()
        best = max(structures, key=lambda pairs: _states_sum(probabilities, pairs))
        decoded = decode_pairs(probabilities, threshold=0.0, min_helix_length=1, min_loop_length=0)
        if np.isclose(highest, _states_sum(probabilities, best)):
            without_ring += 1
            assert decoded == sorted(best)
        else:
            assert len({n for pair in decoded for n in pair}) == 2 * len(decoded)
    assert 5 < without_ring < 40


def test_confidence_is_the_mean_probability_of_the_states() -> None:
    probabilities = _matrix(6, {(0, 5): 0.8, (1, 4): 0.6, (0, 4): 0.1})
    assert unpaired_probabilities(probabilities) == pytest.approx([0.1, 0.4, 1.0, 1.0, 0.3, 0.2])
    assert structure_confidence(probabilities, [(0, 5), (1, 4)]) == pytest.approx((2 * 0.8 + 2 * 0.6 + 2) / 6)
    assert structure_confidence(probabilities, [(5, 0)]) == pytest.approx((2 * 0.8 + 0.4 + 0.3 + 2) / 6)
    assert structure_confidence(probabilities, []) == pytest.approx(3.0 / 6)


def test_unpaired_probability_stays_in_range() -> None:
    # Independent sigmoids may add up to more than 1.
    probabilities = _matrix(3, {(0, 1): 0.9, (0, 2): 0.9})
    assert unpaired_probabilities(probabilities) == pytest.approx([0.0, 0.1, 0.1])
    assert structure_confidence(np.ones((4, 4)), []) == 0.0
    assert structure_confidence(np.ones((4, 4)), [(0, 1), (2, 3)]) == 1.0


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.zeros((0, 0)), "at least one nucleotide"),
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.zeros((1, 4, 4)), r"shape \(1, 4, 4\)"),
        (np.full((2, 2), 1.5), r"range from 1.5 to 1.5.*sigmoid"),
        (np.full((2, 2), -0.5), r"range from -0.5"),
        (np.full((2, 2), np.nan), "range from nan"),
    ],
)
def test_matrices_that_are_no_probabilities_are_refused(probabilities: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_pairs(probabilities)
    with pytest.raises(ValueError, match=message):
        structure_confidence(probabilities, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"min_helix_length": 0}, "min_helix_length is 0"),
        ({"min_loop_length": -1}, "min_loop_length is -1"),
        ({"canonical_only": True}, "needs the sequence"),
        ({"pair_weight": 0.0}, "pair_weight is 0.0"),
        ({"pair_weight": float("inf")}, "pair_weight is inf"),
        ({"sequence": "ACGU"}, "sequence has 4 nucleotides, the probabilities 5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_pairs(np.zeros((5, 5)), **options)


def test_confidence_refuses_what_is_no_structure() -> None:
    with pytest.raises(ValueError, match=r"nucleotide 0 .* both 2 and 3"):
        structure_confidence(np.zeros((5, 5)), [(0, 2), (0, 3)])
