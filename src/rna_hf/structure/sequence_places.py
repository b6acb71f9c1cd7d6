"""Places of residues in the sequence that a file states, and rows for the nucleotides without atoms."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .stated_sequences import StatedSequence


class ChainRow(NamedTuple):
    """A nucleotide of a chain.

    Attributes:
        name: the residue's name, as the file has it or, for names of programs, that of the component.
        letter: A, C, G, U or N.
        number: the authors' number.
        code: the insertion code, or nothing.
        position: (3,), angstrom, of the atom, if the file places it.
        is_listed: whether the file has the residue among its atoms.
    """

    name: str
    letter: str
    number: int
    code: str
    position: list[float] | None
    is_listed: bool


def are_places(numbers: list[int | None], length: int) -> bool:
    """Tell whether label_seq_id gives each residue a place of its own, in order."""
    given = [number for number in numbers if number is not None and 1 <= number <= length]
    return len(given) == len(numbers) and all(a < b for a, b in pairwise(given))


def has_neighbour(rows: list[ChainRow], index: int) -> bool:
    """Tell whether the row before or behind has the next number or the same."""
    return any(
        abs(rows[index].number - rows[other].number) <= 1 for other in (index - 1, index + 1) if 0 <= other < len(rows)
    )


def _places_by_number(
    rows: list[ChainRow], letters: list[str], missing: list[tuple[int, str]], most_mismatches: int = 0
) -> list[int | None] | None:
    """Place residues by their numbers, less one offset for all, if an offset makes all letters fit but a few."""
    numbers = [row.number for row in rows]
    if any(row.code for row in rows) or any(a >= b for a, b in pairwise(numbers)):
        return None
    mismatches = {
        offset: sum(_differ(row.letter, letters[row.number - offset]) for row in rows)
        for offset in range(numbers[-1] - len(letters) + 1, numbers[0] + 1)
    }
    fewest = min(mismatches.values(), default=0)
    offsets = [offset for offset, number in mismatches.items() if number == fewest <= most_mismatches]
    lowest = min([*numbers, *(number for number, _ in missing)])
    for preferred in ([lowest] if missing else []) + [1]:
        if preferred in offsets:
            return [number - preferred for number in numbers]
    return [number - offsets[0] for number in numbers] if len(offsets) == 1 else None


def place_rows(rows: list[ChainRow], letters: list[str], missing: list[tuple[int, str]]) -> list[int | None] | None:
    """Place residues into a sequence, by numbers and letters; None if they do not fit.

    Args:
        rows: the residues.
        letters: those of the sequence.
        missing: number and insertion code of nucleotides that are known to have no atoms.

    Returns:
        The place of each residue, from 0; None for one that is not in the sequence.
    """
    # A wrong letter or two may be of a mutation: the alignment could make a gap or two of it.
    few = max(len(rows) // 10, 1) if len(rows) > 2 else 0
    has_jumps = any(b.number != a.number + 1 for a, b in pairwise(rows))
    by_number = _places_by_number(rows, letters, missing, most_mismatches=few if has_jumps else 0)
    if by_number is not None:
        return by_number
    # Numbers without a jump may have been counted on over gaps.
    aligned = _places_by_alignment(rows, letters)
    if aligned is None or any(
        place is None or _differ(row.letter, letters[place]) for row, place in zip(rows, aligned, strict=True)
    ):
        return _places_by_number(rows, letters, missing, most_mismatches=few) or aligned
    return aligned


def _differ(letter: str, other: str) -> bool:
    return letter != other and "N" not in (letter, other)


def _places_by_alignment(rows: list[ChainRow], letters: list[str]) -> list[int | None] | None:
    """Place residues by aligning them to the sequence, with gaps where the numbers jump; None if they do not fit."""
    import gemmi

    scoring = gemmi.AlignmentScoring()
    scoring.mismatch = -3  # a nucleotide without atoms is far more frequent than a wrong one
    steps = [b.number == a.number + 1 and not b.code for a, b in pairwise(rows)]
    gap_scores = [scoring.bad_gapo if step else scoring.good_gapo for step in steps]
    found = [row.letter for row in rows]
    alignment = gemmi.align_string_sequences(
        letters, found, [scoring.good_gapo, *gap_scores, scoring.good_gapo], scoring
    )
    places: list[int | None] = []
    place = 0
    # As many nucleotides without a residue as residues without a nucleotide stand for each other.
    cigar = re.sub(r"(?<!\d)(\d+)(I\1D|D\1I)", r"\1M", alignment.cigar_str())
    for count, kind in re.findall(r"(\d+)([MID])", cigar):
        if kind == "D":
            places += [None] * int(count)
            continue
        if kind == "M":
            places += range(place, place + int(count))
        place += int(count)
    equal = sum(place is not None and letters[place] == letter for place, letter in zip(places, found))
    return places if 2 * equal > len(found) else None


def insert_rows(rows: list[ChainRow], missing: list[ChainRow]) -> list[ChainRow]:
    """Put the rows of missing residues before the first row with a higher number, and in their order."""
    merged = list(rows)
    place = 0
    for row in missing:
        later = (index for index in range(place, len(merged)) if _number(merged[index]) > _number(row))
        place = next(later, len(merged))
        merged.insert(place, row)
        place += 1
    return merged


def _number(row: ChainRow) -> tuple[int, str]:
    return row.number, row.code


def fill_gaps(
    listed: list[tuple[int | None, ChainRow]],
    sequence: StatedSequence,
    letters: list[str],
    missing: list[tuple[int, str]],
) -> list[ChainRow]:
    """Return the rows of the whole sequence, and of residues beyond it where they stand."""
    rows: list[ChainRow] = []
    filled: list[tuple[int, int]] = []  # row and place of the nucleotides without coordinates
    place = 0

    def fill(end: int) -> None:
        for index in range(place, end):
            filled.append((len(rows), index))
            rows.append(ChainRow(sequence.names[index], letters[index], 0, "", None, False))

    for where, row in listed:
        if where is not None:
            fill(where)
            place = where + 1
        rows.append(row)
    fill(len(letters))
    numbers = {index: sequence.numbers[where] for index, where in filled} if sequence.numbers else {}
    if not numbers and len(missing) == len(filled):
        numbers = {index: number for (index, _), number in zip(filled, missing)}
    if not numbers:
        first = next((index for index, row in enumerate(rows) if row.is_listed), 0)
        for index in range(first - 1, -1, -1):  # backwards from the first, then onwards from each
            numbers[index] = (rows[first].number - (first - index), "")
        taken = {row.number for row in rows if row.is_listed}
        for index, _ in filled:
            if index > first:
                number, code = numbers.get(index - 1) or (rows[index - 1].number, rows[index - 1].code)
                # Where no number is free, an insertion code follows.
                numbers[index] = (number, chr(ord(code or "@") + 1)) if number + 1 in taken else (number + 1, "")
    for index, (number, code) in numbers.items():
        rows[index] = rows[index]._replace(number=number, code=code)
    return rows
