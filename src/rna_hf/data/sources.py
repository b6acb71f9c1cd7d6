"""Sources of RNA sequences: files, standard input, tables and other Python values, read one sequence at a time.

Every source can be read as often as needed (prediction reads it twice: once to check, once to predict) and none keeps
more than one sequence in memory. A problem of the whole input (an empty file, a broken gzip, a missing column)
raises; a problem of one sequence is left to `rna_hf.data.checks.SequenceChecker`, so that the other sequences can
still be used.
"""

import contextlib
import hashlib
import io
import json
import os
import stat
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic_files import WriteError
from .fastq import parse_fastq
from .tables import MISSING, Columns, columns_in_memory, find_sequence_columns, plain_value
from .text_files import check_file, is_gzip, open_described, open_text, read_rows

LITERAL_ID = "sequence"

_KINDS = {
    ".fa": "fasta",
    ".fas": "fasta",
    ".fasta": "fasta",
    ".fna": "fasta",
    ".ffn": "fasta",
    ".frn": "fasta",
    ".fastq": "fastq",
    ".fq": "fastq",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

# First lines, in lower case, that are the header of a table of one column; the letters of some are those of sequences.
_HEADERS = ("sequence", "sequences", "seq", "seqs", "rna", "rnas", "dna", "mrna", "trna", "cdna", "id", "name")
# What the header of a SAM file begins with.
_SAM_TAGS = ("@HD\t", "@SQ\t", "@RG\t", "@PG\t", "@CO\t")


class SequenceRecord(NamedTuple):
    """One sequence as it was read.

    Attributes:
        id: first word of the FASTA or FASTQ header, the table's `id`, or `seq<number>` (1-based) where there is none.
        sequence: letters as given: case and T or U are kept, line breaks within a FASTA record are removed; `MISSING`
            for a missing value.
        location: where it was found, for messages: `line 12` (1-based), `row 3` (1-based, without the header).
    """

    id: str
    sequence: str
    location: str


class SequenceInput(ABC):
    """Sequences that can be read any number of times, in a fixed order.

    Attributes:
        name: what to call the input in messages.
        is_resumable: whether a later run can read the same input again.
    """

    name: str
    is_resumable: bool = True

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
            yield SequenceRecord(identifier or self._literal_id or f"seq{number}", sequence, f"item {number}")

    def digest(self) -> str:
        return _hash_records(self)


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
        for number, value in enumerate(sequences, start=1):
            sequence = plain_value(value)
            if sequence is not None and not isinstance(sequence, str):
                raise ValueError(
                    f"{self.name}: column {names[self._sequence_column]!r} must hold text; row {number} is "
                    f"{sequence!r:.80}"
                )
            identifier: Any = f"seq{number}"
            if ids is not None:
                identifier = plain_value(next(ids, None))
            yield SequenceRecord(
                "" if identifier is None else str(identifier).strip(), _as_sequence(sequence), f"row {number}"
            )

    def digest(self) -> str:
        return _hash_records(self)


class SequenceFile(SequenceInput):
    """Sequences in a FASTA, FASTQ, CSV, TSV or parquet file, or in plain text with one a line; text may be gzipped.

    The kind follows from the file's name, or from its first line if the name does not tell.

    Args:
        path: the file.
        name: what to call it in messages; the path if omitted.
        kind: `fasta`, `fastq`, `csv`, `tsv`, `parquet`, `lines` or `jsonl` (lines of `[id, sequence]`).
        is_temporary: remove the file on `close`; such an input cannot be resumed.
    """

    def __init__(self, path: str | Path, name: str | None = None, kind: str | None = None, is_temporary: bool = False):
        self.name = name or str(path)
        self.path = check_file(
            path,
            self.name,
            if_missing="an input with '/', '\\' or '.' in it is read as a file name; a sequence holds letters only",
            if_folder="give a FASTA, FASTQ, CSV, TSV or parquet file",
        )
        self.is_resumable = not is_temporary
        self._is_temporary = is_temporary
        self._state: tuple[int, int, int] | None = None  # when its digest was made
        self._digest = ""
        stem = self.path.name.lower().removesuffix(".gz")
        self._must_be_gzip = stem != self.path.name.lower()
        self._kind = kind or _KINDS.get(os.path.splitext(stem)[1])

    def digest(self) -> str:
        with open(self.path, "rb") as file:
            self._state = _file_state(os.fstat(file.fileno()))
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digest

    def check_unchanged(self) -> None:
        try:
            is_same = self._state in (None, _file_state(self.path.stat()))
        except OSError:  # removed: who reads it has it open, and it cannot change any more
            return
        if not is_same and self._digest != self.digest():
            raise ValueError(
                f"{self.name} was changed after this run had begun; put the old file back and run the same command "
                "again, or start anew with the new one (--overwrite)"
            )

    def close(self) -> None:
        if self._is_temporary:
            self.path.unlink(missing_ok=True)

    def records(self) -> Iterator[SequenceRecord]:
        kind = self._kind or self._sniff()
        if kind == "parquet":
            yield from self._read_parquet()
            return
        readers = {
            "fasta": self._read_fasta,
            "fastq": self._read_fastq,
            "lines": self._read_lines,
            "jsonl": self._read_jsonl,
        }
        with self._open_text(has_descriptions=kind == "fasta") as text:
            if kind in ("csv", "tsv"):
                yield from self._read_table(text, "," if kind == "csv" else "\t")
            else:
                yield from readers[kind](text)

    def _open_text(self, has_descriptions: bool) -> contextlib.AbstractContextManager[Iterator[str]]:
        if self._must_be_gzip and not is_gzip(self.path):
            raise ValueError(f"{self.name} is a broken gzip: it does not begin as a gzip file does")
        return open_described(self.path, self.name) if has_descriptions else open_text(self.path, self.name)

    def _sniff(self) -> str:
        """Tell the kind of a file by its beginning."""
        with open(self.path, "rb") as file:
            if file.read(4) == b"PAR1":
                return "parquet"
        with self._open_text(has_descriptions=True) as text:
            first = next((line.strip() for line in text if line.strip()), None)
        if first is None:
            raise ValueError(f"{self.name} holds blank lines only")
        if first.startswith(">"):
            return "fasta"
        if first.lower().startswith(("sep=", '"sep=')):
            return "csv"
        if first.startswith(_SAM_TAGS):
            raise ValueError(f"{self.name} is SAM; convert it to FASTA (samtools fasta)")
        if first.startswith("@"):
            return "fastq"
        if "\t" in first:
            return "tsv"
        is_table = "," in first or ";" in first or first.strip('"').lower() in _HEADERS
        return "csv" if is_table else "lines"

    def _read_fasta(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        number = 0
        header: str | None = None
        location = ""
        parts: list[str] = []
        for line_number, line in enumerate(text, start=1):
            line = line.strip()
            if line.startswith(">"):
                if header is not None:
                    yield SequenceRecord(header, "".join(parts), location)
                number += 1
                words = line[1:].split(maxsplit=1)
                header = words[0] if words else f"seq{number}"
                location = f"line {line_number}"
                parts = []
            elif line:
                if header is None:
                    raise ValueError(
                        f"{self.name} is not FASTA: line {line_number} comes before the first header "
                        f"(a line that begins with '>'){'; FASTQ is to be named .fastq' if line[0] == '@' else ''}"
                    )
                parts.append(line)
        if header is not None:
            yield SequenceRecord(header, "".join(parts), location)

    def _read_fastq(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        for identifier, sequence, line_number in parse_fastq(text, self.name):
            yield SequenceRecord(identifier, sequence, f"line {line_number}")

    def _read_lines(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        number = 0
        for line_number, line in enumerate(text, start=1):
            if line := line.strip():
                if line[0] in ">@+":
                    # Among its lines may be qualities, which no rule about letters tells from sequences.
                    raise ValueError(
                        f"{self.name} is neither FASTA nor FASTQ nor one sequence a line: line {line_number} begins "
                        f"with {line[0]!r}, line 1 with no '>' or '@'; remove what comes before the first record"
                    )
                number += 1
                yield SequenceRecord(f"seq{number}", line, f"line {line_number}")

    def _read_jsonl(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        for number, line in enumerate(text, start=1):
            identifier, sequence = json.loads(line)
            yield SequenceRecord(identifier, sequence, f"item {number}")

    def _read_table(self, text: Iterator[str], delimiter: str) -> Iterator[SequenceRecord]:
        rows = read_rows(text, delimiter)
        _, names = next(rows, (0, None))
        if names is None:
            raise ValueError(f"{self.name} is empty")
        sequence_column, id_column = find_sequence_columns(names, self.name)
        for number, (line, row) in enumerate(((line, row) for line, row in rows if row), start=1):
            sequence = row[sequence_column].strip() if sequence_column < len(row) else ""
            identifier = f"seq{number}"
            if id_column is not None:
                identifier = row[id_column].strip() if id_column < len(row) else ""
            yield SequenceRecord(identifier, sequence, f"line {line}")

    def _read_parquet(self) -> Iterator[SequenceRecord]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            try:
                # Opened here, since a name may be any bytes, which arrow refuses.
                stream = stack.enter_context(open(self.path, "rb"))
                # Reads through a small buffer and page by page: one row group may hold the whole file.
                file = stack.enter_context(pq.ParquetFile(stream, buffer_size=1 << 16, pre_buffer=False))
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{self.name} is not a readable parquet file: {_one_line(error)}") from error
            names = file.schema_arrow.names
            sequence_column, id_column = find_sequence_columns(names, self.name)
            kind = file.schema_arrow.field(sequence_column).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
                raise ValueError(f"{self.name}: column {names[sequence_column]!r} must hold text, not {kind}")
            columns = [names[sequence_column]] + ([] if id_column is None else [names[id_column]])
            number = 0
            try:
                for batch in file.iter_batches(batch_size=256, columns=columns):
                    sequences = batch.column(columns[0]).to_pylist()
                    ids = None if id_column is None else batch.column(columns[1]).to_pylist()
                    for index, sequence in enumerate(sequences):
                        number += 1
                        identifier = f"seq{number}"
                        if ids is not None:
                            identifier = "" if ids[index] is None else str(ids[index]).strip()
                        yield SequenceRecord(identifier, _as_sequence(sequence), f"row {number}")
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{self.name} is not a readable parquet file: {_one_line(error)}") from error


def open_sequences(inputs: str | os.PathLike | Iterable[Any], stdin: io.BufferedIOBase | None = None) -> SequenceInput:
    """Open whatever holds sequences.

    Args:
        inputs: a path (`os.PathLike`, or a string that names an existing path or looks like one: it holds `/`, `\\` or
            `.`, or begins with `~`); `-` for standard input; another string, which is a sequence; a table in memory
            (`columns_in_memory`); or an iterable of sequences, of pairs (id, sequence) or of mappings with `sequence`
            and perhaps `id`.
        stdin: what to read for `-`; the process's standard input if omitted.

    Returns:
        An input that can be read repeatedly. Standard input and iterators are first copied to a temporary file, which
        `close` removes.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the input is empty or of a kind that cannot be read.
    """
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
    return open_values(inputs) or _spool_iterable(inputs)


def open_values(inputs: Any) -> SequenceInput | None:
    """Open a table, a list or a column in memory; None for an iterable that perhaps can be read only once.

    Raises:
        ValueError: it is a table without a column `sequence`, or holds no sequences at all.
    """
    name = f"the {type(inputs).__name__}"
    columns = columns_in_memory(inputs)
    if columns is not None:
        return SequenceTable(columns, name)
    is_one = isinstance(inputs, (Mapping, bytes, bytearray)) or getattr(inputs, "ndim", 1) == 0
    if is_one or not isinstance(inputs, Iterable):
        raise ValueError(
            "inputs must be a path, a sequence, a table with a column 'sequence' or an iterable of sequences, got "
            f"{type(inputs).__name__}"
        )
    if isinstance(inputs, Sequence):
        return SequenceList(inputs)
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        return SequenceList(inputs, name)  # type: ignore[arg-type]  # a column: of pandas, polars, Arrow or numpy
    return None


def is_path_like(text: str) -> bool:
    """Tell a file name from a sequence: it exists, or it holds what no sequence does."""
    return any(mark in text for mark in "/\\.") or text.startswith("~") or os.path.exists(text)


def as_pair(item: Any, number: int) -> tuple[str | None, str]:
    """Return the id, if there is one, and the sequence of an item of an iterable; `MISSING` for a missing value.

    Args:
        item: a sequence, a pair (id, sequence) or a mapping with `sequence`.
        number: of the item, from 1.

    Raises:
        ValueError: it is something else.
    """
    item = plain_value(item)
    if hasattr(item, "_asdict"):  # a named tuple, such as a row of pandas, whose order says nothing
        item = item._asdict()
    if item is None or isinstance(item, str):
        return None, _as_sequence(item)
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
        return None if identifier is None else str(identifier), _as_sequence(sequence)
    raise ValueError(
        f"item {number} must be a sequence, a pair (id, sequence) or a mapping with 'sequence', got {item!r:.80}"
    )


def _as_sequence(value: str | None) -> str:
    return MISSING if value is None else value.strip()


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

    return SequenceFile(_spool(blocks(), f"{name} is empty"), name=name, is_temporary=True)


def _spool_iterable(items: Iterable[Any]) -> SequenceInput:
    def lines() -> Iterator[bytes]:
        for number, item in enumerate(items, start=1):
            identifier, sequence = as_pair(item, number)
            yield (json.dumps([identifier or f"seq{number}", sequence]) + "\n").encode()

    path = _spool(lines(), "the iterable holds no sequence")
    return SequenceFile(path, name=f"the {type(items).__name__}", kind="jsonl", is_temporary=True)


def _spool(blocks: Iterator[bytes], if_empty: str) -> str:
    """Copy blocks to a new temporary file and return its path.

    Raises:
        WriteError: the temporary folder cannot be written to.
        ValueError: there are none.
    """
    with _explaining_spool():
        spool = tempfile.NamedTemporaryFile(prefix="rna-hf-input-", delete=False)  # noqa: SIM115 (closed below)
    try:
        is_empty = True
        for block in blocks:
            is_empty = False
            with _explaining_spool():
                spool.write(block)
        with _explaining_spool():
            spool.close()
        if is_empty:
            raise ValueError(if_empty)
    except BaseException:
        with contextlib.suppress(OSError):
            spool.close()
        with contextlib.suppress(OSError):
            os.unlink(spool.name)
        raise
    return spool.name


@contextlib.contextmanager
def _explaining_spool() -> Iterator[None]:
    """Name the temporary folder in an error of the system, or those that were tried."""
    try:
        yield
    except OSError as error:
        remedy = "a copy of the input is kept there; name another folder in the variable TMPDIR"
        folder = tempfile.tempdir
        if folder is None:
            reason = "no temporary folder can be written to"
            raise WriteError(error.errno, f"{reason}; name one in the variable TMPDIR") from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise WriteError(error.errno, f"{reason[:1].lower()}{reason[1:]}; {remedy}", str(folder)) from error


def _file_state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _hash_records(source: SequenceInput) -> str:
    digest = hashlib.sha256()
    for record in source.records():
        digest.update(json.dumps([record.id, record.sequence]).encode())
    return digest.hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
