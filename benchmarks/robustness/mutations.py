"""Broken files out of whole ones: each mutation takes bytes and gives bytes, the same ones for the same seed."""

from __future__ import annotations

import gzip
import io
import random
import string
import zipfile
from collections.abc import Callable

# What may stand where a number, a name or a sequence is expected.
ODD_FIELDS = (
    *("nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1", "0", "1e3", "1.5", "0x1f", "1_000", "+1", "-0", "½", "²"),
    *("9" * 12, "9" * 25, "9" * 5000, "2147483648", "-9223372036854775809", "1e308", "1e-400", "٣", "12A", "--"),
    *("", " ", "NA", "null", "None", "true", "[]", "{}", '"', "'", "\\", "\0", "#", ">", "@", "+", ";", ",", "\t", "&"),
    *("ACGU", "acgt", "NNNN", "PROTEIN", "MKVLAAGIVGLLLAQ", "((..))", ")(", "[[[", "é", "\u2028", "\ufeff", "🧬"),
    *("sequence", "id", "position", "nucleotide", "sep=;", "=1+1", "[1,2", '{"a": [1]}', "../x", "x" * 3000),
)
IUPAC = "ACGUTRYSWKMBDHVN"
_SEPARATORS = " \t,;:|\n"


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut off at any byte."""
    return data[: rng.randrange(len(data) + 1)]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits."""
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 8) if data else 0):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def delete_lines(data: bytes, rng: random.Random) -> bytes:
    """Leave out some lines."""
    lines = _lines(data)
    start = rng.randrange(len(lines) + 1)
    del lines[start : start + rng.randint(1, 3)]
    return b"".join(lines)


def repeat_line(data: bytes, rng: random.Random) -> bytes:
    """Write a line again, there or elsewhere."""
    lines = _lines(data) or [b"\n"]
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    """Let two lines change places."""
    lines = _lines(data) or [b"\n"]
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def join_lines(data: bytes, rng: random.Random) -> bytes:
    """Take out a line end."""
    places = [place for place, byte in enumerate(data) if byte == 10]
    place = rng.choice(places) if places else len(data)
    return data[:place] + data[place + 1 :]


def change_field(data: bytes, rng: random.Random) -> bytes:
    """Put something odd in the place of one to three fields, leave one out, or write it twice."""
    text = data.decode("latin-1")
    for _ in range(rng.randint(1, 3)):
        starts = [place + 1 for place, letter in enumerate(text) if letter in _SEPARATORS and place + 1 < len(text)]
        start = rng.choice([0, *starts])
        end = next((place for place in range(start, len(text)) if text[place] in _SEPARATORS), len(text))
        field = text[start:end]
        odd = rng.choice(ODD_FIELDS).encode().decode("latin-1")
        text = text[:start] + rng.choice((odd, odd, odd, odd, "", field * 2, field + "\t" + field)) + text[end:]
    return text.encode("latin-1")


def insert_text(data: bytes, rng: random.Random) -> bytes:
    """Put something odd anywhere."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(ODD_FIELDS).encode() + data[place:]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    """Put zeros, controls or random bytes anywhere."""
    place = rng.randrange(len(data) + 1)
    inserted = rng.choice((b"\0", b"\0\0\0", b"\x1a", b"\x1b[0m", b"\xff", b"\x85", b"\x0c", rng.randbytes(9)))
    return data[:place] + inserted + data[place:]


def change_line_ends(data: bytes, rng: random.Random) -> bytes:
    """Write the line ends of Windows, of old Macintosh, or of several kinds."""
    ends = rng.choice(((b"\r\n",), (b"\r",), (b"\n", b"\r\n", b"\r"), (b"\n\n",), (b" \n",)))
    return b"".join(line.rstrip(b"\r\n") + rng.choice(ends) for line in _lines(data))


def change_encoding(data: bytes, rng: random.Random) -> bytes:
    """Write the text in another encoding, with a mark or without, perhaps cut off within a letter."""
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"))
    text = data.decode("utf-8", "replace") + rng.choice(("", "é", "Ψ"))
    encoded = text.encode(encoding, "replace")
    return encoded[: len(encoded) - rng.choice((0, 0, 1, 3))]


def lengthen(data: bytes, rng: random.Random) -> bytes:
    """Make a line very long: one symbol, brackets that nest deeply, or many fields."""
    unit = rng.choice(("A", "N", "(", "[", "{", ">", "9", ",", " 1", "\t", '"', "GGGAAACCC", "1,", "-"))
    count = rng.choice((300, 3000, 20000))
    place = rng.randrange(len(data) + 1)
    return data[:place] + (unit * count).encode() + data[place:]


def compress(data: bytes, rng: random.Random) -> bytes:
    """Pack by gzip or zip, whole, cut off or with flipped bits."""
    if rng.random() < 0.6:
        packed = gzip.compress(data, 1, mtime=0)
    else:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(rng.choice((0, 1, 1, 1, 2))):
                archive.writestr(zipfile.ZipInfo(f"member{number}.txt"), data)
        packed = stream.getvalue()
    return rng.choice((lambda data, rng: data, truncate, flip_bits, flip_bits))(packed, rng)


def replace_all(data: bytes, rng: random.Random) -> bytes:
    """Write something that has nothing to do with the file: nothing, random bytes, letters or RNA."""
    size = rng.choice((0, 1, 2, 7, 60, 700))
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(size)
    if kind == 1:
        return rng.choice((b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\xff\xfe", b"BZh", b"\xfd7zXZ")) + rng.randbytes(size)
    if kind == 2:
        return rng.choice((b"\n", b" ", b"\0", b"\r", b"\t", b"#\n", b">\n", b"@\n")) * size
    letters = (string.printable, IUPAC + "\n", "ACGU>\n")[kind - 3]
    return "".join(rng.choices(letters, k=size)).encode()


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(truncate, flip_bits, delete_lines, repeat_line, swap_lines, join_lines, change_field, change_field, change_field),
    *(insert_text, insert_bytes, change_line_ends, change_encoding, lengthen, compress, replace_all),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Break a file in one to three ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data
