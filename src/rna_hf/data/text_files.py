"""Text as it was downloaded: plain, gzipped, or the only member of a zip archive; and the fields of its lines.

The one place where the package's data are unpacked and decoded: what may go wrong there is said here, once.
"""

import contextlib
import csv
import gzip
import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
# A field of a CSV may hold a whole genome; the module's own limit is 131,072 characters.
_CSV_FIELD_LIMIT = 2**31 - 1


def check_file(path: str | Path, name: str = "", if_missing: str = "", if_folder: str = "name a file in it") -> Path:
    """Return the path of a file that can be read.

    Args:
        path: the file; `~` stands for the user's folder.
        name: what to call it in messages; the path if omitted.
        if_missing: an explanation for the message that there is no such file.
        if_folder: what to do instead of naming a folder.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: this user may not read it.
        ValueError: it is a folder, or empty.
    """
    path = Path(os.path.expanduser(path))
    name = name or str(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {name}{f' ({if_missing})' if if_missing else ''}")
    if path.is_dir():
        raise ValueError(f"{name} is a folder; {if_folder}")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{name} cannot be read: permission denied")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{name} is empty")
    return path


def is_gzip(path: Path) -> bool:
    """Tell whether a file begins as a gzip does, whatever its name."""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


@contextlib.contextmanager
def open_binary(path: Path, name: str = "", is_seekable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked on the way.

    Args:
        path: a plain file, a gzip, or a zip archive of one file.
        name: what to call it in messages; the path if omitted.
        is_seekable: whether the reader jumps about; a packed file is then unpacked to the temporary folder first.

    Raises:
        ValueError: the file is a broken archive or holds several files; or, from what is done while it is open, it is
            not the text or the table that it should be.
    """
    name = name or str(path)
    try:
        with _unpacked(path, name, is_seekable) as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile) as error:
        kind = "gzip" if is_gzip(path) else "zip archive"
        raise ValueError(f"{name} is a broken {kind}: {error}; pack or download it again") from error
    except UnicodeDecodeError as error:
        line = _find_undecodable_line(path, name)
        raise ValueError(f"{name} is not a text file in UTF-8: {error.reason} in line {line}") from error
    except csv.Error as error:
        raise ValueError(f"{name} is not a readable table: {error}") from error


@contextlib.contextmanager
def open_text(path: Path, name: str = "") -> Iterator[io.TextIOWrapper]:
    """Open a text file for reading from start to end; see `open_binary`.

    A byte-order mark, which spreadsheets write, is dropped; line ends are kept, as the csv module asks for.
    """
    with open_binary(path, name) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield text


@contextlib.contextmanager
def _unpacked(path: Path, name: str, is_seekable: bool = False) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(open(path, "rb"))
        start = file.read(4)
        file.seek(0)
        if start.startswith(_GZIP):
            unpacked: Any = stack.enter_context(gzip.open(file, "rb"))
        elif start == _ZIP:
            unpacked = stack.enter_context(_open_only_member(name, stack.enter_context(zipfile.ZipFile(file))))
        else:
            yield file
            return
        if is_seekable:
            file = stack.enter_context(tempfile.TemporaryFile(prefix="rna-hf-unpacked-"))
            shutil.copyfileobj(unpacked, file, 1 << 20)
            file.seek(0)
            unpacked = file
        yield unpacked


def _open_only_member(name: str, archive: zipfile.ZipFile) -> IO[bytes]:
    members = [member for member in archive.namelist() if not member.endswith("/")]
    if len(members) != 1:
        raise ValueError(f"{name} is an archive of {len(members)} files; unpack it and name the file to read")
    return archive.open(members[0])


def _find_undecodable_line(path: Path, name: str) -> int:
    """Return the number, from 1, of the first line that is not UTF-8; 1 if there is none."""
    with _unpacked(path, name) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def read_rows(text: io.TextIOWrapper, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, header included, each with the number of the line (from 1) that it ends in.

    Args:
        text: from `open_text`.
        delimiter: what stands between fields.
    """
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    # strict: an unclosed quote would otherwise swallow all rows after it.
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise csv.Error(f"{error} (line {reader.line_num})") from error


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
    with open_text(path) as text:
        rows = read_rows(text)
        _, names = next(rows, (1, []))
        places = find_columns(path, names, columns)
        for line, row in rows:
            if not row:
                continue
            where = f"{path}, line {line}"
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
