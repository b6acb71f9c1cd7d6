"""Secondary structures in text files: CT, BPSEQ and dot-bracket.

Positions count from 1 in CT and BPSEQ files and from 0 in `SecondaryStructure`. Sequences keep their letters: case, T
or U and ambiguity codes stay as they are. A record's title, free text on one line, is its id.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..foreign_files import NUM_BYTES, explain_foreign
from ..text_encoding import decode_text
from .dotbracket_files import format_dbn, parse_dbn, parse_st
from .secondary_structure import (
    SecondaryStructure,
    check_linker,
    find_name,
    is_letters,
    join_lines,
    line_error,
    not_empty,
    numbered_lines,
    split_title,
    strands_error,
    to_int,
)

_CT_ENTRY = re.compile(r"\d+\s+[^\d\s]\s+\d+\s+\d+\s+\d+(\s.*)?")
_BPSEQ_ENTRY = re.compile(r"\d+\s+[^\d\s]\s+\d+")
# Above the tables of the CRW (Gutell lab): Filename, Organism, Accession Number, Citation.
_FIELD = re.compile(r"[A-Za-z][A-Za-z ]*:.*|Citation\s.*")


def read_structures(path: str | Path) -> list[SecondaryStructure]:
    """Read a file of secondary structures, the format following from its suffix.

    Args:
        path: `.ct`, `.bpseq`, `.st` (bpRNA), `.nopct` (CRW) or dot-bracket: `.dbn`, `.db`, `.dot`, `.vienna`, `.fold`
            and `.sub` (of ViennaRNA's `-o`), `.dp` (RNA STRAND), `.fa`, `.fasta`.

    Returns:
        The RNAs in the file's order.

    Raises:
        ValueError: if the suffix is unknown, the content is not of that format, or a record is a complex of several
            strands; the message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        _format_of(path)  # of two things that are wrong the suffix is said first
    data = path.read_bytes()
    if foreign := explain_foreign(data[:NUM_BYTES], path.suffix, is_structure=True):
        raise ValueError(f"{path} is {foreign}")
    parse, _ = _format_of(path)
    return parse(decode_text(data, str(path)), str(path))


def write_structures(path: str | Path, structures: Sequence[SecondaryStructure]) -> None:
    """Write a file of secondary structures, the format following from its suffix.

    Args:
        path: as in `read_structures`, `.st` and `.nopct` excepted. A `.bpseq` file holds one RNA and no energy.
        structures: the RNAs.

    Raises:
        ValueError: if the suffix is unknown, or several RNAs are to go into a `.bpseq` file.
    """
    path = Path(path)
    _, write = _format_of(path)
    if write is None:
        raise ValueError(f"{path}: this format can be read only; write .ct, .bpseq or .dbn")
    path.write_text(write(structures), encoding="utf-8")


def parse_ct(text: str, name: str = "CT text") -> list[SecondaryStructure]:
    """Read a connectivity table, with any number of RNAs or of structures of one RNA.

    A record is a header, `<length> [ENERGY = <kcal/mol> or dG = ...] <title>`, and a line for each nucleotide: number,
    letter, number before, number after, partner (0 for none), and further columns that are ignored like the third and
    fourth. The energy may have what mfold, UNAFold and RNAstructure write around it, and may follow the title. Lines
    that begin with `#` or `;` are comments, as are the fields that the CRW puts above (`Organism: ...`); `Filename:`
    gives the id of a record without a title.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        The records; `seq<number>` (from 1) is the id of one without a title.

    Raises:
        ValueError: if a line is not as described or two nucleotides disagree about pairing.
    """
    lines = numbered_lines(text, comments=";")
    records: list[tuple[str, list[_Entry], float | None]] = []
    filename = ""
    for number, line in lines:
        if line[0] == "#" or _FIELD.fullmatch(line):
            filename = find_name(line) or filename
            continue
        fields = line.split(maxsplit=1)
        length = to_int(fields[0])
        if _CT_ENTRY.fullmatch(line) or not length:
            remedy = "check the length above" if records else "write it above, with the number of nucleotides"
            raise line_error(name, number, f"a header such as '76 title' is expected, got {line[:80]!r}; {remedy}")
        if _BPSEQ_ENTRY.fullmatch(line) and length == 1:
            problem = (
                f"a header such as '76 title' is expected, got {line[:80]!r}; if this is BPSEQ, name the file .bpseq"
            )
            raise line_error(name, number, problem)
        title, energy = split_title(fields[1] if len(fields) > 1 else "", name, number, is_header=True)
        entries: list[_Entry] = []
        links: list[tuple[int, str, str]] = []
        for expected in range(1, length + 1):
            entry_number, entry = next(((n, text) for n, text in lines if text[0] != "#"), (0, ""))
            if not entry:
                missing = f"the header announces {length} nucleotides, the text ends after {expected - 1}; complete it"
                raise line_error(name, number, missing)
            columns = entry.split()
            if len(columns) < 5:
                problem = f"nucleotide {expected} of {length} needs 5 columns, got {entry[:80]!r}"
                raise line_error(name, entry_number, problem)
            entries.append(_parse_entry(columns[0], columns[1], columns[4], expected, name, entry_number))
            links.append((entry_number, columns[2], columns[3]))
        _check_links(links, name)
        records.append((title or filename or f"seq{len(records) + 1}", entries, energy))
        filename = ""
    # Pairs are looked at last: a wrong length in a header would show as an odd partner first.
    return not_empty([_from_entries(*record, name) for record in records], name)


def format_ct(structures: Iterable[SecondaryStructure]) -> str:
    """Write connectivity tables, one after the other; `parse_ct` says what is in them."""
    lines = []
    for structure in structures:
        length = len(structure.sequence)
        energy = "" if structure.energy is None else f"ENERGY = {structure.energy}  "
        lines.append(f"{length:5d}  {energy}{structure.id}")
        for number, (letter, partner) in enumerate(zip(structure.sequence, _partners(structure)), start=1):
            after = number + 1 if number < length else 0
            lines.append(f"{number:5d} {letter} {number - 1:5d} {after:5d} {partner:5d} {number:5d}")
    return join_lines(lines)


def parse_bpseq(text: str, name: str = "BPSEQ text") -> list[SecondaryStructure]:
    """Read a BPSEQ file: number, letter and partner (0 for none) of each nucleotide of one RNA.

    Lines that begin with `#` are comments, as is every line before the first nucleotide, those of the CRW among them.
    `Name: <id>` or `Filename: <id>` in a comment gives the id; a header as in CT, `<length> ENERGY = ... <title>`, also
    gives the energy.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        A list of one; its id is `seq1` where the comments have no name.

    Raises:
        ValueError: if a line is not as described, two nucleotides disagree about pairing, or there are two strands.
    """
    title = ""
    energy: float | None = None
    length, header_line = 0, 0
    entries: list[_Entry] = []
    for number, line in numbered_lines(text):
        columns = line.split()
        if not line.startswith("#") and not entries and _is_ct_header(columns):
            length, header_line = int(columns[0]), number
            found, own_energy = split_title(line[len(columns[0]) :], name, number, is_header=True)
            title, energy = found or title, energy if own_energy is None else own_energy
        elif line.startswith("#") or (not entries and to_int(columns[0]) is None):
            if not entries and energy is None:
                _, energy = split_title(line.lstrip("#"), name, number)
            title = title or find_name(line)
        elif len(columns) != 3:
            problem = f"'<number> <letter> <partner>' is expected, got {line[:80]!r}"
            if _CT_ENTRY.fullmatch(line):
                problem += "; if this is a connectivity table, name the file .ct"
            elif _FIELD.fullmatch(line):
                problem += "; if a second RNA begins here, put it into a file of its own"
            raise line_error(name, number, problem)
        else:
            entries.append(_parse_entry(columns[0], columns[1], columns[2], len(entries) + 1, name, number))
    if not entries:
        return not_empty([], name)
    if length and length != len(entries):
        problem = f"the header announces {length} nucleotides, but there are {len(entries)}; correct or complete it"
        raise line_error(name, header_line, problem)
    return [_from_entries(title or "seq1", entries, energy, name)]


def format_bpseq(structures: Sequence[SecondaryStructure]) -> str:
    """Write one RNA as BPSEQ; its energy has no place there.

    Raises:
        ValueError: if there is not exactly one RNA.
    """
    if len(structures) != 1:
        raise ValueError(f"a BPSEQ file holds one RNA, got {len(structures)}; write one file for each, or .ct or .dbn")
    [structure] = structures
    entries = enumerate(zip(structure.sequence, _partners(structure)), start=1)
    return join_lines(
        [f"#Name: {structure.id}", *(f"{number} {letter} {partner}" for number, (letter, partner) in entries)]
    )


_Parser = Callable[[str, str], list[SecondaryStructure]]
_Writer = Callable[[Sequence[SecondaryStructure]], str]
_FORMATS: dict[str, tuple[_Parser, _Writer | None]] = {
    ".ct": (parse_ct, format_ct),
    ".bpseq": (parse_bpseq, format_bpseq),
    ".st": (parse_st, None),
    ".nopct": (parse_ct, None),
    **dict.fromkeys(
        (".dbn", ".db", ".dot", ".vienna", ".fold", ".sub", ".dp", ".fa", ".fasta"), (parse_dbn, format_dbn)
    ),
}

_Entry = tuple[str, int, int]  # letter, partner (1-based, 0 for none), line


def _format_of(path: Path) -> tuple[_Parser, _Writer | None]:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(
            f"{path} has an unknown suffix; structures are in {', '.join(_FORMATS)} files: rename it"
        ) from None


def _is_ct_header(columns: list[str]) -> bool:
    """Tell a line `76 ENERGY = -1.2 title` from that of a nucleotide, broken or not."""
    return bool(to_int(columns[0])) and (columns[0] != "1" or (len(columns) > 1 and len(columns[1]) > 1))


def _check_links(links: list[tuple[int, str, str]], name: str) -> None:
    """Refuse a table whose third and fourth columns part the strands of a complex, as UNAFold's do.

    Args:
        links: line, number before and number after of each nucleotide.
        name: the file, for messages.
    """
    breaks = []
    for position, ((number, _, after), (_, before, _)) in enumerate(itertools.pairwise(links), start=1):
        if (after, before) == ("0", "0"):
            breaks.append((number, position))
        elif (after, before) != (str(position + 1), str(position)):
            return  # the columns say something else
    if breaks and len(breaks) < len(links) - 1:
        number, position = breaks[0]
        raise strands_error(name, number, f"nothing is linked to nucleotide {position}, with a break", len(breaks) + 1)


def _partners(structure: SecondaryStructure) -> list[int]:
    """Partner of each nucleotide, counted from 1, 0 for none."""
    partners = [0] * len(structure.sequence)
    for i, j in structure.pairs:
        partners[i], partners[j] = j + 1, i + 1
    return partners


def _parse_entry(position: str, letter: str, partner: str, expected: int, name: str, number: int) -> _Entry:
    """Check the columns of one nucleotide."""
    if to_int(position) != expected:
        problem = (
            f"nucleotide {expected} is expected, got {position[:40]!r}; nucleotides are numbered from 1 without gaps"
        )
        raise line_error(name, number, problem)
    if len(letter) != 1 or not is_letters(letter):
        raise line_error(
            name, number, f"nucleotide {expected} is {letter[:40]!r}; write one letter, N for an unknown one"
        )
    index = to_int(partner)
    if index is None:
        raise line_error(
            name, number, f"the partner of nucleotide {expected} is {partner[:40]!r}; write its number, 0 for none"
        )
    return letter, index, number


def _from_entries(title: str, entries: list[_Entry], energy: float | None, name: str) -> SecondaryStructure:
    """Make a structure, once every nucleotide's partner names it in turn."""
    sequence = "".join(letter for letter, _, _ in entries)
    check_linker(sequence, name, entries[0][2])
    for position, (_, partner, number) in enumerate(entries, start=1):
        if partner > len(entries) or partner == position:
            problem = f"nucleotide {position} pairs with {partner}; write another number up to {len(entries)}, or 0"
            raise line_error(name, number, problem)
        if partner and entries[partner - 1][1] != position:
            other = entries[partner - 1][1] or "nothing"
            problem = f"nucleotide {position} pairs with {partner}, but {partner} with {other}; correct one of the two"
            raise line_error(name, number, problem)
    pairs = [(i, partner - 1) for i, (_, partner, _) in enumerate(entries) if partner - 1 > i]
    return SecondaryStructure(title, sequence, tuple(pairs), energy)
