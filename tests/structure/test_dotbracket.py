"""Dot-bracket strings against hand-read pairs, and bracket levels against brute force."""

from itertools import combinations

import numpy as np
import pytest

from rna_hf.structure import (
    has_pseudoknot,
    normalise_pairs,
    pairs_to_matrix,
    pairs_to_partners,
    parse_dotbracket,
    partners_to_pairs,
    write_dotbracket,
)

H_TYPE = "((((..[[[[..))))..]]]]"  # two crossing stems of four pairs


def _random_pairs(rng: np.random.Generator, length: int, number: int) -> list[tuple[int, int]]:
    """Pair `number` times two random nucleotides, none twice."""
    ends = rng.permutation(length)[: 2 * number].reshape(-1, 2)
    return sorted((int(min(pair)), int(max(pair))) for pair in ends)


def _cross(first: tuple[int, int], second: tuple[int, int]) -> bool:
    (start, end), (other_start, other_end) = sorted([first, second])
    return start < other_start < end < other_end


@pytest.mark.parametrize(
    ("structure", "pairs"),
    [
        ("", []),
        ("....", []),
        ("()", [(0, 1)]),
        ("((...))", [(0, 6), (1, 5)]),
        ("(.).(.)", [(0, 2), (4, 6)]),
        ("([)]", [(0, 2), (1, 3)]),
        ("({<[A)}>]a", [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9)]),
        ("ZABzba", [(0, 3), (1, 5), (2, 4)]),
        ("(-,_:.)", [(0, 6)]),
    ],
)
def test_parsing(structure: str, pairs: list) -> None:
    assert parse_dotbracket(structure) == pairs


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ("((..)", r"'\(' at position 1 .*never closed"),
        ("..(.[.)", r"'\[' at position 5 .*never closed: ']' is missing"),
        ("..)", r"'\)' at position 3 .*closes nothing: no '\(' is open"),
        ("(..]", r"'\]' at position 4 .*closes nothing: no '\[' is open"),
        ("(.a.)", r"'a' at position 3 .*closes nothing: no 'A' is open"),
        ("(.?.)", r"'\?' at position 3 .*no dot-bracket symbol"),
        ("( .)", r"' ' at position 2 .*no dot-bracket symbol"),
        ("(&)", r"'&' at position 2 .*no dot-bracket symbol"),
    ],
)
def test_parsing_errors_name_symbol_position_and_reason(structure: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_dotbracket(structure)


@pytest.mark.parametrize(
    "structure",
    [
        "",
        ".....",
        "((..((...))..(...)))",
        H_TYPE,
        "[[..(((..]]..)))",  # the larger stem gets the round brackets
        "(((..)))..(.[.).]",  # what crosses nothing stays round
        "((([[[{{{)))]]]}}}",
        "([{<ABC)]}>abc",
    ],
)
def test_writing_gives_the_usual_levels(structure: str) -> None:
    assert write_dotbracket(parse_dotbracket(structure), len(structure)) == structure


def test_writing_takes_pairs_in_any_order() -> None:
    assert write_dotbracket([(9, 4), (np.int64(0), np.int64(12)), (3, 10)], 13) == "(..((....)).)"


def test_round_trip_of_random_pairs() -> None:
    rng = np.random.default_rng(0)
    levels = set()
    for _ in range(200):
        length = int(rng.integers(0, 60))
        pairs = _random_pairs(rng, length, int(rng.integers(0, length // 2 + 1)))
        structure = write_dotbracket(pairs, length)
        assert len(structure) == length
        assert parse_dotbracket(structure) == pairs
        assert partners_to_pairs(pairs_to_partners(pairs, length)) == pairs
        levels |= set(structure)
    assert "A" in levels  # the letters were needed


def test_round_brackets_hold_the_largest_nested_set() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        pairs = _random_pairs(rng, 16, int(rng.integers(1, 9)))
        largest = max(
            size
            for size in range(len(pairs) + 1)
            for subset in combinations(pairs, size)
            if not any(_cross(*two) for two in combinations(subset, 2))
        )
        assert write_dotbracket(pairs, 16).count("(") == largest


def test_levels_run_out_after_thirty() -> None:
    all_crossing = [(i, i + 30) for i in range(30)]
    assert parse_dotbracket(write_dotbracket(all_crossing, 60)) == all_crossing
    assert write_dotbracket(all_crossing, 60).endswith("xyz")
    with pytest.raises(ValueError, match=r"1 pairs still cross .* 30 levels"):
        write_dotbracket([(i, i + 31) for i in range(31)], 62)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 5), (5, 9)], r"nucleotide 5 \(0-based\) pairs with both 0 and 9"),
        ([(0, 5), (0, 9)], "nucleotide 0 .* both 5 and 9"),
        ([(1, 5), (5, 1)], "nucleotide 1 .* both 5 and 5"),
        ([(3, 3)], r"pair \(3, 3\) does not fit an RNA of 10"),
        ([(3, 10)], r"pair \(3, 10\) does not fit"),
        ([(-1, 4)], r"pair \(-1, 4\) does not fit"),
    ],
)
@pytest.mark.parametrize("function", [normalise_pairs, write_dotbracket, pairs_to_partners, pairs_to_matrix])
def test_what_is_no_structure_is_refused(function, pairs: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(pairs, 10)


def test_pseudoknots_are_crossing_pairs() -> None:
    assert has_pseudoknot(parse_dotbracket(H_TYPE))
    assert not has_pseudoknot(parse_dotbracket("[[..((...))..(...)]]"))
    assert not has_pseudoknot([])
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        pairs = _random_pairs(rng, 20, int(rng.integers(1, 5)))
        found.append(has_pseudoknot(pairs[::-1]))
        assert found[-1] == any(_cross(*two) for two in combinations(pairs, 2))
    assert 20 < sum(found) < 180


def test_pairs_that_share_a_nucleotide_do_not_cross() -> None:
    assert not has_pseudoknot([(0, 5), (0, 9), (5, 9)])
    assert has_pseudoknot([(0, 5), (0, 9), (3, 7)])


def test_partners() -> None:
    assert pairs_to_partners([(6, 0), (1, 5)], 8).tolist() == [6, 5, -1, -1, -1, 1, 0, -1]
    assert pairs_to_partners([], 0).tolist() == []
    assert partners_to_pairs(np.array([], dtype=np.int64)) == []


@pytest.mark.parametrize(
    ("partners", "message"),
    [
        ([1, 2, 0], r"nucleotide 0 \(0-based\) has partner 1"),
        ([-1, 1, -1], "nucleotide 1 .* has partner 1"),
        ([2, -1, 0, 4], "nucleotide 3 .* has partner 4"),
        ([-1, -2], "nucleotide 1 .* has partner -2"),
        ([1, -1], "nucleotide 0 .* has partner 1"),
    ],
)
def test_partners_that_disagree_are_refused(partners: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partners_to_pairs(np.array(partners))


def test_matrix() -> None:
    expected = np.zeros((5, 5), dtype=bool)
    expected[0, 4] = expected[4, 0] = expected[1, 3] = expected[3, 1] = True
    matrix = pairs_to_matrix([(0, 4), (1, 3)], 5)
    assert matrix.dtype == bool
    assert np.array_equal(matrix, expected)
    assert pairs_to_matrix([], 3).sum() == 0


@pytest.mark.shared
def test_known_structures_survive_a_round_trip(shared_dir) -> None:
    path = shared_dir / "data" / "ss_archiveii" / "archiveii.parquet"
    if not path.is_file():
        pytest.skip("needs ArchiveII in the shared data")
    table = pytest.importorskip("pyarrow.parquet").read_table(path, columns=["sequence", "structure"])
    structures = table["structure"].to_pylist()
    assert len(structures) == 3864
    knotted = 0
    for sequence, structure in zip(table["sequence"].to_pylist(), structures):
        pairs = parse_dotbracket(structure)
        assert len(pairs) == sum(structure.count(symbol) for symbol in "([{<")
        rewritten = write_dotbracket(pairs, len(sequence))
        assert parse_dotbracket(rewritten) == pairs
        assert has_pseudoknot(pairs) == ("[" in rewritten)
        knotted += "[" in rewritten
    assert knotted > 500
