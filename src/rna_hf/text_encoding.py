"""From the bytes of a text file to text: UTF-8, UTF-16 and UTF-32 by their marks, and Latin-1 in descriptions.

What is taken as it stands is UTF-8, with or without a byte-order mark, and what begins with the mark of another Unicode
encoding, as spreadsheets and some editors write it. Older files hold names of authors or organisms in Latin-1. Which
of the 8-bit encodings it is cannot be known, so such bytes are let pass only where nothing is computed from them.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (  # the longer ones first: that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
# A word in ASCII (an id, a number, the name of a field), a blank, and then no control characters.
_DESCRIPTION = re.compile(rb"[ \t]*[!-~]+[ \t][\t -~\x80-\xff]*[\r\n]*")


def find_encoding(start: bytes, name: str) -> str:
    """Return the codec of a text, which also drops the mark that it goes by.

    Args:
        start: the first bytes, 64 at best.
        name: what to call the text in messages.

    Raises:
        ValueError: it is UTF-16 without a mark, which would be read as letters with zeros between them.
    """
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    halves = start[0::2], start[1::2]
    if len(start) > 3 and any(not any(half) for half in halves):
        raise ValueError(f"{name} seems to be in UTF-16 without a byte-order mark; save it as UTF-8")
    return "utf-8"


def decode_text(data: bytes, name: str) -> str:
    """Decode a file of which words in Latin-1 can be let pass: all that follows the first word of a line is checked.

    Args:
        data: the whole content.
        name: what to call it in messages.

    Raises:
        ValueError: it is no text in one of the encodings.
    """
    encoding = find_encoding(data[:64], name)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise ValueError(explain_broken(name, encoding, error)) from error
    lines = []
    for number, line in enumerate(_LINE_END.split(data.removeprefix(codecs.BOM_UTF8)), start=1):
        try:
            lines.append(decode_description(line))
        except UnicodeDecodeError as error:
            raise ValueError(explain_broken(name, encoding, error, number)) from error
    return "\n".join(lines)


def decode_description(line: bytes) -> str:
    """Decode a line, Latin-1 let pass after its first word.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor such a line.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        if not _DESCRIPTION.fullmatch(line):
            raise
    # As Windows has it: Latin-1 proper ends lines and has other controls where this has quotation marks.
    return line.decode("cp1252", "replace")


def is_whole_text(text: str) -> bool:
    """Tell whether a text can be written: JSON and Python let halves of characters (surrogates) stand alone."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def explain_broken(name: str, encoding: str, error: UnicodeDecodeError, line: int | None = None) -> str:
    """Say in a line that a text cannot be decoded.

    Args:
        name: what to call it.
        encoding: from `find_encoding`.
        error: what decoding it raised.
        line: where, from 1.
    """
    kind = encoding.upper().removesuffix("-SIG")
    where = f" in line {line}" if line else ""
    return f"{name} is not a text file in {kind}: {error.reason}{where}; save it as UTF-8"
