"""Text as it was downloaded: plain, gzipped, or the only member of a zip archive; and the fields of its lines.

The one place where the package's data are unpacked and decoded: what may go wrong there is said here, once.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import math
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ..text_encoding import decode_description, explain_broken, find_encoding

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_BROKEN_ARCHIVE = (gzip.BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile)
# A field of a CSV may hold a whole genome; the module's own limit is 131,072 characters.
_CSV_FIELD_LIMIT = 2**31 - 1
LARGEST_VALUE = 3.4028234e38
"""Of float32, in which values are kept."""

_DELIMITERS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)  # what Excel takes as a hint, and writes
_DECIMAL_COMMA = re.compile(r"[-+]?[\d.]*,[\d.,]+(e[-+]?\d+)?", re.IGNORECASE)


def list_files(paths: str | os.PathLike | Iterable[str | Path], find: Callable[[Path], list[Path]]) -> list[Path]:
    """Return the files that are named, and those of each folder that is.

    Args:
        paths: a file or a folder, or several; `~` stands for the user's folder.
        find: returns the files of a folder; see `files_in`.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: nothing is named.
    """
    files: list[Path] = []
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        path = Path(path).expanduser()
        files += find(path) if path.is_dir() else [check_file(path)]
    if not files:
        raise ValueError("paths is empty; name a file or a folder")
    return files


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files of a folder, and of the folders in it, that end in one of some suffixes, sorted.

    Raises:
        ValueError: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise ValueError(f"{folder} holds no file that ends in {', '.join(suffixes)}; name the files themselves")
    return files


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
    """Open a file for reading, unpacked on the way, and UTF-16 or UTF-32 turned into UTF-8.

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
    except _BROKEN_ARCHIVE as error:
        raise _archive_error(path, name, error) from error
    except UnicodeDecodeError as error:
        try:
            line = _find_undecodable_line(path, name)
        except _BROKEN_ARCHIVE as cause:  # the reason why it is no text
            raise _archive_error(path, name, cause) from cause
        raise ValueError(explain_broken(name, "utf-8", error, line)) from error
    except csv.Error as error:
        raise ValueError(f"{name} is not a readable table: {error}; correct the line or save it again") from error


@contextlib.contextmanager
def open_text(path: Path, name: str = "") -> Iterator[io.TextIOWrapper]:
    """Open a text file for reading from start to end; see `open_binary`.

    A byte-order mark, which spreadsheets write, is dropped; line ends are kept, as the csv module asks for.
    """
    with open_binary(path, name) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield text


@contextlib.contextmanager
def open_described(path: Path, name: str = "") -> Iterator[Iterator[str]]:
    """Open a FASTA file for reading line by line; see `open_text`.

    Latin-1 is let pass in the descriptions, after the id; all else is UTF-8.
    """
    with (
        open_binary(path, name) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        yield _decode_descriptions(text, name or str(path))


def _decode_descriptions(text: Iterable[str], name: str) -> Iterator[str]:
    for number, line in enumerate(text, start=1):
        if line.isascii():
            yield line
            continue
        data = line.encode("utf-8", "surrogateescape")
        try:
            yield decode_description(data) if data.startswith(b">") else data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(explain_broken(name, "utf-8", error, number)) from error


@contextlib.contextmanager
def _unpacked(path: Path, name: str, is_seekable: bool = False) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(open(path, "rb"))
        unpacked: Any = file
        start = unpacked.peek(64)[:64]
        if start.startswith(_GZIP):
            unpacked = stack.enter_context(gzip.open(file, "rb"))
        elif start.startswith(_ZIP):
            unpacked = _open_only_member(file, name, stack)
        encoding = find_encoding(unpacked.peek(64)[:64], name)
        is_unicode = encoding.startswith("utf-8")
        if not is_unicode or (is_seekable and unpacked is not file):
            spool = stack.enter_context(tempfile.TemporaryFile(prefix="rna-hf-unpacked-"))
            if is_unicode:
                shutil.copyfileobj(unpacked, spool, 1 << 20)
            else:
                _transcode(unpacked, spool, encoding, name)
            spool.seek(0)
            unpacked = spool
        yield unpacked


def _transcode(file: IO[bytes], spool: IO[bytes], encoding: str, name: str) -> None:
    """Copy a text into UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := file.read(1 << 20):
            spool.write(decoder.decode(block).encode("utf-8"))
        spool.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(explain_broken(name, encoding, error)) from error


def _archive_error(path: Path, name: str, error: Exception) -> ValueError:
    kind = "gzip" if is_gzip(path) else "zip archive"
    return ValueError(f"{name} is a broken {kind}: {' '.join(str(error).split())}; pack or download it again")


def _open_only_member(file: IO[bytes], name: str, stack: contextlib.ExitStack) -> IO[bytes]:
    """Open the file in a zip archive; both are closed with the stack."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) == 1 and members[0].compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return stack.enter_context(archive.open(members[0]))
    # What a damaged directory has for places, names, versions and flags.
    except (OSError, ValueError, RuntimeError) as error:
        raise zipfile.BadZipFile(str(error)) from error
    if len(members) != 1:
        raise ValueError(f"{name} is an archive of {len(members)} files; unpack it and name the file to read")
    raise ValueError(f"{name} is packed by method {members[0].compress_type} of zip; unpack it first")


def _find_undecodable_line(path: Path, name: str) -> int:
    """Return the number, from 1, of the first line that is not UTF-8; 1 if there is none."""
    with _unpacked(path, name) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


class Header(list[str]):
    """The names of a table's columns.

    Attributes:
        delimiter: what stands between fields.
        num_lines: lines before the first row of values.
    """

    def __init__(self, names: Iterable[str], delimiter: str = ",", num_lines: int = 1):
        super().__init__(names)
        self.delimiter = delimiter
        self.num_lines = num_lines


def find_delimiter(header: str, default: str = ",") -> str:
    """Tell a table's delimiter by its header: the comma, semicolon or tab that is there most often outside quotes."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max((default, *_DELIMITERS), key=unquoted.count)


def read_rows(text: Iterable[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, header included, each with the number of the line (from 1) that it ends in.

    Fields are parted by what a first line `sep=;` says, as Excel writes it, or else by what the header shows.

    Args:
        text: from `open_text`.
        delimiter: what stands between fields if the header does not tell.
    """
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    lines = iter(text)
    num_skipped = 0
    separator = None
    for first in lines:
        if first.strip() and not separator and (separator := _SEPARATOR_LINE.fullmatch(first)):
            delimiter = separator[1]
        elif first.strip():
            break
        num_skipped += 1
    else:
        return
    if not separator:
        delimiter = find_delimiter(first, delimiter)
    # strict: an unclosed quote would otherwise swallow all rows after it.
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num + num_skipped, row
    except csv.Error as error:
        raise csv.Error(f"{error} (line {reader.line_num + num_skipped})") from error


def split_line(line: bytes, max_split: int = -1, delimiter: str = ",") -> list[str]:
    """Split one line of a CSV that has no line breaks within its fields.

    Args:
        line: with or without its end.
        max_split: split at the first few delimiters only; the last field then holds the rest.
        delimiter: what stands between fields.
    """
    text = line.decode("utf-8").rstrip("\r\n")
    return next(csv.reader([text], delimiter=delimiter)) if '"' in text else text.split(delimiter, max_split)


def read_header(file: IO[bytes]) -> Header:
    """Read the header of a CSV, after a line `sep=` if there is one, and leave the file at the start of the next line.

    Fields are parted as in `read_rows`.
    """
    separator = None
    line, num_lines = b"", 0
    while line := file.readline():
        line = line.removeprefix(_BYTE_ORDER_MARK)
        num_lines += 1
        found = None if separator else _SEPARATOR_LINE.fullmatch(line.decode("utf-8"))
        separator = separator or found
        if line.strip() and not found:
            break
    delimiter = separator[1] if separator else find_delimiter(line.decode("utf-8"))
    return Header(split_line(line, delimiter=delimiter), delimiter, max(num_lines, 1))


def find_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the places of columns in a header.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(" ".join(name.split())[:40] for name in names[:12]) + (", ..." if len(names) > 12 else "")
        line = getattr(names, "num_lines", 1)
        raise ValueError(
            f"{path}, line {line}: no column {', '.join(missing)}; the columns are {shown}. Is this the right file?"
        )
    return [names.index(name) for name in wanted]


def csv_options(path: Path) -> dict[str, Any]:
    """Return what pandas must be told of a CSV that is not parted by commas or not in UTF-8; mostly nothing."""
    with open(path, "rb") as file:
        encoding = find_encoding(file.read(64), str(path))
    with open_binary(path) as file:
        header = read_header(file)
    options: dict[str, Any] = {}
    if header.delimiter != ",":
        options["sep"] = header.delimiter
    if header.num_lines > 1:
        options["skiprows"] = header.num_lines - 1
    if not encoding.startswith("utf-8"):
        options["encoding"] = encoding
    return options


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
        line, names = next(rows, (1, []))
        places = find_columns(path, Header(names, num_lines=line), columns)
        for line, row in rows:
            if not row:
                continue
            where = f"{path}, line {line}"
            check_fields(where, row, len(names))
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


def check_fields(where: str, row: Sequence[str], expected: int) -> None:
    """Raise a ValueError unless a row has as many fields as the header has columns; see `check_count`."""
    meaning = "one for each column of the header"
    if len(row) > expected and any(field.strip().isdecimal() for field in row):
        meaning += " (a comma in a number is taken for one between fields: write decimal points)"
    check_count(where, "fields", len(row), expected, meaning)


def parse_number(field: str, where: str, name: str) -> float:
    """Return the number in a field; NaN for an empty one.

    Raises:
        ValueError: the field holds something else.
    """
    field = field.strip()
    try:
        return float(field) if field else float("nan")
    except ValueError as error:
        raise ValueError(f"{where}: {name} is {field[:40]!r}, {explain_number(field)}") from error


def parse_finite(field: str, where: str, name: str) -> float:
    """Return what `parse_number` does, infinity refused: training that meets it is lost."""
    value = parse_number(field, where, name)
    if abs(value) > LARGEST_VALUE:
        kind = "infinite" if math.isinf(value) else "infinite in float32"
        raise ValueError(f"{where}: {name} is {field.strip()[:40]!r}, which is {kind}; write nan for a missing value")
    return value


def explain_number(field: str) -> str:
    """Say why a field is not a number, and what to do."""
    if _DECIMAL_COMMA.fullmatch(field.strip()):
        return "which has a comma; write numbers with a decimal point, such as 0.5"
    return "not a number; correct or drop the record"
