"""Helices of any structure, and what they let expect."""

import time

import numpy as np
import pytest

from rna_hf.structure import parse_dotbracket
from rna_hf.structure.helices import (
    BOND,
    EXPECTED_POWER,
    a_form_helix,
    expected_distances,
    find_helices,
    graph_distances,
    rigid_helices,
)


def test_each_helix_of_a_pseudoknot_is_one_of_its_own():
    pairs = parse_dotbracket("((((..[[[[..))))..]]]]")
    first, second = find_helices(pairs)
    assert first[0].tolist() == [0, 1, 2, 3]
    assert first[1].tolist() == [15, 14, 13, 12]
    assert second[0].tolist() == [6, 7, 8, 9]
    assert second[1].tolist() == [21, 20, 19, 18]
    bodies = rigid_helices(pairs)
    expected = expected_distances(graph_distances(22, bodies), bodies)
    for rows, places in bodies:
        shape = np.linalg.norm(places[:, None] - places, axis=-1)
        assert expected[np.ix_(rows, rows)] == pytest.approx(shape, abs=1e-9)


def test_pairs_that_cross_share_no_pair():
    # Both (0, 30) and (1, 31) lie next to (2, 29); both (10, 50) and (12, 51) next to (14, 49).
    helices = find_helices([(0, 30), (1, 31), (2, 29), (3, 28), (10, 50), (12, 51), (14, 49)])
    assert [helix[0].tolist() for helix in helices] == [[0, 2, 3], [10, 14]]
    nucleotides = np.concatenate([side for helix in helices for side in helix[:2]])
    assert len(set(nucleotides.tolist())) == len(nucleotides)


def test_a_chain_without_pairs():
    ways = graph_distances(5, rigid_helices([]))
    assert ways[0].tolist() == pytest.approx([BOND * step for step in range(5)])
    assert graph_distances(1, []).tolist() == [[0]]
    scale, exponent = EXPECTED_POWER
    assert expected_distances(ways, [])[0] == pytest.approx(
        [0, BOND, 2 * BOND, *(scale * (BOND * step) ** exponent for step in (3, 4))]  # no farther than the way
    )


def test_long_chains_take_seconds():
    stem = "(" * 150 + "." * 5 + ")" * 150 + "." * 7
    pairs = parse_dotbracket((stem + ("(" * 12 + "." * 5 + ")" * 12 + "." * 7) * 33).ljust(1500, "."))
    started = time.process_time()
    bodies = rigid_helices(pairs)
    expected = expected_distances(graph_distances(1500, bodies), bodies)
    assert time.process_time() - started < 20
    assert np.isfinite(expected).all()
    strand, _ = a_form_helix(np.arange(2))
    assert expected[0, 1] == pytest.approx(np.linalg.norm(strand[1] - strand[0]))
