"""One sequence as it was read, and what every input of sequences can do."""

import hashlib
import itertools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .tables import MISSING, find_sequence_columns, plain_value

NO_COLUMNS: Mapping[str, Any] = {}


class SequenceRecord(NamedTuple):
    """One sequence as it was read.

    Attributes:
        id: first word of the FASTA or FASTQ header, the table's `id`, or `seq<number>` (1-based) where there is none.
        sequence: letters as given: case and T or U are kept, line breaks within a FASTA record are removed; `MISSING`
            for a missing value.
        location: where it was found, for messages: `line 12` (1-based), `row 3` (1-based, without the header).
        others: the other columns, where they are kept: plain values, None for a missing one.
    """

    id: str
    sequence: str
    location: str
    others: Mapping[str, Any] = NO_COLUMNS


class SequenceInput(ABC):
    """Sequences that can be read any number of times, in a fixed order.

    Attributes:
        name: what to call the input in messages.
        is_resumable: whether a later run can read the same input again.
        keeps_columns: whether records have the other columns of the input, and a digest tells them.
    """

    name: str
    is_resumable: bool = True
    keeps_columns: bool = False

    @abstractmethod
    def records(self) -> Iterator[SequenceRecord]:
        """Yield every record from the start, usable or not."""

    @abstractmethod
    def digest(self) -> str:
        """Return the SHA-256 of the content, in hexadecimal."""

    def check_unchanged(self) -> None:  # noqa: B027 - most inputs cannot change
        """Make sure that the content is still that of the last `digest`.

        Raises:
            ValueError: it is not.
        """

    def close(self) -> None:  # noqa: B027 - most inputs write nothing
        """Remove what was written for this input, if anything."""

    def __enter__(self) -> "SequenceInput":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Share(SequenceInput):
    """Every N-th record of an input, for machines that each do their own part of it.

    Args:
        source: the whole input.
        index: of the first record, from 0 to `count` - 1.
        count: of parts, N.
    """

    def __init__(self, source: SequenceInput, index: int, count: int):
        self._source, self._index, self._count = source, index, count
        self.name = f"{source.name}, part {index + 1} of {count}"
        self.is_resumable, self.keeps_columns = source.is_resumable, source.keeps_columns

    def records(self) -> Iterator[SequenceRecord]:
        """Yield the records of this part, as the whole input has them."""
        return itertools.islice(self._source.records(), self._index, None, self._count)

    def digest(self) -> str:
        """Return the SHA-256 of the whole input's and of which part this is."""
        return hashlib.sha256(f"{self._source.digest()} {self._index} {self._count}".encode()).hexdigest()

    def check_unchanged(self) -> None:
        """See that the whole input is what it was."""
        self._source.check_unchanged()


def as_pair(item: Any, number: int) -> tuple[str | None, str]:
    """Return the id, if there is one, and the sequence of an item of an iterable; `MISSING` for a missing value.

    Args:
        item: a sequence, a pair (id, sequence) or a mapping with `sequence`.
        number: of the item, from 1.

    Raises:
        ValueError: it is something else.
    """
    item = plain_value(item)
    if is_biopython(item):
        own_id = getattr(item, "id", None)
        return None if own_id in (None, "<unknown id>") else str(own_id), str(getattr(item, "seq", item))
    if hasattr(item, "_asdict"):  # a named tuple, such as a row of pandas, whose order says nothing
        item = item._asdict()
    if item is None or isinstance(item, str):
        return None, as_sequence(item)
    identifier: Any = None
    sequence: Any = item
    if isinstance(item, Mapping):
        names = list(item)
        sequence_column, id_column = find_sequence_columns(list(map(str, names)), f"item {number}")
        sequence = plain_value(item[names[sequence_column]])
        identifier = None if id_column is None else plain_value(item[names[id_column]])
    elif isinstance(item, Sequence) and len(item) == 2:
        identifier, sequence = map(plain_value, item)
    if sequence is None or isinstance(sequence, str):
        return None if identifier is None else str(identifier), as_sequence(sequence)
    shown = " ".join(repr(item)[:80].split())
    raise ValueError(
        f"item {number} must be a sequence, a pair (id, sequence) or a mapping with 'sequence', got {shown}"
        f"{_explain_item(item)}"
    )


def other_values(item: Any) -> Mapping[str, Any]:
    """Return what an item of an iterable holds beside its id and its sequence."""
    item = plain_value(item)
    item = item._asdict() if hasattr(item, "_asdict") else item
    if not isinstance(item, Mapping):
        return NO_COLUMNS
    return {str(name): plain_value(item[name]) for name in item if str(name).strip().lower() not in ("id", "sequence")}


def is_biopython(value: Any) -> bool:
    """Tell a `Seq` or a `SeqRecord` of Biopython."""
    return type(value).__module__.startswith("Bio.Seq") and (hasattr(value, "seq") or hasattr(value, "translate"))


def _explain_item(item: Any) -> str:
    """Say what to do about an item that is no sequence."""
    if isinstance(item, Sequence) and len(item) == 2:
        item = item[1]
    if isinstance(item, (bytes, bytearray)):
        return "; decode it, such as item.decode()"
    if isinstance(item, os.PathLike):
        return "; give one path at a time"
    if hasattr(item, "columns") or hasattr(item, "schema"):
        return "; give one table at a time"
    return "; give the table itself, not its rows" if hasattr(item, "iloc") else ""


def as_sequence(value: str | None) -> str:
    """Return a sequence without blanks at its ends, `MISSING` for a missing one."""
    return MISSING if value is None else value.strip()


def hash_records(source: SequenceInput) -> str:
    """Return the SHA-256 of an input's ids, sequences and kept columns, in hexadecimal."""
    digest = hashlib.sha256()
    for record in source.records():
        values = [record.id, record.sequence, *([record.others] if source.keeps_columns else [])]
        digest.update(json.dumps(values, default=str).encode())
    return digest.hexdigest()
