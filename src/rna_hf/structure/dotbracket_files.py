"""Dot-bracket records in text, as folding programs and databases write them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from .dotbracket import parse_dotbracket
from .secondary_structure import (
    NUMBER,
    STRAND_BREAKS,
    SecondaryStructure,
    check_linker,
    find_name,
    join_lines,
    line_error,
    not_empty,
    numbered_lines,
    split_title,
    strands_error,
    to_energy,
)

_NO_TITLE_AFTER_ALL = re.compile(r"[^A-Za-z0-9\s]+")  # the 3' end of a wrapped structure may begin with ">"
# RNAsubopt writes the lowest energy and the range after the sequence, and the range after the title.
_SEQUENCE = re.compile(rf"([A-Za-z]+)(?:\s+{NUMBER}){{0,2}}")
_STRANDS = re.compile(rf"[A-Za-z]+(?:[{STRAND_BREAKS}][A-Za-z]*)+(?:\s+{NUMBER})*")
_NEARLY_SEQUENCE = re.compile(r"[A-Za-z]{2,}([-.~_* \d])[-.~_* \dA-Za-z]*")  # gaps, blanks, numbers of positions
_RANGE = re.compile(r"\s*\[\s*-?\d+\s*\]$")
# What RNAfold says below the structures, on a terminal too.
_MINIMUM = re.compile(rf"minimum free energy\s*=\s*({NUMBER})\s*kcal/mol", re.IGNORECASE)
_REPORT = re.compile(r"(?:frequency of |free energy of ensemble|ensemble diversity|delta G binding)", re.IGNORECASE)
# What LinearFold and LinearPartition say above the sequence or between it and the structure.
_REMARK = re.compile(
    rf"(?:free energy of ensemble|log partition coefficient|[a-z ]+ time|beam size):\s*{NUMBER}.*", re.I
)
# Programs that write something else than a sequence first: how the line looks, and what to do.
_OTHER_PROGRAMS = (
    (
        re.compile(r"[.(){}\[\]]+\s.*"),
        "a structure without its sequence above it, as RNALfold writes those of windows, is "
        "to have the letters of its window in the line before",
    ),
    (re.compile(r"(?:Seq(?:uence)?|RNA)\s*[:=].*", re.I), "write the letters alone, without the word before them"),
    (re.compile(r"%.*"), "of NUPACK's files give a sequence and the structure below it, without the lines with %"),
    (re.compile(r"\S+\s+[A-Za-z]+\s+[.(][.()\[\]]*(?:\s.*)?"), "write title, sequence and structure in a line each"),
    (re.compile(r".*\s.*"), "remove what a program says above the sequence"),
)
# After a structure: (-1.20), { -1.20 d=0.66}, [ -1.20], -1.20 0.84, (-1.2 = -1.0 + -0.2), (g=4,th=0.2,e=-1.2)
_ENERGY_AFTER = re.compile(
    rf"[(\[{{]?\s*({NUMBER})\s*(?:kcal/mol)?(?:\s+(?:d|MEA)=\s*\S+?|\s*=.*|(?:\s+{NUMBER})+)?\s*[)\]}}]?", re.IGNORECASE
)
_CENTROIDFOLD = re.compile(rf"\(.*\be=({NUMBER}).*\)")
_NOT_LOWEST = re.compile(r"\{.*\}|.*\b(?:d|MEA)=.*")


def parse_dbn(text: str, name: str = "dot-bracket text") -> list[SecondaryStructure]:
    """Read dot-bracket records: an optional title, the sequence, the structure, as in Vienna, FASTA and bpRNA files.

    A title is `> <title>` or `#Name: <title>`; other lines with `#` are comments. Sequence and structure may be wrapped
    over several lines. A free energy in kcal/mol may follow the structure, `((...)) (-1.20)`, or begin the title, as in
    `>ENERGY = -1.2  title`. A structure is told from a sequence by its first line having a symbol that is no letter.

    A sequence may have several structures, one after the other, as RNAsubopt writes them, or each below its title, as
    RNAstructure does: each is a record, all of the same id. Of RNAfold's structures the one of lowest energy is taken;
    those of the ensemble (`[-1.50]`), the centroid (`{-1.20 d=0.66}`) and MEA, and the lines below them, are left out.

    Args:
        text: the file's content.
        name: what to call it in messages.

    Returns:
        The records; `seq<number>` (from 1, of the RNA) is the id of one without a title.

    Raises:
        ValueError: if a structure is missing, longer or shorter than its sequence, not balanced, or of two strands.
    """
    return _Parser(name).parse(numbered_lines(text))


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
    for number, line in numbered_lines(text):
        after_comment = 0 if line.startswith("#") else after_comment + 1
        if after_comment <= 2:
            kept.append((number, line))
    return _Parser(name).parse(iter(kept))


def format_dbn(structures: Iterable[SecondaryStructure]) -> str:
    """Write FASTA records with the dot-bracket, and the energy if known, in the line after the sequence."""
    lines = []
    for structure in structures:
        energy = "" if structure.energy is None else f" ({structure.energy})"
        lines += [f">{structure.id}", structure.sequence, structure.dotbracket + energy]
    return join_lines(lines)


class _Parser:
    """What is known at a line of a file.

    Args:
        name: what to call the file in messages.
    """

    def __init__(self, name: str):
        self.name = name
        self.structures: list[SecondaryStructure] = []
        self.num_rnas = 0
        # Of the present RNA; `structure` is the one that is being read, `num_read` how many are.
        self.title = ""
        self.sequence = ""
        self.structure = ""
        self.energy: float | None = None
        self.num_read = 0
        self.is_lowest_first = False
        self.is_titled = False  # since the last structure

    @property
    def is_waiting(self) -> bool:
        """Whether the present RNA needs more lines."""
        return bool(self.structure or (self.sequence and not self.num_read))

    def parse(self, lines: Iterator[tuple[int, str]]) -> list[SecondaryStructure]:
        number = 0
        for number, line in lines:
            if line[0] in ">#" and not (self.structure and _NO_TITLE_AFTER_ALL.fullmatch(line)):
                self._read_title(line, number)
            elif not self.structure and (self._is_report(line) or _REMARK.fullmatch(line)):
                continue
            elif not self.structure and _STRANDS.fullmatch(line):
                mark = next(symbol for symbol in line if symbol in STRAND_BREAKS)
                raise strands_error(self.name, number, f"'{mark}'", line.count(mark) + 1)
            elif not self.structure and (found := _SEQUENCE.fullmatch(line)):
                self._read_sequence(found[1], line)
            else:
                self._read_structure(line, number)
        if self.is_waiting:
            raise self._incomplete(number)
        return not_empty(self.structures, self.name)

    def _read_title(self, line: str, number: int) -> None:
        if line.lower().split() in (["structure"], [">structure"]) and self.sequence and not self.num_read:
            return  # what CONTRAfold and EternaFold write between sequence and structure
        if self.is_waiting:
            raise self._incomplete(number)
        if line[0] == ">":
            title, energy = split_title(line[1:], self.name, number)
            # RNAstructure: further structures of a sequence have titles, with their energies, but not the sequence.
            if not (self.num_read and energy is not None and title == self.title):
                self._begin(title)
            self.energy, self.is_titled = energy, True
        elif found := find_name(line):
            self._begin(found)

    def _begin(self, title: str = "") -> None:
        self.title, self.sequence, self.structure, self.energy = title, "", "", None
        self.num_read, self.is_lowest_first, self.is_titled = 0, False, False

    def _is_report(self, line: str) -> bool:
        """Take what RNAfold says of the structures above."""
        found = _MINIMUM.fullmatch(line)
        if found and self.num_read and self.structures[-1].energy is None:
            self.structures[-1] = dataclasses.replace(self.structures[-1], energy=float(found[1]))
            self.is_lowest_first = True
        return bool(self.num_read and (found or _REPORT.match(line) or line == "@"))

    def _read_sequence(self, letters: str, line: str) -> None:
        if self.num_read:
            title, energy = (self.title, self.energy) if self.is_titled else ("", None)
            self._begin(title)
            self.energy = energy
        if letters != line:
            self.title = _RANGE.sub("", self.title)
        self.sequence += letters

    def _read_structure(self, line: str, number: int) -> None:
        symbols, *rest = line.split(maxsplit=1)
        after = rest[0].strip() if rest else ""
        if "&" in symbols:
            raise strands_error(self.name, number, "'&'", symbols.count("&") + 1)
        if not self.sequence:
            wrong = _NEARLY_SEQUENCE.fullmatch(line)
            remedy = f"remove {wrong[1]!r} and the like" if wrong else "write letters only, then the structure"
            if not wrong:
                remedy = next((advice for shape, advice in _OTHER_PROGRAMS if shape.fullmatch(line)), remedy)
            raise line_error(self.name, number, f"a sequence is expected, got {line[:80]!r}; {remedy}")
        if self.num_read and not self.structure and self._is_of_ensemble(after):
            return
        self.structure += symbols
        if after:
            self.energy = self._parse_energy(after, number)
        if len(self.structure) > len(self.sequence):
            raise self._incomplete(number)
        if len(self.structure) == len(self.sequence):
            self.is_lowest_first = self.is_lowest_first or (not self.num_read and after.startswith("("))
            self._finish(number)

    def _is_of_ensemble(self, after: str) -> bool:
        """Tell RNAfold's further structures of an RNA by what follows them; RNAsubopt -z writes `[-1.20]` for all."""
        return bool(_NOT_LOWEST.fullmatch(after)) or (self.is_lowest_first and after.startswith("["))

    def _parse_energy(self, after: str, number: int) -> float | None:
        title, energy = split_title(after, self.name, number)
        if energy is not None:  # RNAstructure, with titles at the side
            self.title = self.title or title
            return energy
        found = _ENERGY_AFTER.fullmatch(after) or _CENTROIDFOLD.fullmatch(after)
        return to_energy(found[1] if found else after.removeprefix("(").removesuffix(")"), self.name, number)

    def _finish(self, number: int) -> None:
        check_linker(self.sequence, self.name, number)
        if "+" in self.structure:
            problem = "the structure has '+', RNAfold's sign of a G-quadruplex, which is no base pair; fold without -g"
            raise line_error(self.name, number, f"{problem}, or write '.' there")
        try:
            pairs = parse_dotbracket(self.structure)
        except ValueError as error:
            raise line_error(self.name, number, str(error)) from error
        self.num_rnas += not self.num_read
        self.title = self.title or f"seq{self.num_rnas}"
        self.structures.append(SecondaryStructure(self.title, self.sequence, tuple(pairs), self.energy))
        self.structure, self.energy, self.is_titled = "", None, False
        self.num_read += 1

    def _incomplete(self, number: int) -> ValueError:
        problem = (
            f"a sequence of {len(self.sequence)} nucleotides has a structure of {len(self.structure)} symbols; "
            "write one symbol for each nucleotide"
        )
        return line_error(self.name, number, problem)
