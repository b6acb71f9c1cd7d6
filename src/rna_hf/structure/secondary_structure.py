"""A secondary structure, and what the readers of its file formats share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .dotbracket import Pair, normalise_pairs, write_dotbracket

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
# mfold: dG = -1.2 [initially -1.5]; UNAFold: dG = -1.2  dH = -20; efn2 of RNAstructure: ENERGY = -1.2 +/- 0.3
_AFTER_ENERGY = r"(?:\s*(?:±|\+/-)\s*[\d.]+)?(?:\s*kcal/mol)?(?:\s*\[initially[^]]*\])?(?:\s*dH\s*=\s*[-+.\d]+)?"
_ENERGY = re.compile(rf"(?:ENERGY|dG)\s*=\s*(\S+){_AFTER_ENERGY}\s*(.*)", re.IGNORECASE)
_ENERGY_AT_END = re.compile(rf"(.*\S)\s+(?:ENERGY|dG)\s*=\s*({NUMBER}){_AFTER_ENERGY}", re.IGNORECASE)
_NAME = re.compile(r"#?\s*(Name|Filename)\s*:\s*(.*\S)", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(?:bpseq|ct|nopct)$", re.IGNORECASE)
_LINKER = re.compile(r"(?<=[^I])III(?=[^I])")
# What stands between strands: of ViennaRNA and DSSR, of NUPACK, of RNAstructure.
STRAND_BREAKS = "&+"
_MOST_DIGITS = 18


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
            raise ValueError(
                f"the id {self.id[:80]!r} is empty, not one line or has blanks at an end; give a line of text"
            )
        if not self.sequence:
            raise ValueError(f"{self.id[:80]!r} has an empty sequence; leave this RNA out")
        if not is_letters(self.sequence):
            wrong = next(letter for letter in self.sequence if not is_letters(letter))
            raise ValueError(
                f"the sequence of {self.id[:80]!r} has {wrong!r} at position {self.sequence.index(wrong) + 1}; "
                "only letters are allowed: remove gaps, and split complexes into single RNAs"
            )
        object.__setattr__(self, "pairs", tuple(normalise_pairs(self.pairs, len(self.sequence))))

    @property
    def dotbracket(self) -> str:
        """L symbols, as `write_dotbracket` chooses them."""
        return write_dotbracket(self.pairs, len(self.sequence))


def line_error(name: str, number: int, problem: str) -> ValueError:
    """Return what to raise for a line of a file."""
    return ValueError(f"{name}, line {number}: {problem}")


def not_empty(structures: list[SecondaryStructure], name: str) -> list[SecondaryStructure]:
    """Return structures, once there is one."""
    if not structures:
        raise ValueError(f"{name} holds no structure; check that this is the right file")
    return structures


def numbered_lines(text: str, comments: str = "") -> Iterator[tuple[int, str]]:
    """Yield line numbers from 1 and stripped lines, without blank lines and those that begin with a comment sign."""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line and line[0] not in comments:
            yield number, line


def join_lines(lines: list[str]) -> str:
    """Return lines as one text."""
    return "".join(f"{line}\n" for line in lines)


def is_letters(text: str) -> bool:
    """Tell whether a text is ASCII letters, one at least."""
    return text.isascii() and text.isalpha()


def to_int(text: str) -> int | None:
    """Return the whole number that a text is, or None; one of more digits than a place in an RNA can have is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def to_energy(text: str, name: str, number: int) -> float:
    """Return a free energy in kcal/mol."""
    try:
        return float(text)
    except ValueError:
        raise line_error(
            name, number, f"the energy {text[:80]!r} is not a number of kcal/mol; correct or remove it"
        ) from None


def split_title(title: str, name: str, number: int, is_header: bool = False) -> tuple[str, float | None]:
    """Part a title and a free energy in kcal/mol.

    Args:
        title: text that may begin with the energy.
        name: the file, for messages.
        number: its line, for messages.
        is_header: whether it is the header of a table, where the energy may also come last.
    """
    title = title.strip()
    if found := _ENERGY.fullmatch(title):
        return found[2], to_energy(found[1], name, number)
    if is_header and (found := _ENERGY_AT_END.fullmatch(title)):
        return found[1], to_energy(found[2], name, number)
    return title, None


def find_name(line: str) -> str:
    """Return the name in a line `Name: <name>` or `Filename: <name>.bpseq`, with or without `#`; empty if none."""
    found = _NAME.fullmatch(line)
    if not found:
        return ""
    return found[2] if found[1].lower() == "name" else _SUFFIX.sub("", found[2]).rstrip()


def strands_error(name: str, number: int, mark: str, count: int = 2) -> ValueError:
    """Return what to raise for a complex.

    Args:
        name: the file.
        number: its line.
        mark: how the strands are told apart.
        count: number of strands.
    """
    problem = (
        f"this is a complex of {count} strands ({mark} between them), and a record here is one RNA; "
        "fold each strand by itself and write a record for each"
    )
    return line_error(name, number, problem)


def check_linker(sequence: str, name: str, number: int) -> None:
    """Refuse a sequence with the three I by which RNAstructure joins two strands."""
    if found := _LINKER.findall(sequence):
        raise strands_error(name, number, "RNAstructure's linker III", len(found) + 1)
