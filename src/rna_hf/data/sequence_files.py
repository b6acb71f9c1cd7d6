"""Files of sequences: FASTA, FASTQ, CSV, TSV, parquet, and plain text with a sequence a line."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..foreign_files import NUM_BYTES, explain_foreign
from .fastq import parse_fastq
from .records import NO_COLUMNS, SequenceInput, SequenceRecord, as_sequence
from .tables import find_sequence_columns, plain_value
from .text_files import check_file, is_gzip, open_described, open_text, read_rows

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


class SequenceFile(SequenceInput):
    """Sequences in a FASTA, FASTQ, CSV, TSV or parquet file, or in plain text with one a line; text may be gzipped.

    The kind follows from the file's name, or from its first line if the name does not tell.

    Args:
        path: the file.
        name: what to call it in messages; the path if omitted.
        kind: `fasta`, `fastq`, `csv`, `tsv`, `parquet`, `lines` or `jsonl` (lines of `[id, sequence, others]`).
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
        self._suffix = os.path.splitext(stem)[1]
        self._kind = kind or _KINDS.get(self._suffix)

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
        if self._kind != "jsonl":
            self._refuse_foreign()
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

    def _refuse_foreign(self) -> None:
        with open(self.path, "rb") as file:
            foreign = explain_foreign(file.read(NUM_BYTES), self._suffix)
        if foreign:
            raise ValueError(f"{self.name} is {foreign}")

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
        if first.startswith("@"):
            return "fastq"
        if "\t" in first:
            return "tsv"
        is_table = "," in first or ";" in first or first.strip('"').lower() in _HEADERS
        return "csv" if is_table else "lines"

    def _read_fasta(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        number = 0
        header: str | None = None
        location, others = "", NO_COLUMNS
        parts: list[str] = []
        for line_number, line in enumerate(text, start=1):
            line = line.strip()
            if line.startswith(">"):
                if header is not None:
                    yield SequenceRecord(header, "".join(parts), location, others)
                number += 1
                words = line[1:].split(maxsplit=1)
                header = words[0] if words else f"seq{number}"
                others = self._description(words)
                location = f"line {line_number}"
                parts = []
            elif line:
                if header is None:
                    remedy = "FASTQ is to be named .fastq" if line[0] == "@" else "remove what is above it"
                    raise ValueError(
                        f"{self.name} is not FASTA: line {line_number} comes before the first header "
                        f"(a line that begins with '>'); {remedy}"
                    )
                parts.append(line)
        if header is not None:
            yield SequenceRecord(header, "".join(parts), location, others)

    def _description(self, words: list[str]) -> Mapping[str, Any]:
        """Return the column of the rest of a header, given its first word and that."""
        return {"description": words[1] if len(words) > 1 else None} if self.keeps_columns else NO_COLUMNS

    def _read_fastq(self, text: Iterator[str]) -> Iterator[SequenceRecord]:
        for number, (header, sequence, line_number) in enumerate(parse_fastq(text, self.name), start=1):
            words = header.split(maxsplit=1)
            identifier = words[0] if words else f"seq{number}"
            yield SequenceRecord(identifier, sequence, f"line {line_number}", self._description(words))

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
            identifier, sequence, others = json.loads(line)
            yield SequenceRecord(identifier, sequence, f"item {number}", others)

    def _read_table(self, text: Iterator[str], delimiter: str) -> Iterator[SequenceRecord]:
        rows = read_rows(text, delimiter)
        _, names = next(rows, (0, None))
        if names is None:
            raise ValueError(f"{self.name} is empty")
        sequence_column, id_column = find_sequence_columns(names, self.name)
        is_other = {sequence_column, id_column}.isdisjoint
        kept = [(place, name) for place, name in enumerate(names if self.keeps_columns else ()) if is_other({place})]
        for number, (line, row) in enumerate(((line, row) for line, row in rows if row), start=1):
            sequence = row[sequence_column].strip() if sequence_column < len(row) else ""
            identifier = f"seq{number}"
            if id_column is not None:
                identifier = row[id_column].strip() if id_column < len(row) else ""
            others = {name: row[place] or None if place < len(row) else None for place, name in kept}
            yield SequenceRecord(identifier, sequence, f"line {line}", others)

    def _read_parquet(self) -> Iterator[SequenceRecord]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            try:
                # Opened here, since a name may be any bytes, which arrow refuses.
                stream = stack.enter_context(open(self.path, "rb"))
                # Reads through a small buffer and page by page: one row group may hold the whole file.
                file = stack.enter_context(pq.ParquetFile(stream, buffer_size=1 << 16, pre_buffer=False))
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{self.name} is not a readable parquet file: {_one_line(error)}") from error
            names = file.schema_arrow.names
            sequence_column, id_column = find_sequence_columns(names, self.name)
            kind = file.schema_arrow.field(sequence_column).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
                raise ValueError(f"{self.name}: column {names[sequence_column]!r} must hold text, not {kind}")
            columns = [names[sequence_column]] + ([] if id_column is None else [names[id_column]])
            kept = [name for name in names if name not in columns] if self.keeps_columns else []
            number = 0
            try:
                for batch in file.iter_batches(batch_size=256, columns=columns + kept):
                    others = batch.select(kept).to_pylist() if kept else [NO_COLUMNS] * batch.num_rows
                    sequences = batch.column(columns[0]).to_pylist()
                    ids = None if id_column is None else batch.column(columns[1]).to_pylist()
                    for index, sequence in enumerate(sequences):
                        number += 1
                        identifier = f"seq{number}"
                        if ids is not None:
                            identifier = "" if ids[index] is None else str(ids[index]).strip()
                        values = {name: plain_value(value) for name, value in others[index].items()}
                        yield SequenceRecord(identifier, as_sequence(sequence), f"row {number}", values)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{self.name} is not a readable parquet file: {_one_line(error)}") from error


def _file_state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
