"""Secondary structures in text files: CT, BPSEQ and dot-bracket.

Positions count from 1 in CT and BPSEQ files and from 0 in `SecondaryStructure`. Sequences keep their letters: case, T
or U and ambiguity codes stay as they are. A record's title, free text on one line, is its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .dotbracket import Pair, normalise_pairs, parse_dotbracket, write_dotbracket

_ENERGY = re.compile(r"(?:ENERGY|dG)\s*=\s*(\S+)(?:\s*kcal/mol)?(?:\s*\[initially[^]]*\])?\s*(.*)", re.IGNORECASE)
_CT_ENTRY = re.compile(r"\d+\s+[^\d\s]\s+\d+\s+\d+\s+\d+(\s.*)?")
_NAME = re.compile(r"#?\s*(?:Name|Filename)\s*:\s*(.*\S)", re.IGNORECASE)
_NO_TITLE_AFTER_ALL = re.compile(r"[^A-Za-z0-9\s]+")  # the 3' end of a wrapped structure may begin with ">"


@dataclass(frozen=True)
class SecondaryStructure:
    """An RNA with its base pairs.

    Attributes:
        id: name or title, one line.
        sequence: L ASCII letters.
        pairs: 0-based pairs (i, j), i < j, sorted; any order is taken.
        energy: free energy in kcal/mol, None where the file has none.
    """

    id: str
    sequence: str
    pairs: tuple[Pair, ...]
    energy: float | None = None

    def __post_init__(self) -> None:
        if self.id.splitlines() != [self.id.strip()]:
            raise ValueError(f"the id {self.id!r} is empty, not one line or has blanks at an end; give a line of text")
        if not self.sequence:
            raise ValueError(f"{self.id!r} has an empty sequence; leave this RNA out")
        if not _is_letters(self.sequence):
            wrong = next(letter for letter in self.sequence if not _is_letters(letter))
            raise ValueError(
                f"the sequence of {self.id!r} has {wrong!r} at position {self.sequence.index(wrong) + 1}; "
                "only letters are allowed: remove gaps, and split complexes into single RNAs"
            )
        object.__setattr__(self, "pairs", tuple(normalise_pairs(self.pairs, len(self.sequence))))

    @property
    def dotbracket(self) -> str:
        """L symbols, as `write_dotbracket` chooses them."""
        return write_dotbracket(self.pairs, len(self.sequence))


def read_structures(path: str | Path) -> list[SecondaryStructure]:
    """Read a file of secondary structures, the format following from its suffix.

    Args:
        path: `.ct`, `.bpseq`, `.st` (bpRNA) or dot-bracket: `.dbn`, `.db`, `.dot`, `.vienna`, `.fa`, `.fasta`.

    Returns:
        The RNAs in the file's order.

    Raises:
        ValueError: if the suffix is unknown or the content is not of that format; the message names file and line.
    """
    path = Path(path)
    parse, _ = _format_of(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error.reason} (byte {error.start})") from error
    return parse(text, str(path))


def write_structures(path: str | Path, structures: Sequence[SecondaryStructure]) -> None:
    """Write a file of secondary structures, the format following from its suffix.

    Args:
        path: as in `read_structures`, `.st` excepted. A `.bpseq` file holds one RNA and no energy.
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
    fourth. Lines that begin with `#` or `;` are comments.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        The records; `seq<number>` (from 1) is the id of one without a title.

    Raises:
        ValueError: if a line is not as described or two nucleotides disagree about pairing.
    """
    lines = _numbered_lines(text, comments="#;")
    records: list[tuple[str, list[_Entry], float | None]] = []
    for number, line in lines:
        fields = line.split(maxsplit=1)
        length = _to_int(fields[0])
        if _CT_ENTRY.fullmatch(line) or not length:
            raise _error(name, number, f"a header such as '76 title' is expected, got {line!r}; check the length above")
        title, energy = _split_title(fields[1] if len(fields) > 1 else "", name, number)
        entries = []
        for expected in range(1, length + 1):
            entry_number, entry = next(lines, (0, ""))
            if not entry:
                missing = f"the header announces {length} nucleotides, the text ends after {expected - 1}; complete it"
                raise _error(name, number, missing)
            columns = entry.split()
            if len(columns) < 5:
                raise _error(name, entry_number, f"nucleotide {expected} of {length} needs 5 columns, got {entry!r}")
            entries.append(_parse_entry(columns[0], columns[1], columns[4], expected, name, entry_number))
        records.append((title or f"seq{len(records) + 1}", entries, energy))
    # Pairs are looked at last: a wrong length in a header would show as an odd partner first.
    return _not_empty([_from_entries(*record, name) for record in records], name)


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
    return _join(lines)


def parse_bpseq(text: str, name: str = "BPSEQ text") -> list[SecondaryStructure]:
    """Read a BPSEQ file: number, letter and partner (0 for none) of each nucleotide of one RNA.

    Lines that begin with `#` are comments, as is every line before the first nucleotide. `Name: <id>` or
    `Filename: <id>` in a comment gives the id.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        A list of one; its id is `seq1` where the comments have no name.

    Raises:
        ValueError: if a line is not as described or two nucleotides disagree about pairing.
    """
    title = ""
    entries: list[_Entry] = []
    for number, line in _numbered_lines(text):
        columns = line.split()
        if line.startswith("#") or (not entries and _to_int(columns[0]) is None):
            found = _NAME.fullmatch(line)
            title = title or (found[1].removesuffix(".bpseq") if found else "")
        elif len(columns) != 3:
            raise _error(name, number, f"'<number> <letter> <partner>' is expected, got {line!r}")
        else:
            entries.append(_parse_entry(columns[0], columns[1], columns[2], len(entries) + 1, name, number))
    return [_from_entries(title or "seq1", entries, None, name)] if entries else _not_empty([], name)


def format_bpseq(structures: Sequence[SecondaryStructure]) -> str:
    """Write one RNA as BPSEQ; its energy has no place there.

    Raises:
        ValueError: if there is not exactly one RNA.
    """
    if len(structures) != 1:
        raise ValueError(f"a BPSEQ file holds one RNA, got {len(structures)}; write one file for each, or .ct or .dbn")
    [structure] = structures
    entries = enumerate(zip(structure.sequence, _partners(structure)), start=1)
    return _join([f"#Name: {structure.id}", *(f"{number} {letter} {partner}" for number, (letter, partner) in entries)])


def parse_dbn(text: str, name: str = "dot-bracket text") -> list[SecondaryStructure]:
    """Read dot-bracket records: an optional title, the sequence, the structure, as in Vienna, FASTA and bpRNA files.

    A title is `> <title>` or `#Name: <title>`; other lines with `#` are comments. Sequence and structure may be wrapped
    over several lines. A free energy in kcal/mol may follow the structure, `((...)) (-1.20)`, or begin the title, as in
    `>ENERGY = -1.2  title`. A structure is told from a sequence by its first line having a symbol that is no letter.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        The records; `seq<number>` (from 1) is the id of one without a title.

    Raises:
        ValueError: if a structure is missing, longer or shorter than its sequence, or not balanced.
    """
    return _parse_dotbracket_lines(_numbered_lines(text), name)


def parse_st(text: str, name: str = "st text") -> list[SecondaryStructure]:
    """Read bpRNA's structure types; what follows sequence and dot-bracket (loop types, segments) is ignored.

    Args:
        text: the file's content: records of `#` lines, sequence, dot-bracket and more.
        name: what to call it in messages.

    Returns:
        The records, as from `parse_dbn`.

    Raises:
        ValueError: as `parse_dbn`.
    """
    kept = []
    after_comment = 0
    for number, line in _numbered_lines(text):
        after_comment = 0 if line.startswith("#") else after_comment + 1
        if after_comment <= 2:
            kept.append((number, line))
    return _parse_dotbracket_lines(iter(kept), name)


def format_dbn(structures: Iterable[SecondaryStructure]) -> str:
    """Write FASTA records with the dot-bracket, and the energy if known, in the line after the sequence."""
    lines = []
    for structure in structures:
        energy = "" if structure.energy is None else f" ({structure.energy})"
        lines += [f">{structure.id}", structure.sequence, structure.dotbracket + energy]
    return _join(lines)


_Parser = Callable[[str, str], list[SecondaryStructure]]
_Writer = Callable[[Sequence[SecondaryStructure]], str]
_FORMATS: dict[str, tuple[_Parser, _Writer | None]] = {
    ".ct": (parse_ct, format_ct),
    ".bpseq": (parse_bpseq, format_bpseq),
    ".st": (parse_st, None),
    **dict.fromkeys((".dbn", ".db", ".dot", ".vienna", ".fa", ".fasta"), (parse_dbn, format_dbn)),
}

_Entry = tuple[str, int, int]  # letter, partner (1-based, 0 for none), line


def _format_of(path: Path) -> tuple[_Parser, _Writer | None]:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path} has an unknown suffix; structures are in {', '.join(_FORMATS)} files") from None


def _error(name: str, number: int, problem: str) -> ValueError:
    return ValueError(f"{name}, line {number}: {problem}")


def _not_empty(structures: list[SecondaryStructure], name: str) -> list[SecondaryStructure]:
    if not structures:
        raise ValueError(f"{name} holds no structure; check that this is the right file")
    return structures


def _numbered_lines(text: str, comments: str = "") -> Iterator[tuple[int, str]]:
    """Yield line numbers from 1 and stripped lines, without blank lines and those that begin with a comment sign."""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line and line[0] not in comments:
            yield number, line


def _join(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _is_letters(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _to_int(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _to_energy(text: str, name: str, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise _error(name, number, f"the energy {text!r} is not a number of kcal/mol; correct or remove it") from None


def _split_title(title: str, name: str, number: int) -> tuple[str, float | None]:
    """Part a leading energy from a title."""
    title = title.strip()
    found = _ENERGY.fullmatch(title)
    return (found[2], _to_energy(found[1], name, number)) if found else (title, None)


def _partners(structure: SecondaryStructure) -> list[int]:
    """Partner of each nucleotide, counted from 1, 0 for none."""
    partners = [0] * len(structure.sequence)
    for i, j in structure.pairs:
        partners[i], partners[j] = j + 1, i + 1
    return partners


def _parse_entry(position: str, letter: str, partner: str, expected: int, name: str, number: int) -> _Entry:
    """Check the columns of one nucleotide."""
    if _to_int(position) != expected:
        problem = f"nucleotide {expected} is expected, got {position!r}; nucleotides are numbered from 1 without gaps"
        raise _error(name, number, problem)
    if len(letter) != 1 or not _is_letters(letter):
        raise _error(name, number, f"nucleotide {expected} is {letter!r}; write one letter, N for an unknown one")
    index = _to_int(partner)
    if index is None:
        raise _error(name, number, f"the partner of nucleotide {expected} is {partner!r}; write its number, 0 for none")
    return letter, index, number


def _from_entries(title: str, entries: list[_Entry], energy: float | None, name: str) -> SecondaryStructure:
    """Make a structure, once every nucleotide's partner names it in turn."""
    for position, (_, partner, number) in enumerate(entries, start=1):
        if partner > len(entries) or partner == position:
            problem = f"nucleotide {position} pairs with {partner}; write another number up to {len(entries)}, or 0"
            raise _error(name, number, problem)
        if partner and entries[partner - 1][1] != position:
            other = entries[partner - 1][1] or "nothing"
            problem = f"nucleotide {position} pairs with {partner}, but {partner} with {other}; correct one of the two"
            raise _error(name, number, problem)
    pairs = [(i, partner - 1) for i, (_, partner, _) in enumerate(entries) if partner - 1 > i]
    return SecondaryStructure(title, "".join(letter for letter, _, _ in entries), tuple(pairs), energy)


def _parse_dotbracket_lines(lines: Iterator[tuple[int, str]], name: str) -> list[SecondaryStructure]:
    structures: list[SecondaryStructure] = []
    title, sequence, structure = "", "", ""
    energy: float | None = None
    number = 0
    for number, line in lines:
        if line[0] in ">#" and not (structure and _NO_TITLE_AFTER_ALL.fullmatch(line)):
            if sequence:
                raise _error(name, number, _incomplete(sequence, structure))
            found = _NAME.fullmatch(line)
            if line[0] == ">":
                title, energy = _split_title(line[1:], name, number)
            elif found:
                title = found[1]
            continue
        if not structure and _is_letters(line):
            sequence += line
            continue
        if not sequence:
            raise _error(name, number, f"a sequence is expected, got {line!r}; write letters only, then the structure")
        symbols, *rest = line.split(maxsplit=1)
        structure += symbols
        if rest:
            energy = _to_energy(rest[0].removeprefix("(").removesuffix(")").strip(), name, number)
        if len(structure) > len(sequence):
            raise _error(name, number, _incomplete(sequence, structure))
        if len(structure) == len(sequence):
            try:
                pairs = parse_dotbracket(structure)
            except ValueError as error:
                raise _error(name, number, str(error)) from error
            title = title or f"seq{len(structures) + 1}"
            structures.append(SecondaryStructure(title, sequence, tuple(pairs), energy))
            title, sequence, structure, energy = "", "", "", None
    if sequence:
        raise _error(name, number, _incomplete(sequence, structure))
    return _not_empty(structures, name)


def _incomplete(sequence: str, structure: str) -> str:
    return (
        f"a sequence of {len(sequence)} nucleotides has a structure of {len(structure)} symbols; "
        "write one symbol for each nucleotide"
    )
