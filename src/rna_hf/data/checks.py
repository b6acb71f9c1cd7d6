"""Checks of RNA sequences: which letters can be read, and which records of a source can be used."""

import hashlib
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..tokenization.alphabets import AMBIGUITY_CODES, ON_UNKNOWN
from .sources import SequenceInput, SequenceRecord

# Letters that can be read as RNA: the four nucleotides, T for U, and the IUPAC ambiguity codes, in either case.
READABLE_LETTERS = "ACGUT" + AMBIGUITY_CODES

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
    if _READABLE.fullmatch(sequence):
        return None
    match = _UNREADABLE.search(sequence)
    if match is None:
        # Letters outside ASCII that only equal an allowed one without regard to case.
        return "unknown letters"
    letter, position = match.group(), match.start() + 1
    if letter.isspace():
        return f"blank at position {position}"
    hint = "; remove the gaps" if letter in "-." else ""
    return f"unknown letter {letter!r} at position {position} (A, C, G, U, T and the IUPAC codes are known{hint})"


def check_sequence(sequence: str, where: str, on_unknown: str | None = None) -> str:
    """Return a sequence whose letters can all be read as RNA.

    Args:
        sequence: nucleotides; `READABLE_LETTERS` in either case are allowed.
        where: file and line or record, for the message.
        on_unknown: what to do with another letter: `error`, or `n` to read it as N; None where there is no choice.

    Raises:
        ValueError: the sequence is empty or has another letter that is not to be read as N.
    """
    if on_unknown is not None and on_unknown not in ON_UNKNOWN:
        raise ValueError(f"on_unknown={on_unknown!r} is not a choice; use one of {list(ON_UNKNOWN)}")
    problem = find_problem(sequence)
    if problem is None:
        return sequence
    if on_unknown == "n" and sequence:
        return _UNREADABLE.sub("N", sequence)
    remedy = ", or read it as N with on_unknown='n'" if on_unknown and sequence else ""
    raise ValueError(f"{where}: {problem}; correct or drop the record{remedy}")


def unknown_share(sequence: str) -> float:
    """Return the part (0 to 1) of a sequence's letters that are none of A, C, G, U and T, such as N."""
    known = sum(map(sequence.upper().count, "ACGUT"))
    return (len(sequence) - known) / max(len(sequence), 1)


def explain_unknown(names: Sequence[str], count: int, limit: float) -> str:
    """Say in a line which RNAs have too many unknown nucleotides.

    Args:
        names: what to call the first few of them.
        count: how many there are.
        limit: part of an RNA that may be unknown.
    """
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    verb = "RNA has" if count == 1 else "RNAs have"
    return (
        f"{count:,} {verb} more than {limit:.0%} unknown nucleotides (N), which the model reads as nothing; take "
        f"predictions for them with care: {', '.join(names)}{more}"
    )


@dataclass
class InputSummary:
    """What a first reading of an input found.

    Attributes:
        total: number of records.
        usable: number of records that can be predicted.
        longest: the longest usable record, its sequence's length (nucleotides) and id.
        num_longer: number of usable records with more nucleotides than `length_of_interest`.
        num_doubtful: number of usable records that `is_doubtful` finds.
        doubtful: ids of the first few of them.
        problems: first few unusable records, each as location, id and reason.
    """

    total: int = 0
    usable: int = 0
    longest: tuple[int, str] = (0, "")
    num_longer: int = 0
    num_doubtful: int = 0
    doubtful: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class SequenceChecker:
    """Decides which records of an input are usable, the same ones at each reading.

    Ids are compared through 64-bit hashes (8 bytes each while checking), and by themselves where two hashes agree.

    Args:
        source: the input.
        explain_length: takes a length in nucleotides and returns why it cannot be predicted, or None.
    """

    def __init__(self, source: SequenceInput, explain_length: Callable[[int], str | None] = lambda length: None):
        self._source = source
        self._explain_length = explain_length
        self._repeated_hashes: frozenset[int] = frozenset()

    def check(
        self,
        length_of_interest: int | None = None,
        on_problem: Callable[[SequenceRecord, str], None] | None = None,
        is_doubtful: Callable[[str], bool] | None = None,
        max_shown: int = 3,
    ) -> InputSummary:
        """Read the whole input once.

        Args:
            length_of_interest: count the usable records longer than this, in nucleotides.
            on_problem: called with each unusable record and the reason.
            is_doubtful: count the usable records whose sequence this is true of.
            max_shown: how many problems, and ids of doubtful records, the summary keeps.

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
                length = len(record.sequence)
                if length > summary.longest[0]:
                    summary.longest = (length, record.id)
                if length_of_interest is not None and length > length_of_interest:
                    summary.num_longer += 1
                if is_doubtful is not None and is_doubtful(record.sequence):
                    summary.num_doubtful += 1
                    if len(summary.doubtful) < max_shown:
                        summary.doubtful.append(record.id)
            else:
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
        return find_problem(record.sequence) or self._explain_length(len(record.sequence))

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
