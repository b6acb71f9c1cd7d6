"""SHAPE files: reactivities of single RNAs in two to four columns, or StructureFold2's of many.

Sources of the formats: the file formats of RNAstructure (`.shape`), ShapeMapper 2 (`.shape`, `.map`) and ViennaRNA
(`RNAfold --shape`), and Tack et al., "StructureFold2: Bringing chemical probing data into the computational fold of RNA
structural analysis" (2018) (`.react`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import check_sequence
from ..sequence_files import SequenceFile
from ..text_files import check_file, files_in, list_files, open_described, parse_finite
from .rdat import RDAT_CHANNELS
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

SHAPE_SUFFIXES = (".shape", ".map", ".react")
SEQUENCE_SUFFIXES = (".fa", ".fasta", ".fna", ".fas", ".seq")
# RNAstructure takes a value below -500 for none; what programs write is -999.
_MISSING_BELOW = -500
# A wrong position would otherwise take the memory for all those before it.
_LAST_POSITION = 10_000_000
_MOST_DIGITS = 18
_MISSING = ("NA", "NAN", "N/A", "NULL", "-")


def read_shape(
    paths: str | Path | Sequence[str | Path],
    sequences: str | Path | None = None,
    *,
    modifier: str = "1M7",
    channels: Sequence[Sequence[str]] = RDAT_CHANNELS,
    on_unknown: str = "error",
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read SHAPE files, or all those in a folder.

    A file has a line for each position, counted from 1: the position, the reactivity, and perhaps (`.map`) its standard
    error and the nucleotide, or, for ViennaRNA, the nucleotide before the reactivity. Or it is StructureFold2's: for
    each RNA a line with its id and one with its reactivities. A reactivity below -500 (mostly -999), `NaN`, `NA` or
    none is missing, as is a position without a line.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | of the sequence in its FASTA or `.seq` file, else the SHAPE file's name |
    | `sequence` | str | L nucleotides |
    | `modifier` | str | `modifier` |
    | `reactivity` | L float32 | as written; NaN where missing |
    | `errors` | L float32 | standard errors; NaN where there are none |
    | `labels` | L x C float32 | `reactivity` in the column of the modifier, NaN in the others |

    Args:
        paths: a file, a folder (`.shape`, `.map` and `.react` files in it, sorted by path, without a `.shape` beside a
            `.map` of the same name), or several of either.
        sequences: FASTA or RNAstructure's `.seq` with the sequences. If omitted, the file beside each SHAPE file that
            has its name and ends in `.fa`, `.fasta`, `.fna`, `.fas` or `.seq`; a file with all nucleotides needs none.
        modifier: what the RNA was probed with, one of those in `channels`: the files do not say.
        channels: see `read_rdat`.
        on_unknown: what to do with a letter that is not RNA: `error`, or `n` to read it as N.
        streaming: return an `IterableDataset` that reads one file at a time; each file is a shard.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a sequence is not found or does not fit the positions or nucleotides, or a line is not as described.
    """
    from datasets import Features, List, Value

    files = list_files(paths, _find_files)
    taken = [modifier.upper() in [name.upper() for name in channel] for channel in channels]
    if not any(taken):
        known = ", ".join(name for channel in channels for name in channel)
        raise ValueError(f"modifier is {modifier!r}, which no channel takes; choose one of {known}, or give channels")
    columns: dict[str, Any] = {name: Value("string") for name in ("id", "sequence", "modifier")}
    columns |= {name: List(Value("float32")) for name in ("reactivity", "errors")}
    columns["labels"] = List(List(Value("float32"), length=len(channels)))
    sequences = None if sequences is None else check_file(sequences)
    arguments = {
        "paths": files,
        "sequences": sequences,
        "modifier": modifier,
        "taken": tuple(taken),
        "on_unknown": on_unknown,
    }
    beside = [path for path in (sequences, *map(_find_sequences, files)) if path is not None]
    return make_dataset(_read_records, arguments, Features(columns), files + beside, streaming, cache_dir)


def _find_files(folder: Path) -> list[Path]:
    files = files_in(folder, SHAPE_SUFFIXES)
    # ShapeMapper writes the same values into both.
    return [path for path in files if path.suffix.lower() != ".shape" or path.with_suffix(".map") not in files]


def _find_sequences(path: Path) -> Path | None:
    """Return the file of sequences beside a SHAPE file, if there is one."""
    return next((other for suffix in SEQUENCE_SUFFIXES if (other := path.with_suffix(suffix)).is_file()), None)


def _read_records(
    paths: list[Path], sequences: Path | None, modifier: str, taken: tuple[bool, ...], on_unknown: str
) -> Iterator[dict[str, Any]]:
    for path in paths:
        source = sequences or _find_sequences(path)
        known = _read_sequences(source) if source else {}
        for identifier, reactivity, errors, letters in _read_profiles(path):
            name, sequence = _choose_sequence(path, identifier, letters, known, source)
            where = f"{path} (id {name[:60]!r})"
            sequence = check_sequence(sequence, where, on_unknown)
            if len(reactivity) > len(sequence):
                raise ValueError(
                    f"{where}: reactivities go on to position {len(reactivity)} (1-based), but the sequence has "
                    f"{len(sequence)} nucleotides; give the sequence that was probed"
                )
            _check_letters(letters, sequence, where)
            values = _spread(reactivity, len(sequence))
            yield {
                "id": name,
                "sequence": sequence,
                "modifier": modifier,
                "reactivity": values.tolist(),
                "errors": _spread(errors, len(sequence)).tolist(),
                "labels": np.where(taken, values[:, None], np.float32(np.nan)).tolist(),
            }


def _read_sequences(path: Path) -> dict[str, str]:
    """Return the sequences of a FASTA or `.seq` file by their ids."""
    if path.suffix.lower() != ".seq":
        return {record.id: record.sequence for record in SequenceFile(path, kind="fasta").records()}
    with open_described(path) as text:
        lines = [line.strip() for line in text if line.strip() and not line.startswith(";")]
    if lines and lines[0].startswith(">"):
        return {record.id: record.sequence for record in SequenceFile(path, kind="fasta").records()}
    sequence = "".join("".join(lines[1:]).split())
    if not sequence.endswith("1"):
        raise ValueError(f"{path}: a .seq file has a title, then the sequence, and ends in 1; complete it")
    return {(lines[0].split() or [path.stem])[0]: sequence.removesuffix("1")}


def _read_profiles(path: Path) -> Iterator[tuple[str, list[float], list[float], list[str]]]:
    """Yield id, reactivities, errors and letters of each RNA in a file, up to the last position that has a line."""
    with open_described(path) as text:
        lines = [(number, line.split()) for number, line in enumerate(text, start=1) if line.strip()]
    lines = [(number, words) for number, words in lines if not words[0].startswith("#")]
    if not lines:
        raise ValueError(f"{path} has no reactivities; is it the right file?")
    _refuse_other_tables(path, *lines[0])
    if len(lines) > 1 and not lines[0][1][0].isdecimal():
        if not (lines[1][1][0].isdecimal() and len(lines[0][1]) > 1):
            yield from _read_structurefold(lines, path)
            return
        del lines[0]  # names of the columns
    yield "", *_read_columns(lines, path)


def _refuse_other_tables(path: Path, number: int, words: list[str]) -> None:
    """Refuse by its first line what is laid out in another way and could be taken for one of the layouts."""
    line = " ".join(words)
    advice = ""
    if line.lower().startswith("nucleotide sequence"):
        advice = "this is ShapeMapper's profile; give the .map or .shape file beside it"
    elif line.startswith(("<?xml", "<data", "<transcript")):
        advice = (
            "this is XML, as RNA Framework writes it; write a line with position and reactivity for each nucleotide"
        )
    elif line.lower().startswith(("fixedstep", "variablestep", "track ", "browser ")):
        advice = "this is wiggle or bedGraph; write a line with position and reactivity for each nucleotide"
    elif re.fullmatch(r"\d+[,;]\S+", line):
        advice = "part the columns by blanks or tabs"
    elif len(words) == 1 and re.fullmatch(r"[-+]?(\d*\.\d+|\d+)([eE][-+]?\d+)?", line) and not line.isdecimal():
        advice = "write the position (from 1) before each reactivity"
    if advice:
        raise ValueError(f"{path}, line {number}: {line[:40]!r} begins no SHAPE file; {advice}")


def _read_structurefold(
    lines: list[tuple[int, list[str]]], path: Path
) -> Iterator[tuple[str, list[float], list[float], list[str]]]:
    for index in range(0, len(lines), 2):
        number, words = lines[index]
        if len(words) != 1 or index + 1 == len(lines):
            raise ValueError(
                f"{path}, line {number}: {' '.join(words)[:40]!r} where the id of an RNA is due, and its reactivities "
                "in the next line; or each line has a position (from 1) and a reactivity"
            )
        number, values = lines[index + 1]
        yield (
            words[0].removeprefix(">"),
            [_parse_value(value, f"{path}, line {number}", "a reactivity") for value in values],
            [],
            [],
        )


def _read_columns(lines: Iterable[tuple[int, list[str]]], path: Path) -> tuple[list[float], list[float], list[str]]:
    reactivity: list[float] = []
    errors: list[float] = []
    letters: list[str] = []
    is_seen: list[bool] = []
    for number, (word, *words) in lines:
        where = f"{path}, line {number}"
        position = int(word[:_MOST_DIGITS]) if word.isdecimal() and word.isascii() else 0
        if not position or len(words) > 3:
            raise ValueError(
                f"{where}: {' '.join([word, *words])[:40]!r} where a position (from 1) and a reactivity are due, and "
                "perhaps its error and the nucleotide; correct or drop the line"
            )
        if position > _LAST_POSITION:
            raise ValueError(
                f"{where}: position {word[:40]} is beyond any RNA ({_LAST_POSITION:,} nucleotides); correct the line"
            )
        grow = position - len(is_seen)
        if grow > 0:
            reactivity += [np.nan] * grow
            errors += [np.nan] * grow
            letters += [""] * grow
            is_seen += [False] * grow
        if is_seen[position - 1]:
            raise ValueError(f"{where}: position {position} is there twice; keep one of the lines")
        is_seen[position - 1] = True
        for place in (0, -1):  # ViennaRNA has the nucleotide first, ShapeMapper last
            if words and len(words[place]) == 1 and words[place].isalpha():
                letters[position - 1] = words.pop(place)
                break
        if words:
            reactivity[position - 1] = _parse_value(words[0], where, "the reactivity")
        if len(words) > 1 and not np.isnan(reactivity[position - 1]):
            errors[position - 1] = _parse_value(words[1], where, "the error")
    return reactivity, errors, letters


def _parse_value(field: str, where: str, name: str) -> float:
    if field.upper() in _MISSING:
        return np.nan
    value = parse_finite(field, where, name)
    return np.nan if value < _MISSING_BELOW else value


def _choose_sequence(
    path: Path, identifier: str, letters: list[str], known: dict[str, str], source: Path | None
) -> tuple[str, str]:
    """Return the id and the sequence of a profile."""
    name = identifier or path.stem
    if name in known:
        return name, known[name]
    if not identifier and len(known) == 1:
        return next(iter(known.items()))
    if known:
        shown = ", ".join(key[:60] for key in list(known)[:5]) + (", ..." if len(known) > 5 else "")
        raise ValueError(f"{path}: {source} has no sequence of {name[:60]!r}, but {shown}; rename one of the two")
    if letters and all(letters):
        return name, "".join(letters)
    missing = "some positions have no nucleotide" if any(letters) else "the file has no nucleotides"
    raise ValueError(
        f"{path}: the sequence of {name[:60]!r} is not known, as {missing}; name a FASTA file with it as sequences, or "
        f"put one beside, such as {path.with_suffix('.fa').name}"
    )


def _check_letters(letters: list[str], sequence: str, where: str) -> None:
    for position, (letter, expected) in enumerate(zip(letters, sequence), start=1):
        a, b = (text.upper().replace("T", "U") for text in (letter, expected))
        if {a, b} <= set("ACGU") and a != b:
            raise ValueError(
                f"{where}: position {position} is {letter!r} in the file and {expected!r} in the sequence; give the "
                "sequence that was probed"
            )


def _spread(values: list[float], length: int) -> np.ndarray:
    """Return values in float32, NaN after their end."""
    spread = np.full(length, np.nan, dtype=np.float32)
    spread[: len(values)] = values
    return spread
