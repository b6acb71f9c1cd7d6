"""Opening a file as it was downloaded: plain, gzipped, or the only member of a zip archive; and its columns."""

import contextlib
import csv
import gzip
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rna_hf.tokenization.alphabets import ON_UNKNOWN

from ..sequences import READABLE_LETTERS, find_problem

_UNREADABLE = re.compile(f"[^{READABLE_LETTERS}]", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A field of a CSV may hold a whole genome; the module's own limit is 131,072 characters.
_CSV_FIELD_LIMIT = 2**31 - 1


def check_file(path: str | Path) -> Path:
    """Return the path of a file that can be read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, or empty.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; download it again")
    return path


@contextlib.contextmanager
def open_binary(path: Path, is_seekable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked on the way.

    Args:
        path: a plain file, a gzip, or a zip archive of one file.
        is_seekable: whether the reader jumps about; a packed file is then unpacked to the temporary folder first.

    Raises:
        ValueError: the file is a broken archive, holds several files, or is not the text that it should be.
    """
    try:
        with contextlib.ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(open(path, "rb"))
            start = file.read(4)
            file.seek(0)
            if start[:2] == b"\x1f\x8b":
                unpacked: Any = stack.enter_context(gzip.open(file, "rb"))
            elif start == b"PK\x03\x04":
                unpacked = stack.enter_context(_open_only_member(path, stack.enter_context(zipfile.ZipFile(file))))
            else:
                unpacked = None
            if unpacked is not None:
                file = unpacked
                if is_seekable:
                    file = stack.enter_context(tempfile.TemporaryFile(prefix="rna-hf-unpacked-"))
                    shutil.copyfileobj(unpacked, file, 1 << 20)
                    file.seek(0)
            yield file
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a broken archive ({error}); download it again") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not a readable table: {error}") from error


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a text file for reading from start to end; line ends are kept and a byte-order mark is dropped."""
    with open_binary(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield text


def _open_only_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise ValueError(f"{path} is an archive of {len(names)} files; unpack it and name the file to read")
    return archive.open(names[0])


def split_line(line: bytes, max_split: int = -1) -> list[str]:
    """Split one line of a CSV that has no line breaks within its fields.

    Args:
        line: with or without its end.
        max_split: split at the first few commas only; the last field then holds the rest.
    """
    text = line.decode("utf-8").rstrip("\r\n")
    return next(csv.reader([text])) if '"' in text else text.split(",", max_split)


def read_header(file: IO[bytes]) -> list[str]:
    """Read the first line of a CSV, and leave the file at the start of the second."""
    return split_line(file.readline().removeprefix(_BYTE_ORDER_MARK))


def find_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the places of columns in a header.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(name[:40] for name in names[:12]) + (", ..." if len(names) > 12 else "")
        raise ValueError(
            f"{path}, line 1: no column {', '.join(missing)}; the columns are {shown}. Is this the right file?"
        )
    return [names.index(name) for name in wanted]


def read_csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a CSV from start to end.

    Args:
        path: the file.
        columns: names of the columns to read; others are ignored.

    Yields:
        Where the row ends (`file, line 12`), for messages, and the fields of the named columns.
    """
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    with open_text(path) as text:
        # strict: an unclosed quote would otherwise swallow all rows after it.
        reader = csv.reader(text, strict=True)
        names = next(reader, [])
        places = find_columns(path, names, columns)
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            check_count(where, "fields", len(row), len(names), "one for each column of the header")
            yield where, [row[place] for place in places]


def check_count(where: str, what: str, count: int, expected: int, meaning: str) -> None:
    """Raise a ValueError unless `count` things are there.

    Args:
        where: file and line or record.
        what: name of the things.
        count: how many there are.
        expected: how many there must be.
        meaning: why so many.
    """
    if count != expected:
        raise ValueError(f"{where}: {count} {what} where {expected} are needed, {meaning}; correct or drop the record")


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


def parse_number(field: str, where: str, name: str) -> float:
    """Return the number in a field; NaN for an empty one.

    Raises:
        ValueError: the field holds something else.
    """
    field = field.strip()
    try:
        return float(field) if field else float("nan")
    except ValueError as error:
        raise ValueError(f"{where}: {name} is {field[:40]!r}, not a number; correct or drop the record") from error
