"""Dot-bracket strings and base pairs, pseudoknots included.

A structure is a list of pairs (i, j) of 0-based positions, i < j, sorted, each nucleotide in one pair at most. In a
dot-bracket string the brackets `()`, `[]`, `{}`, `<>` and the letters `Aa` to `Zz` (the capital opens) are independent
levels: pairs within a level are nested, pairs of different levels may cross. `.`, `-`, `,`, `_` and `:` all stand for
an unpaired nucleotide; the last four carry the kind of loop in other notations, which is dropped.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from operator import index

import numpy as np

Pair = tuple[int, int]

UNPAIRED_SYMBOLS = ".-,_:"
OPENING_SYMBOLS = "([{<" + string.ascii_uppercase
CLOSING_SYMBOLS = ")]}>" + string.ascii_lowercase

_LEVEL_OF_OPENING = {symbol: level for level, symbol in enumerate(OPENING_SYMBOLS)}
_LEVEL_OF_CLOSING = {symbol: level for level, symbol in enumerate(CLOSING_SYMBOLS)}


def order_pair(pair: Pair, length: int) -> Pair:
    """Put the 5' nucleotide of a pair first.

    Args:
        pair: two different 0-based positions in any order.
        length: number of nucleotides.

    Raises:
        ValueError: if a position lies outside the RNA, or both are the same.
    """
    i, j = sorted((index(pair[0]), index(pair[1])))
    if not 0 <= i < j < length:
        raise ValueError(
            f"pair ({i}, {j}) does not fit an RNA of {length} nucleotides: "
            f"a pair holds two different 0-based positions below {length}"
        )
    return i, j


def normalise_pairs(pairs: Iterable[Pair], length: int) -> list[Pair]:
    """Check that pairs make a structure, and sort them.

    Args:
        pairs: 0-based positions, in any order.
        length: number of nucleotides.

    Returns:
        Pairs (i, j), i < j, sorted.

    Raises:
        ValueError: if a position lies outside the RNA, or a nucleotide is in two pairs.
    """
    ordered = sorted(order_pair(pair, length) for pair in pairs)
    partner: dict[int, int] = {}
    for i, j in ordered:
        for nucleotide, other in ((i, j), (j, i)):
            if nucleotide in partner:
                raise ValueError(
                    f"nucleotide {nucleotide} (0-based) pairs with both {partner[nucleotide]} and {other}; "
                    "a nucleotide has one partner at most: drop one of the pairs"
                )
            partner[nucleotide] = other
    return ordered


def parse_dotbracket(structure: str) -> list[Pair]:
    """Read the base pairs of a dot-bracket string.

    Args:
        structure: L symbols, one for each nucleotide; see the head of this module.

    Returns:
        0-based pairs (i, j), i < j, sorted.

    Raises:
        ValueError: if a symbol is unknown or a bracket has no counterpart.
    """
    open_positions: list[list[int]] = [[] for _ in OPENING_SYMBOLS]
    pairs = []
    for position, symbol in enumerate(structure):
        if symbol in UNPAIRED_SYMBOLS:
            continue
        if symbol in _LEVEL_OF_OPENING:
            open_positions[_LEVEL_OF_OPENING[symbol]].append(position)
        elif symbol in _LEVEL_OF_CLOSING:
            level = _LEVEL_OF_CLOSING[symbol]
            if not open_positions[level]:
                raise ValueError(
                    f"{symbol!r} at position {position + 1} of the structure (counted from 1) closes nothing: "
                    f"no {OPENING_SYMBOLS[level]!r} is open before it"
                )
            pairs.append((open_positions[level].pop(), position))
        else:
            raise ValueError(
                f"{symbol!r} at position {position + 1} of the structure (counted from 1) is no dot-bracket symbol: "
                "pairs are ()[]{}<> or letters such as Aa, unpaired nucleotides one of " + " ".join(UNPAIRED_SYMBOLS)
            )
    unclosed = [(positions[-1], level) for level, positions in enumerate(open_positions) if positions]
    if unclosed:
        position, level = min(unclosed)
        raise ValueError(
            f"{OPENING_SYMBOLS[level]!r} at position {position + 1} of the structure (counted from 1) is never closed: "
            f"{CLOSING_SYMBOLS[level]!r} is missing after it"
        )
    return sorted(pairs)


def write_dotbracket(pairs: Iterable[Pair], length: int) -> str:
    """Write base pairs as a dot-bracket string.

    The largest set of pairs that do not cross gets `()`, the largest such set of the rest `[]`, and so on through `{}`,
    `<>`, `Aa` to `Zz`; of two stems of equal size the 5' one comes first. This takes few levels, though not always the
    fewest, which is a hard problem.

    Args:
        pairs: 0-based positions, in any order.
        length: number of nucleotides L.

    Returns:
        L symbols; `.` for an unpaired nucleotide.

    Raises:
        ValueError: if a position lies outside the RNA, a nucleotide is in two pairs, or 30 levels are not enough.
    """
    rest = normalise_pairs(pairs, length)
    symbols = ["."] * length
    level = 0
    while rest:
        if level == len(OPENING_SYMBOLS):
            raise ValueError(
                f"{len(rest)} pairs still cross each other after {level} levels of brackets, which is all there are; "
                "store this structure as CT or BPSEQ"
            )
        chosen = set(_largest_nested_set(rest))
        for i, j in chosen:
            symbols[i], symbols[j] = OPENING_SYMBOLS[level], CLOSING_SYMBOLS[level]
        rest = [pair for pair in rest if pair not in chosen]
        level += 1
    return "".join(symbols)


def has_pseudoknot(pairs: Iterable[Pair]) -> bool:
    """Tell whether two pairs cross, that is i < k < j < l for some (i, j) and (k, l).

    Args:
        pairs: positions, the lower one first.
    """
    enclosing: list[int] = []  # 3' ends of the pairs around the current one, the innermost last
    for i, j in sorted(pairs, key=lambda pair: (pair[0], -pair[1])):
        while enclosing and enclosing[-1] <= i:
            enclosing.pop()
        if enclosing and enclosing[-1] < j:
            return True
        enclosing.append(j)
    return False


def pairs_to_partners(pairs: Iterable[Pair], length: int) -> np.ndarray:
    """List each nucleotide's partner.

    Args:
        pairs: 0-based positions, in any order.
        length: number of nucleotides L.

    Returns:
        (L,), int64, 0-based position of the partner, -1 where unpaired.

    Raises:
        ValueError: as `normalise_pairs`.
    """
    partners = np.full(length, -1, dtype=np.int64)
    i, j = _as_columns(normalise_pairs(pairs, length))
    partners[i], partners[j] = j, i
    return partners


def partners_to_pairs(partners: np.ndarray) -> list[Pair]:
    """Read the pairs off a list of partners; the inverse of `pairs_to_partners`.

    Args:
        partners: (L,), integers, 0-based position of the partner, -1 where unpaired.

    Returns:
        0-based pairs (i, j), i < j, sorted.

    Raises:
        ValueError: if a partner lies outside the RNA, is the nucleotide itself, or does not point back.
    """
    partners = np.asarray(partners)
    positions = np.arange(len(partners))
    is_valid = (partners >= -1) & (partners < len(partners)) & (partners != positions)
    is_paired = is_valid & (partners >= 0)
    is_valid[is_paired] = partners[partners[is_paired]] == positions[is_paired]
    if not is_valid.all():
        first = int(np.argmin(is_valid))
        raise ValueError(
            f"nucleotide {first} (0-based) has partner {int(partners[first])}, which is not another of the "
            f"{len(partners)} nucleotides that names {first} in turn; write -1 for an unpaired nucleotide"
        )
    return [(int(i), int(partners[i])) for i in np.flatnonzero(partners > positions)]


def pairs_to_matrix(pairs: Iterable[Pair], length: int) -> np.ndarray:
    """Draw the pairs into a symmetric base-pair matrix.

    Args:
        pairs: 0-based positions, in any order.
        length: number of nucleotides L.

    Returns:
        (L, L), boolean, True where two nucleotides pair.

    Raises:
        ValueError: as `normalise_pairs`.
    """
    matrix = np.zeros((length, length), dtype=bool)
    i, j = _as_columns(normalise_pairs(pairs, length))
    matrix[i, j] = matrix[j, i] = True
    return matrix


def _as_columns(pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Split n pairs into (n,) lower and (n,) upper positions, int64."""
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _largest_nested_set(pairs: list[Pair]) -> list[Pair]:
    """Choose as many of the sorted pairs as can stand together without a crossing."""
    if not has_pseudoknot(pairs):
        return pairs
    i, j = _as_columns(pairs)
    crossing = (i[:, None] < i) & (i < j[:, None]) & (j[:, None] < j)
    is_knotted = np.logical_or(crossing.any(axis=0), crossing.any(axis=1)).tolist()
    # What crosses nothing belongs to every largest set, so only the knotted pairs need the search below.
    chosen = [pair for pair, knotted in zip(pairs, is_knotted) if not knotted]
    knotted_pairs = [pair for pair, knotted in zip(pairs, is_knotted) if knotted]

    # Renumber the knotted ends 0..m-1. best[b, a] is the size of the largest nested set among the ends a, ..., b-1
    # (the largest independent set of a circle graph): the last end is left out, or its pair splits the stretch in two.
    ends = sorted(end for pair in knotted_pairs for end in pair)
    rank = {end: number for number, end in enumerate(ends)}
    start_of = {rank[j]: rank[i] for i, j in knotted_pairs}
    best = np.zeros((len(ends) + 1, len(ends) + 1), dtype=np.int32)
    for last in range(len(ends)):
        best[last + 1] = best[last]
        if last in start_of:
            start = start_of[last]
            with_pair = best[start, : start + 1] + 1 + best[last, start + 1]
            best[last + 1, : start + 1] = np.maximum(best[last, : start + 1], with_pair)

    stretches = [(0, len(ends))]
    while stretches:
        begin, end = stretches.pop()
        while end > begin:
            if best[end, begin] == best[end - 1, begin]:
                end -= 1
            else:
                start = start_of[end - 1]
                chosen.append((ends[start], ends[end - 1]))
                stretches.append((start + 1, end - 1))
                end = start
    return chosen
