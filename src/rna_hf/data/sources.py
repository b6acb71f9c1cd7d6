"""Sources of RNA sequences: files, standard input and Python values, read one sequence at a time.

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
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic_files import WriteError
from .text_files import check_file, is_gzip, open_text, read_rows

LITERAL_ID = "sequence"

_KINDS = {
    ".fa": "fasta",
    ".fas": "fasta",
    ".fasta": "fasta",
    ".fna": "fasta",
    ".ffn": "fasta",
    ".frn": "fasta",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class SequenceRecord(NamedTuple):
    """One sequence as it was read.

    Attributes:
        id: first word of the FASTA header, the table's `id`, or `seq<number>` (1-based) where there is none.
        sequence: letters as given: case and T or U are kept, line breaks within a FASTA record are removed.
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
            identifier, sequence = _as_pair(item, number)
            yield SequenceRecord(identifier or self._literal_id or f"seq{number}", sequence, f"item {number}")

    def digest(self) -> str:
        digest = hashlib.sha256()
        for record in self.records():
            digest.update(json.dumps([record.id, record.sequence]).encode())
        return digest.hexdigest()


class SequenceFile(SequenceInput):
    """Sequences in a FASTA, CSV, TSV or parquet file, the text formats also gzipped, or plain text with one a line.

    The kind follows from the file's name, or from its first line if the name does not tell.

    Args:
        path: the file.
        name: what to call it in messages; the path if omitted.
        kind: `fasta`, `csv`, `tsv`, `parquet`, `lines` or `jsonl` (lines of `[id, sequence]`).
        is_temporary: remove the file on `close`; such an input cannot be resumed.
    """

    def __init__(self, path: str | Path, name: str | None = None, kind: str | None = None, is_temporary: bool = False):
        self.name = name or str(path)
        self.path = check_file(
            path,
            self.name,
            if_missing="an input with '/', '\\' or '.' in it is read as a file name; a sequence holds letters only",
            if_folder="give a FASTA, CSV, TSV or parquet file",
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
        readers = {"fasta": self._read_fasta, "lines": self._read_lines, "jsonl": self._read_jsonl}
        with self._open_text() as text:
            if kind in ("csv", "tsv"):
                yield from self._read_table(text, "," if kind == "csv" else "\t")
            else:
                yield from readers[kind](text)

    def _open_text(self) -> contextlib.AbstractContextManager[io.TextIOWrapper]:
        if self._must_be_gzip and not is_gzip(self.path):
            raise ValueError(f"{self.name} is a broken gzip: it does not begin as a gzip file does")
        return open_text(self.path, self.name)

    def _sniff(self) -> str:
        """Tell the kind of a file by its beginning."""
        with open(self.path, "rb") as file:
            if file.read(4) == b"PAR1":
                return "parquet"
        with self._open_text() as text:
            first = next((line.strip() for line in text if line.strip()), None)
        if first is None:
            raise ValueError(f"{self.name} holds blank lines only")
        if first.startswith(">"):
            return "fasta"
        if "\t" in first:
            return "tsv"
        is_table = "," in first or first.strip('"').lower() == "sequence"
        return "csv" if is_table else "lines"

    def _read_fasta(self, text: io.TextIOWrapper) -> Iterator[SequenceRecord]:
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
                        "(a line that begins with '>')"
                    )
                parts.append(line)
        if header is not None:
            yield SequenceRecord(header, "".join(parts), location)

    def _read_lines(self, text: io.TextIOWrapper) -> Iterator[SequenceRecord]:
        number = 0
        for line_number, line in enumerate(text, start=1):
            if line := line.strip():
                number += 1
                yield SequenceRecord(f"seq{number}", line, f"line {line_number}")

    def _read_jsonl(self, text: io.TextIOWrapper) -> Iterator[SequenceRecord]:
        for number, line in enumerate(text, start=1):
            identifier, sequence = json.loads(line)
            yield SequenceRecord(identifier, sequence, f"item {number}")

    def _read_table(self, text: io.TextIOWrapper, delimiter: str) -> Iterator[SequenceRecord]:
        rows = read_rows(text, delimiter)
        _, names = next(rows, (0, None))
        if names is None:
            raise ValueError(f"{self.name} is empty")
        sequence_column, id_column = self._find_columns(names)
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
            sequence_column, id_column = self._find_columns(names)
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
                        yield SequenceRecord(identifier, (sequence or "").strip(), f"row {number}")
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{self.name} is not a readable parquet file: {_one_line(error)}") from error

    def _find_columns(self, names: list[str]) -> tuple[int, int | None]:
        lowered = [name.strip().lower() for name in names]
        if "sequence" not in lowered:
            shown = ", ".join(repr(name[:40]) for name in names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"{self.name} has no column 'sequence'; its columns are {shown}")
        if lowered.count("sequence") > 1:
            raise ValueError(f"{self.name} has {lowered.count('sequence')} columns 'sequence'; rename all but one")
        return lowered.index("sequence"), lowered.index("id") if "id" in lowered else None


def open_sequences(inputs: str | os.PathLike | Iterable[Any], stdin: io.BufferedIOBase | None = None) -> SequenceInput:
    """Open whatever holds sequences.

    Args:
        inputs: a path (`os.PathLike`, or a string that names an existing path or looks like one: it holds `/`, `\\` or
            `.`, or begins with `~`); `-` for standard input; another string, which is a sequence; or an iterable of
            sequences, of pairs (id, sequence) or of mappings with `sequence` and perhaps `id`.
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
    if isinstance(inputs, Mapping) or not isinstance(inputs, Iterable):
        raise ValueError(f"inputs must be a path, a sequence or an iterable of sequences, got {type(inputs).__name__}")
    if isinstance(inputs, Sequence):
        return SequenceList(inputs)
    return _spool_iterable(inputs)


def is_path_like(text: str) -> bool:
    """Tell a file name from a sequence: it exists, or it holds what no sequence does."""
    return any(mark in text for mark in "/\\.") or text.startswith("~") or os.path.exists(text)


def _as_pair(item: Any, number: int) -> tuple[str | None, str]:
    if isinstance(item, str):
        return None, item.strip()
    if isinstance(item, Mapping):
        if isinstance(item.get("sequence"), str):
            return None if item.get("id") is None else str(item["id"]), item["sequence"].strip()
    elif isinstance(item, Sequence) and len(item) == 2 and isinstance(item[1], str):
        return str(item[0]), item[1].strip()
    raise ValueError(
        f"item {number} must be a sequence, a pair (id, sequence) or a mapping with 'sequence', got {item!r:.80}"
    )


def _open_file(path: str) -> SequenceInput:
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        # A named pipe, or a shell's <(command): it can be read only once.
        with open(path, "rb") as stream:
            return _spool_stream(stream, path)
    return SequenceFile(path)


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
            identifier, sequence = _as_pair(item, number)
            yield (json.dumps([identifier or f"seq{number}", sequence]) + "\n").encode()

    path = _spool(lines(), "the iterable holds no sequence")
    return SequenceFile(path, name="the iterable of sequences", kind="jsonl", is_temporary=True)


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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
