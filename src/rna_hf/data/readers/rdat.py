"""RDAT, the format of the RNA Mapping Database: chemical mapping of one construct or of a library.

Source of the format: Cordero, Lucks & Das, "An RNA Mapping DataBase for curating RNA structure mapping experiments"
(2012), and the database's specification of versions 0.24 to 0.34. Version 0.4, which TECtools writes for transcripts of
all lengths, has other names for the indexed lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..checks import check_sequence
from ..text_files import check_count, check_file, open_binary, parse_finite
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

RDAT_CHANNELS = (("2A3", "1M7", "1M6", "NMIA", "5NIA", "NAI", "FAI", "BzCN"), ("DMS",))
"""The modifiers of RibonanzaNet's two channels: reagents of SHAPE, which all acylate flexible nucleotides, and DMS."""

RDAT_VERSIONS = ("0.24", "0.4")
"""The oldest and the newest version that are read."""

_INDEXED = re.compile(
    r"(ANNOTATION_DATA|REACTIVITY|REACTIVITY_ERROR|SEQUENCE|DATA_ANNOTATION|DATA|DATA_ERROR|AREA_PEAK):(\d{1,18})"
)
_NAMES_BEFORE_0_4 = {"DATA_ANNOTATION": "ANNOTATION_DATA", "DATA": "REACTIVITY", "DATA_ERROR": "REACTIVITY_ERROR"}
_ENDING = re.compile(r"(\.rdat(\..*)?|\.[^.]*)$", re.IGNORECASE)
_VERSION = re.compile(r"\d{1,3}(\.\d{1,6})?")
_POSITION = re.compile(r"([A-Za-z]?)(-?\d{1,18})")
_RANGE = re.compile(r"[A-Za-z]?(-?\d{1,18})[-:][A-Za-z]?(-?\d{1,18})")
_SUBSTITUTION = re.compile(r"([ACGUT])(-?\d{1,18})([ACGUTX])", re.IGNORECASE)
_LONGEST_RANGE = 1_000_000
_WILD_TYPE = ("", "WT", "wt")


def read_rdat(
    path: str | Path,
    *,
    channels: Sequence[Sequence[str]] = RDAT_CHANNELS,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read an RDAT file, one record for each `REACTIVITY` line.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | the file's name and the line's number: `ETERNA_R94_0000:1` |
    | `sequence` | str | L nucleotides |
    | `modifier` | str | such as `1M7` or `DMS`; empty if the file does not say |
    | `signal_to_noise` | float32 | NaN if the record does not say; absent if no record does |
    | `reactivity` | L float32 | as deposited (see the file's `processing` for its unit); NaN where not in `SEQPOS` |
    | `errors` | L float32 | standard errors; NaN where there are none |
    | `labels` | L x C float32 | `reactivity` in the column of the record's modifier, NaN in the others |

    A record's sequence is its `sequence:` annotation, or its `SEQUENCE:<n>` line, or the construct's `SEQUENCE` with
    the substitutions of its `mutation:` annotation (`X`, a mixture of all, gives N). Annotations of a record come
    before those of the construct. In a library the shorter designs end before `SEQPOS` does: values past their ends
    are dropped, or are not there, and the row has a value for each position of `SEQPOS` within its own sequence or for
    each of its nucleotides. Version 0.4 says `DATA` for `REACTIVITY` and `DATA_ANNOTATION` for `ANNOTATION_DATA`; the
    names may be those of either version. Memory: a few bytes for each line of the file besides one record.

    The records suit `DataCollatorForReactivity`, which leaves those out whose signal-to-noise ratio is NaN. A model
    learns the values as they are: RibonanzaNet's own were scaled so that 1 is a data set's 90th percentile.

    Args:
        path: the file.
        channels: for each of the C columns of `labels` the modifiers that it takes, without regard to case. A record
            of another modifier has no labels.
        streaming: return an `IterableDataset`; it first reads the file once to find the lines that belong together.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: the file is no RDAT, is older than version 0.24 or newer than 0.4, or contradicts itself; the
            message names the version.
    """
    from datasets import Features, List, Value

    path = check_file(path)
    with open_binary(path) as file:
        name = f"{path} (RDAT {_read_version(file, path)})"
        annotations = (b"ANNOTATION", b"DATA_ANNOTATION")
        has_ratios = any(line.startswith(annotations) and b"signal_to_noise:" in line for line in file)
    columns: dict[str, Any] = {name: Value("string") for name in ("id", "sequence", "modifier")}
    if has_ratios:
        columns["signal_to_noise"] = Value("float32")
    columns |= {name: List(Value("float32")) for name in ("reactivity", "errors")}
    columns["labels"] = List(List(Value("float32"), length=len(channels)))
    arguments = {
        "path": path,
        "name": name,
        # Tuples: datasets would cut a list into shards.
        "channels": tuple(tuple(modifier.upper() for modifier in channel) for channel in channels),
        "has_ratios": has_ratios,
    }
    return make_dataset(_read_records, arguments, Features(columns), [path], streaming, cache_dir)


@dataclass
class _Contents:
    """A file's header, and where its indexed lines are.

    Attributes:
        header: text of the header's lines by their keyword; repeated keywords are joined.
        lines: keyword, as before version 0.4 -> index of the record -> place (bytes) and number (1-based) of the line.
        keyword: what the lines of reactivities are called, `REACTIVITY` or `DATA`.
    """

    header: dict[str, str] = field(default_factory=dict)
    lines: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)
    keyword: str = "REACTIVITY"


def _read_version(file: IO[bytes], path: Path) -> str:
    """Read the first line that is not blank, and refuse a version that is not known."""
    number, words = next(((n, line.split()) for n, line in enumerate(file, start=1) if line.strip()), (1, [b""]))
    keyword, *rest = (word.decode("utf-8", "replace").lstrip("\ufeff") for word in words)
    if keyword.startswith("RDAT_VERSION:") and not rest:
        keyword, _, text = keyword.partition(":")
        rest = [text] if text else []
    if keyword.rstrip(":") not in ("RDAT_VERSION", "VERSION"):
        raise ValueError(f"{path}, line {number}: not RDAT, which begins with RDAT_VERSION; is it the right file?")
    oldest, newest = RDAT_VERSIONS
    text = rest[0] if rest else ""
    version = float(text) if _VERSION.fullmatch(text) else None
    if version is not None and float(oldest) <= version <= float(newest):
        return text
    problem = f"{path}, line {number}: RDAT version {text[:20]!r} is not known; versions {oldest} to {newest} are read"
    if version is not None and version < float(oldest):
        raise ValueError(f"{problem}, and older ones hold raw peak areas: download a later version of the entry")
    raise ValueError(f"{problem}: write one of these if the lines are the same")


def _read_records(
    path: Path, name: str, channels: tuple[tuple[str, ...], ...], has_ratios: bool
) -> Iterator[dict[str, Any]]:
    with open_binary(path, is_seekable=True) as file:
        contents = _find_lines(file, name)
        construct = _Construct.from_header(contents.header, name)
        stem = _ENDING.sub("", path.name)
        for index, (_, number) in contents.lines["REACTIVITY"].items():
            where = f"{name}, line {number} ({contents.keyword}:{index})"
            texts = {keyword: _read_line(file, lines, index) for keyword, lines in contents.lines.items()}
            annotation = texts.get("ANNOTATION_DATA", "")
            sequence = construct.sequence_of(annotation, texts.get("SEQUENCE", ""), where)
            error_line = contents.lines.get("REACTIVITY_ERROR", {}).get(index, (0, number))[1]
            where_errors = f"{name}, line {error_line} ({contents.keyword}_ERROR:{index})"
            modifier = _find_annotation("modifier", annotation, construct.annotation)
            reactivity = construct.spread(texts["REACTIVITY"], len(sequence), where)
            taken = [modifier.upper() in channel for channel in channels]
            record: dict[str, Any] = {
                "id": f"{stem}:{index}",
                "sequence": sequence,
                "modifier": modifier,
                "reactivity": reactivity.tolist(),
                "errors": construct.spread(texts.get("REACTIVITY_ERROR", ""), len(sequence), where_errors).tolist(),
                "labels": np.where(taken, reactivity[:, None], np.float32(np.nan)).tolist(),
            }
            if has_ratios:
                ratio = _find_annotation("signal_to_noise", annotation, construct.annotation).rpartition(":")[2]
                record["signal_to_noise"] = float(np.float32(parse_finite(ratio, where, "signal_to_noise")))
            yield record


def _find_lines(file: IO[bytes], name: str) -> _Contents:
    """Read the file once: keep the header, and remember where the rest is."""
    contents = _Contents()
    offset = 0
    for number, line in enumerate(file, start=1):
        word, *rest = line.split(maxsplit=1) or [b""]
        keyword = word.decode("utf-8", "replace").lstrip("\ufeff")
        text = rest[0].decode("utf-8", "replace") if rest else ""
        if match := _INDEXED.fullmatch(keyword):
            places = contents.lines.setdefault(_NAMES_BEFORE_0_4.get(match[1], match[1]), {})
            if match[1] == "DATA":
                contents.keyword = "DATA"
            if int(match[2]) in places:
                raise ValueError(f"{name}, line {number}: {keyword} is there twice; keep one of them")
            places[int(match[2])] = (offset, number)
        elif keyword == "NAME" and "NAME" in contents.header:
            raise ValueError(f"{name}, line {number}: a second construct begins; put each one into a file of its own")
        elif keyword in ("ANNOTATION", "SEQPOS"):
            contents.header[keyword] = f"{contents.header.get(keyword, '')} {text}"
        elif keyword in ("NAME", "SEQUENCE", "OFFSET"):
            contents.header[keyword] = text.strip()
        offset += len(line)
    if "REACTIVITY" not in contents.lines:
        if "AREA_PEAK" in contents.lines:
            raise ValueError(
                f"{name}: raw peak areas (AREA_PEAK), as in files older than version 0.24, and no reactivities: "
                "download a later version of the entry"
            )
        raise ValueError(
            f"{name}: no line REACTIVITY:<number>, or DATA:<number> as of version 0.4, so there is nothing to read; is "
            "it the right file?"
        )
    return contents


def _read_line(file: IO[bytes], places: dict[int, tuple[int, int]], index: int) -> str:
    """Return an indexed line without its keyword; empty if there is none of this index."""
    if index not in places:
        return ""
    file.seek(places[index][0])
    words = file.readline().decode("utf-8", "replace").split(maxsplit=1)
    return words[1] if len(words) > 1 else ""


def _find_annotations(name: str, text: str) -> list[str]:
    """Return the values of all annotations `name:value` in a line."""
    # Names of designs hold blanks and would want tabs as separators, but old files have blanks only.
    return [word.removeprefix(f"{name}:") for word in text.split() if word.startswith(f"{name}:")]


def _find_annotation(name: str, *texts: str) -> str:
    """Return the first value of an annotation in the first line that has it; empty if none has."""
    return next((value for text in texts for value in _find_annotations(name, text)), "")


@dataclass
class _Construct:
    """What the header says of the RNA.

    Attributes:
        sequence: the construct's, or `X` for each nucleotide of a library.
        annotation: its annotations.
        offset: what is added to a 1-based position of the sequence to give the numbers in the file.
        positions: (P,) 0-based positions of the sequence that the values belong to.
    """

    sequence: str
    annotation: str
    offset: int
    positions: np.ndarray

    @classmethod
    def from_header(cls, header: dict[str, str], name: str) -> _Construct:
        if missing := [keyword for keyword in ("SEQUENCE", "SEQPOS") if not header.get(keyword, "").strip()]:
            raise ValueError(f"{name}: no line {' or '.join(missing)}; download the file again")
        sequence = header["SEQUENCE"]
        try:
            offset = int(header.get("OFFSET") or 0)
        except ValueError as error:
            raise ValueError(f"{name}: OFFSET is {header['OFFSET'][:40]!r}; write a whole number") from error
        positions: list[int] = []
        seen: set[int] = set()
        for word in _expand_ranges(header["SEQPOS"]):
            match = _POSITION.fullmatch(word)
            if match is None:
                raise ValueError(
                    f"{name}: SEQPOS holds {word[:40]!r}; write numbers such as 12 or A12, or a range such as 1-12"
                )
            position = int(match[2]) - offset - 1
            if not 0 <= position < len(sequence):
                raise ValueError(
                    f"{name}: position {word} of SEQPOS lies outside the {len(sequence)} nucleotides of SEQUENCE "
                    f"when OFFSET is {offset}; correct one of the three lines"
                )
            if not _is_same(match[1], sequence[position]):
                raise ValueError(
                    f"{name}: position {word} of SEQPOS falls on {sequence[position]!r} in SEQUENCE when OFFSET is "
                    f"{offset}; correct one of the three lines"
                )
            if position in seen:
                raise ValueError(f"{name}: position {word} is in SEQPOS twice; correct the line")
            seen.add(position)
            positions.append(position)
        return cls(sequence, header.get("ANNOTATION", ""), offset, np.array(positions))

    def sequence_of(self, annotation: str, indexed: str, where: str) -> str:
        """Return the sequence of one record.

        Args:
            annotation: its annotations.
            indexed: its `SEQUENCE:<n>` line, if there is one.
            where: file and line, for messages.
        """
        own = _find_annotation("sequence", annotation) or indexed.strip()
        if own:
            return check_sequence(own, where)
        letters = list(self.sequence)
        for mutation in ",".join(_find_annotations("mutation", annotation)).split(","):
            if mutation in _WILD_TYPE:
                continue
            match = _SUBSTITUTION.fullmatch(mutation)
            position = int(match[2]) - self.offset - 1 if match else -1
            if match is None or not 0 <= position < len(letters) or not _is_same(match[1], self.sequence[position]):
                raise ValueError(
                    f"{where}: mutation {mutation[:40]!r} is no substitution that fits SEQUENCE and OFFSET, so the "
                    "sequence is not known; give the record an annotation sequence:<its sequence>"
                )
            letters[position] = "N" if match[3] in "Xx" else match[3]  # X: a mixture of all substitutions there
        return check_sequence("".join(letters), where)

    def spread(self, text: str, length: int, where: str) -> np.ndarray:
        """Return a line's values in float32, one for each nucleotide, NaN where there is none."""
        spread = np.full(max(length, len(self.sequence)), np.nan, dtype=np.float32)
        if words := text.split():
            positions = self._positions_of(len(words), length, where)
            spread[positions] = [parse_finite(word, where, "a value") for word in words]
        return spread[:length]

    def _positions_of(self, count: int, length: int, where: str) -> np.ndarray:
        """Return the 0-based positions that so many values of a record of `length` nucleotides belong to."""
        if count != len(self.positions) and length < len(self.sequence):
            within = self.positions[self.positions < length]
            if count == len(within):
                return within
            if count == length:
                return np.arange(length)
            meaning = (
                f"one for each position of SEQPOS, or {len(within)} for those in the record's {length} nucleotides"
            )
        else:
            meaning = "one for each position of SEQPOS"
        check_count(where, "values", count, len(self.positions), meaning)
        return self.positions


def _expand_ranges(text: str) -> Iterator[str]:
    """Yield the words of a line `SEQPOS`, each range `1-4` as the numbers in it."""
    for word in text.replace(",", " ").split():
        found = _RANGE.fullmatch(word)
        first, last = map(int, found.groups()) if found else (0, -1)
        if found and abs(last - first) < _LONGEST_RANGE:
            step = 1 if first <= last else -1
            yield from map(str, range(first, last + step, step))
        else:
            yield word


def _is_same(letter: str, other: str) -> bool:
    """Whether two letters can stand for the same nucleotide; anything but a nucleotide can stand for any."""
    a, b = (text.upper().replace("T", "U") for text in (letter, other))
    return a == b or not {a, b} <= set("ACGU")
