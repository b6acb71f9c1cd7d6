"""Sources of RNA sequences: files, standard input, tables and other Python values, read one sequence at a time.

Every source can be read as often as needed (prediction reads it twice: once to check, once to predict) and none keeps
more than one sequence in memory. A problem of the whole input (an empty file, a broken gzip, a missing column)
raises; a problem of one sequence is left to `rna_hf.data.checks.SequenceChecker`, so that the other sequences can
still be used.
"""

import io
import itertools
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from .records import (
    NO_COLUMNS,
    SequenceInput,
    SequenceRecord,
    as_pair,
    as_sequence,
    hash_records,
    is_biopython,
    other_values,
)
from .sequence_files import SequenceFile
from .spools import spool
from .tables import Columns, columns_in_memory, find_sequence_columns, find_tables, plain_value

LITERAL_ID = "sequence"


class SequenceList(SequenceInput):
    """Sequences in memory.

    Args:
        items: strings, pairs (id, sequence) or mappings with `sequence` and perhaps `id`.
        name: what to call the input in messages.
        literal_id: id of an item without one; `seq<number>` if omitted.
    """

    def __init__(self, items: Sequence[Any], name: str = "the list of sequences", literal_id: str | None = None):
        self.name = name
        self._items = items
        self._literal_id = literal_id

    def records(self) -> Iterator[SequenceRecord]:
        for number, item in enumerate(self._items, start=1):
            identifier, sequence = as_pair(item, number)
            others = other_values(item) if self.keeps_columns else NO_COLUMNS
            yield SequenceRecord(identifier or self._literal_id or f"seq{number}", sequence, f"item {number}", others)

    def digest(self) -> str:
        return hash_records(self)


class SequenceTable(SequenceInput):
    """Sequences in the column `sequence` of a table in memory, with the ids of its column `id` if it has one.

    Args:
        columns: of the table.
        name: what to call it in messages.
    """

    def __init__(self, columns: Columns, name: str):
        self.name = name
        self._columns = columns
        self._sequence_column, self._id_column = find_sequence_columns(columns.names, name)

    def records(self) -> Iterator[SequenceRecord]:
        sequences, names = self._columns.read(self._sequence_column), self._columns.names
        column = None if self._id_column is None else self._columns.read(self._id_column)
        if isinstance(sequences, Sized) and isinstance(column, Sized) and len(sequences) != len(column):
            counts = f"{len(sequences):,} and {len(column):,}"
            raise ValueError(f"{self.name}: the columns 'sequence' and 'id' have {counts} values")
        ids = None if column is None else iter(column)
        others = {
            name: iter(self._columns.read(place))
            for place, name in enumerate(names if self.keeps_columns else ())
            if place not in (self._sequence_column, self._id_column)
        }
        for number, value in enumerate(sequences, start=1):
            sequence = plain_value(value)
            if sequence is not None and not isinstance(sequence, str):
                raise ValueError(
                    f"{self.name}: column {names[self._sequence_column]!r} must hold text; row {number} is "
                    f"{' '.join(repr(sequence).split())[:80]}"
                )
            identifier: Any = f"seq{number}"
            if ids is not None:
                identifier = plain_value(next(ids, None))
            yield SequenceRecord(
                "" if identifier is None else str(identifier).strip(),
                as_sequence(sequence),
                f"row {number}",
                {name: plain_value(next(values, None)) for name, values in others.items()},
            )

    def digest(self) -> str:
        return hash_records(self)


def open_sequences(
    inputs: str | os.PathLike | Iterable[Any], stdin: io.BufferedIOBase | None = None, keep_columns: bool = False
) -> SequenceInput:
    """Open whatever holds sequences.

    Args:
        inputs: a path (`os.PathLike`, or a string that names an existing path or looks like one: it holds `/`, `\\` or
            `.`, or begins with `~`); `-` for standard input; another string, which is a sequence; a table in memory
            (`columns_in_memory`); or an iterable of sequences, of pairs (id, sequence) or of mappings with `sequence`
            and perhaps `id`.
        stdin: what to read for `-`; the process's standard input if omitted.
        keep_columns: give records the other columns too.

    Returns:
        An input that can be read repeatedly. Standard input and iterators are first copied to a temporary file, which
        `close` removes.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the input is empty or of a kind that cannot be read.
    """
    source = _open(inputs, stdin, keep_columns)
    source.keeps_columns = keep_columns
    return source


def _open(inputs: Any, stdin: io.BufferedIOBase | None, keep_columns: bool) -> SequenceInput:
    if isinstance(inputs, os.PathLike):
        return _open_file(os.fspath(inputs))
    if isinstance(inputs, str):
        if inputs == "-":
            return _spool_stream(stdin or find_standard_input(), "standard input")
        if is_path_like(inputs):
            return _open_file(os.path.expanduser(inputs))
        if not inputs.strip():
            raise ValueError("the input is empty; give a file, '-' for standard input, or a sequence")
        return SequenceList([inputs.strip()], name="the given sequence (no file has this name)", literal_id=LITERAL_ID)
    return open_values(inputs) or _spool_iterable(inputs, keep_columns)


def open_values(inputs: Any) -> SequenceInput | None:
    """Open a table, a list or a column in memory; None for an iterable that perhaps can be read only once.

    Raises:
        ValueError: it is a table without a column `sequence`, or holds no sequences at all.
    """
    name = f"the {type(inputs).__name__}"
    if is_biopython(inputs):
        return SequenceList([inputs])
    if tables := find_tables(inputs):
        shown = ", ".join(map(repr, tables))
        remedy = f"it holds several tables; give one, such as inputs[{tables[0]!r}]"
        raise ValueError(f"{name} has no column 'sequence'; its columns are {shown}: {remedy}")
    advice = _explain_other(inputs)
    columns = None if advice else columns_in_memory(inputs)
    if columns is not None:
        return SequenceTable(columns, name)
    is_one = isinstance(inputs, Mapping) or getattr(inputs, "ndim", 1) == 0
    if advice or is_one or not isinstance(inputs, Iterable):
        raise ValueError(
            "inputs must be a path, a sequence, a table with a column 'sequence' or an iterable of sequences, got "
            f"{type(inputs).__name__}{f'; {advice}' if advice else ''}"
        )
    if isinstance(inputs, Sequence):
        return SequenceList(inputs)
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        return SequenceList(inputs, name)  # type: ignore[arg-type]  # a column: of pandas, polars, Arrow or numpy
    return None


def _explain_other(inputs: Any) -> str | None:
    """Say what to give in place of a value that holds sequences in a way that is not read; None for any other."""
    if isinstance(inputs, (bytes, bytearray, memoryview)):
        return "decode it, inputs.decode()"
    if isinstance(inputs, io.IOBase) or hasattr(inputs, "readline"):
        return "give the path of the file, or '-' for standard input"
    if isinstance(inputs, Mapping):
        values = [inputs[key] for key in itertools.islice(inputs, 3)]
        if "sequence" in map(str.lower, map(str, itertools.islice(inputs, 100))):
            is_row = all(value is None or isinstance(value, str) for value in values)
            return "it is a single row; give a list, [inputs]" if is_row else None
        if values and all(is_biopython(value) for value in values):
            return "give its values, inputs.values()"
        if values and all(isinstance(value, str) for value in values):
            return "give its pairs of id and sequence, inputs.items()"
        return None
    for method in ("collect", "to_table", "read"):  # polars, a data set of Arrow, a file of parquet
        if callable(getattr(inputs, method, None)) and not isinstance(inputs, Iterable):
            return f"give the table, inputs.{method}()"
    if getattr(inputs, "ndim", 1) > 1 and not hasattr(inputs, "columns"):
        return "it has several dimensions; give the column of sequences, inputs[:, 1] or the like, as one"
    return None


def is_path_like(text: str) -> bool:
    """Tell a file name from a sequence: it exists, or it holds what no sequence does."""
    return any(mark in text for mark in "/\\.") or text.startswith("~") or os.path.exists(text)


def _open_file(path: str) -> SequenceInput:
    if is_read_once(path):
        with open(path, "rb") as stream:
            return _spool_stream(stream, path)
    return SequenceFile(path)


def is_read_once(path: str) -> bool:
    """Tell whether what a path names can be read only once: a named pipe, a shell's <(command), or a terminal.

    Raises:
        ValueError: it is a device or a socket, which holds no sequences and perhaps never ends.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # whoever opens it says why
        return False
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return False
    if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and _is_terminal(path)):
        return True
    raise ValueError(f"{path} is a {'socket' if stat.S_ISSOCK(mode) else 'device'}; give a file")


def _is_terminal(path: str) -> bool:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.isatty(number)
    finally:
        os.close(number)


def find_standard_input() -> Any:
    """Return the process's standard input, to be read as bytes.

    Raises:
        ValueError: it is closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("standard input is closed; give a file, or pipe the sequences into the command")
    return sys.stdin.buffer


def _spool_stream(stream: Any, name: str) -> SequenceInput:
    def blocks() -> Iterator[bytes]:
        while True:
            try:
                block = stream.read(1 << 20)
            except OSError as error:
                reason = error.strerror or str(error)
                raise ValueError(f"{name} cannot be read: {reason[:1].lower()}{reason[1:]}; give a file") from error
            if not block:
                return
            yield block

    return SequenceFile(spool(blocks(), f"{name} is empty"), name=name, is_temporary=True)


def _spool_iterable(items: Iterable[Any], keeps_columns: bool) -> SequenceInput:
    def lines() -> Iterator[bytes]:
        for number, item in enumerate(items, start=1):
            identifier, sequence = as_pair(item, number)
            others = other_values(item) if keeps_columns else NO_COLUMNS
            yield (json.dumps([identifier or f"seq{number}", sequence, others], default=str) + "\n").encode()

    path = spool(lines(), "the iterable holds no sequence")
    return SequenceFile(path, name=f"the {type(items).__name__}", kind="jsonl", is_temporary=True)
