"""Checks of RNA sequences: what is none, which letters can be read, and which records of a source can be used."""

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..text_encoding import is_whole_text
from ..tokenization.alphabets import AMBIGUITY_CODES, ON_UNKNOWN
from .records import SequenceInput, SequenceRecord
from .tables import MISSING

# Letters that can be read as RNA: the four nucleotides, T for U, and the IUPAC ambiguity codes, in either case.
READABLE_LETTERS = "ACGUT" + AMBIGUITY_CODES

# With more unknown letters (none of A, C, G, U and T) than this part it is no RNA to any model: a word, a protein of
# letters that are all IUPAC codes, an assembly's gap. Beyond a model's own `max_unknown_share` there is a warning.
NO_RNA_SHARE = 0.5

# In lower case. The letters of some are IUPAC codes: R writes a missing value as NA, str() writes one as nan or NaT.
_MISSING_VALUES = {
    *(MISSING.lower(), "na", "nan", "-nan", "+nan", "nat", "null", "none", "nil"),
    *("n/a", "n.a.", "n.a", "na_character_"),
    *("#n/a", "#n/a n/a", "#na", "#null!", "#name?", "#ref!", "#value!", "#div/0!"),
    *("1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind", "missing", "undefined", "unknown", "empty"),
    *("-", "--", ".", "?", "\\n"),
}
_LONGEST_MISSING_VALUE = max(map(len, _MISSING_VALUES))
# RNA, tRNA, cDNAs: a name, of a column or a kind of molecule.
_NAME_OF_A_KIND = re.compile(r"[a-z]{0,2}[rd]nas?", re.IGNORECASE)
_PROTEIN_LETTERS = "EFILPQ"
# What to do about some of the characters that are no letters.
_REMEDIES = {
    **dict.fromkeys("-.~_", "remove the gaps"),
    **dict.fromkeys("0123456789", "remove the numbers"),
    **dict.fromkeys("()<{}", "leave out the structure in dot-bracket"),
    **dict.fromkeys("*;#", "remove it"),
    **dict.fromkeys("[/", "write a modified nucleotide as the one it is made of"),
    **dict.fromkeys("\u03a8\u03c8", "write pseudouridine as U"),
    "&": "give each strand by itself",
    ">": "begin each record with a line of its own",
}
# Oligonucleotides in the notation of their makers, r for ribose or d for deoxyribose before each letter: R and D are
# IUPAC codes, so that twice as many nucleotides would be read.
_WITH_SUGARS = re.compile(r"(?:[rdm]?[ACGTU])+")
_MIN_SUGARS = 3

_READABLE = re.compile(f"[{READABLE_LETTERS}]+", re.IGNORECASE)
_UNREADABLE = re.compile(f"[^{READABLE_LETTERS}]", re.IGNORECASE)


def find_problem(sequence: str) -> str | None:
    """Say what is wrong with a sequence, or None.

    Args:
        sequence: nucleotides; `READABLE_LETTERS` in either case are allowed.

    Returns:
        One phrase; positions are 1-based.
    """
    if not sequence:
        return "empty sequence"
    if (no_sequence := _explain_no_sequence(sequence)) is not None:
        return no_sequence
    if _READABLE.fullmatch(sequence):
        return None
    match = _UNREADABLE.search(sequence)
    if match is None:
        # Letters outside ASCII that only equal an allowed one without regard to case.
        return "unknown letters"
    letter, position = match.group(), match.start() + 1
    if letter.isspace():
        return f"blank at position {position}; remove it"
    hint = f"; {_REMEDIES[letter]}" if letter in _REMEDIES else ""
    if letter.upper() in _PROTEIN_LETTERS:
        hint = f"; proteins have {letter.upper()}"
    return f"unknown letter {letter!r} at position {position} (A, C, G, U, T and the IUPAC codes are known{hint})"


def is_missing(text: str) -> bool:
    """Tell whether a text is how some program writes a missing value: nothing, NA, nan, None, NULL, #N/A, ..."""
    return not text or (len(text) <= _LONGEST_MISSING_VALUE and text.lower() in _MISSING_VALUES)


def _explain_no_sequence(text: str) -> str | None:
    """Say what a text is that stands for something else than a sequence, whatever its letters; None for others."""
    if is_missing(text):
        return "missing value" if text == MISSING else f"{text!r} reads as a missing value"
    if _NAME_OF_A_KIND.fullmatch(text):
        return f"{text!r} reads as a word"
    if sum(map(text.count, "rdm")) >= _MIN_SUGARS and _WITH_SUGARS.fullmatch(text):
        return f"{text[:40]!r} names the sugar before each letter; write the letters alone"
    return None


def explain_share(sequence: str) -> str | None:
    """Say why a sequence of readable letters is no RNA: most of them are ambiguity codes. None if they are not."""
    share = unknown_share(sequence)
    if share <= NO_RNA_SHARE:
        return None
    return (
        f"{share:.0%} of the letters are N or another code of unknown nucleotides; an RNA may have {NO_RNA_SHARE:.0%}"
    )


def check_sequence(sequence: str, where: str, on_unknown: str | None = None) -> str:
    """Return a sequence whose letters can all be read as RNA.

    Args:
        sequence: nucleotides; `READABLE_LETTERS` in either case are allowed.
        where: file and line or record, for the message.
        on_unknown: what to do with another letter: `error`, or `n` to read it as N; None where there is no choice.

    Raises:
        ValueError: the sequence is empty, stands for a missing value or has another letter that is not to be read as N.
    """
    if on_unknown is not None and on_unknown not in ON_UNKNOWN:
        raise ValueError(f"on_unknown={on_unknown!r} is not a choice; use one of {list(ON_UNKNOWN)}")
    problem = find_problem(sequence)
    if problem is None:
        return sequence
    is_refused = not sequence or _explain_no_sequence(sequence) is not None
    if on_unknown == "n" and not is_refused:
        return _UNREADABLE.sub("N", sequence)
    remedy = ", or read it as N with on_unknown='n'" if on_unknown and not is_refused else ""
    raise ValueError(f"{where}: {problem}; correct or drop the record{remedy}")


def unknown_share(sequence: str) -> float:
    """Return the part (0 to 1) of a sequence's letters that are none of A, C, G, U and T, such as N."""
    known = sum(map(sequence.upper().count, "ACGUT"))
    return (len(sequence) - known) / max(len(sequence), 1)


def explain_unknown(limit: float) -> str:
    """Say in a phrase that more than a part of an RNA is unknown."""
    return f"more than {limit:.0%} unknown nucleotides (N), of which the model learns nothing"


def explain_caution(names: Sequence[str], count: int, reason: str) -> str:
    """Say in a line which RNAs a model was not made for.

    Args:
        names: what to call the first few of them.
        count: how many there are.
        reason: why.
    """
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"{count:,} RNA{'' if count == 1 else 's'} to take with care ({reason}): {', '.join(names)}{more}"


@dataclass
class InputSummary:
    """What a first reading of an input found.

    Attributes:
        total: number of records.
        usable: number of records that can be predicted.
        no_rna: number of records that hold something else than RNA, missing values not counted.
        longest: the longest usable record, its sequence's length (nucleotides) and id.
        cautions: by reason the number of usable records to take with care, and the ids of the first few of them.
        problems: first few unusable records, each as location, id and reason.
    """

    total: int = 0
    usable: int = 0
    no_rna: int = 0
    longest: tuple[int, str] = (0, "")
    cautions: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_mostly_unusable(self) -> bool:
        """Whether leaving out the unusable records would leave less than the input is about.

        Half an input that is no RNA is enough: names and sequences in turn are one.
        """
        return self.total > 0 and (self.usable * 2 < self.total or self.no_rna * 2 >= self.total)


class SequenceChecker:
    """Decides which records of an input are usable, the same ones at each reading.

    Ids are compared through 64-bit hashes (8 bytes each while checking), and by themselves where two hashes agree.

    Args:
        source: the input.
        explain_length: takes a length in nucleotides and returns why it cannot be predicted, or None.
        part_read: returns the part of a sequence that a model reads, which may not be unknown for the most part.
    """

    def __init__(
        self,
        source: SequenceInput,
        explain_length: Callable[[int], str | None] = lambda length: None,
        part_read: Callable[[str], str] = lambda sequence: sequence,
    ):
        self._source = source
        self._part_read = part_read
        self._explain_length = explain_length
        self._repeated_hashes: frozenset[int] = frozenset()

    def check(
        self,
        on_problem: Callable[[SequenceRecord, str], None] | None = None,
        find_cautions: Callable[[str], Iterable[str]] = lambda sequence: (),
        on_usable: Callable[[SequenceRecord], None] = lambda record: None,
        max_shown: int = 3,
    ) -> InputSummary:
        """Read the whole input once.

        Args:
            on_problem: called with each unusable record and the reason.
            find_cautions: takes a usable sequence and returns why its prediction is to be taken with care.
            on_usable: called with each usable record.
            max_shown: how many problems, and ids for each caution, the summary keeps.

        Raises:
            ValueError: the input cannot be read, or holds no record.
        """
        hashes = array("Q")
        for record in self._source.records():
            if self._find_problem(record) is None:
                hashes.append(_hash(record.id))
        values, counts = np.unique(np.frombuffer(hashes, dtype=np.uint64), return_counts=True)
        self._repeated_hashes = frozenset(values[counts > 1].tolist())
        del values, counts, hashes

        summary = InputSummary()
        for record, reason in self._judge():
            summary.total += 1
            if reason is None:
                summary.usable += 1
                on_usable(record)
                length = len(record.sequence)
                if length > summary.longest[0]:
                    summary.longest = (length, record.id)
                for caution in find_cautions(record.sequence):
                    count, ids = summary.cautions.get(caution, (0, []))
                    summary.cautions[caution] = (count + 1, [*ids, record.id][:max_shown])
            else:
                if not is_missing(record.sequence) and self._explain_no_rna(record.sequence) is not None:
                    summary.no_rna += 1
                if on_problem is not None:
                    on_problem(record, reason)
                if len(summary.problems) < max_shown:
                    summary.problems.append(f"{record.location} (id {record.id[:60]!r}): {reason}")
        if summary.total == 0:
            raise ValueError(f"{self._source.name} holds no sequence")
        return summary

    def usable(self) -> Iterator[SequenceRecord]:
        """Yield the usable records; call `check` first."""
        return (record for record, reason in self._judge() if reason is None)

    def _find_problem(self, record: SequenceRecord) -> str | None:
        if not record.id:
            return "empty id"
        if not is_whole_text(record.id):
            return "its id holds half a character (a surrogate), which cannot be written; correct it"
        return self._explain_no_rna(record.sequence) or self._explain_length(len(record.sequence))

    def _explain_no_rna(self, sequence: str) -> str | None:
        return find_problem(sequence) or explain_share(self._part_read(sequence))

    def _judge(self) -> Iterator[tuple[SequenceRecord, str | None]]:
        first_seen: dict[str, str] = {}
        for record in self._source.records():
            reason = self._find_problem(record)
            if reason is None and self._repeated_hashes and _hash(record.id) in self._repeated_hashes:
                if record.id in first_seen:
                    reason = f"duplicate id, first seen at {first_seen[record.id]}"
                else:
                    first_seen[record.id] = record.location
            yield record, reason


def _hash(identifier: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )
