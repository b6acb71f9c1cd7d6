"""Subcellular localisation: how much of an RNA is found in each compartment.

Source of the three-line format: RNATracker's files of CeFra-seq (Benoit Bouvrette et al. 2018, "CeFra-seq reveals broad
asymmetric mRNA and noncoding RNA distribution profiles in Drosophila and human cells").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import check_sequence
from ..sequence_files import SequenceFile
from ..text_files import (
    LARGEST_VALUE,
    Header,
    check_count,
    check_file,
    find_columns,
    open_binary,
    open_text,
    parse_number,
    read_csv_rows,
    read_header,
)
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, Features, IterableDataset

CEFRA_COMPARTMENTS = ("Cytosol", "Insoluble", "Membrane", "Nuclear")
"""The four fractions of CeFra-seq, in the order of the file's numbers."""


def read_cefra(
    path: str | Path,
    *,
    compartments: Sequence[str] = CEFRA_COMPARTMENTS,
    round_labels: bool = False,
    on_unknown: str = "error",
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read RNATracker's file of CeFra-seq: three lines a record, `>... id`, the sequence, and numbers between blanks.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | last word of the header |
    | `sequence` | str | L nucleotides |
    | `labels` | C float32 | part of the RNA in each compartment, together 1; all NaN where a number is `nan` |

    Args:
        path: the file.
        compartments: names of the C numbers, in their order.
        round_labels: round the labels to 4 decimals, as the original did; they then add up to 1 only nearly.
        on_unknown: what to do with a letter that is not RNA: `error`, or `n` to read it as N.
        streaming: return an `IterableDataset` that reads as it goes.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a record is cut off, has too few or too many numbers, a negative one or only zeros, or a sequence
            that is empty or has an unknown letter.
    """
    path = check_file(path)
    arguments = {
        "path": path,
        "compartments": tuple(compartments),
        "round_labels": round_labels,
        "on_unknown": on_unknown,
    }
    return make_dataset(_read_three_lines, arguments, _features(compartments), [path], streaming, cache_dir)


def read_localisation(
    sequences: str | Path,
    values: str | Path | None = None,
    *,
    compartments: Sequence[str] = CEFRA_COMPARTMENTS,
    round_labels: bool = False,
    on_unknown: str = "error",
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read a CSV with a column for each compartment, or a FASTA file and such a CSV.

    The columns of the result are those of `read_cefra`; `id` is the column `id`, or `seq<number>` (1-based) in a CSV
    without one.

    Args:
        sequences: a CSV with `sequence`, a column of numbers for each compartment and perhaps `id`; with `values` a
            FASTA file.
        values: a CSV with `id`, the first word of a FASTA header, and a column of numbers for each compartment; rows of
            other ids are ignored.
        compartments: the columns' names, in the order that the labels shall have.
        round_labels: see `read_cefra`.
        on_unknown: see `read_cefra`.
        streaming: return an `IterableDataset` that reads as it goes; `values` is first read once, as a whole.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a column or an id is missing, an id has two rows, or what `read_cefra` refuses.
    """
    sequences = check_file(sequences)
    arguments: dict[str, Any] = {
        "path": sequences,
        "compartments": tuple(compartments),
        "round_labels": round_labels,
        "on_unknown": on_unknown,
    }
    if values is None:
        find_columns(sequences, _header(sequences), ("sequence", *compartments))
        return make_dataset(_read_table, arguments, _features(compartments), [sequences], streaming, cache_dir)
    values = check_file(values)
    find_columns(values, _header(values), ("id", *compartments))
    arguments |= {"values": values}
    return make_dataset(_read_fasta, arguments, _features(compartments), [sequences, values], streaming, cache_dir)


def to_distribution(values: Sequence[float], where: str, round_labels: bool = False) -> list[float]:
    """Divide the numbers of an RNA's compartments by their sum.

    Args:
        values: (C,), 0 or more, in any unit; a NaN among them means that the RNA was not measured.
        where: file and line or row, for messages.
        round_labels: see `read_cefra`.

    Returns:
        (C,), each 0 to 1, with the precision of float32; all NaN for an RNA that was not measured.

    Raises:
        ValueError: a number is negative or infinite, or all are 0.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if np.isnan(numbers).any():
        return [float("nan")] * len(numbers)
    wrong = numbers[(numbers < 0) | (numbers > LARGEST_VALUE)]
    if len(wrong):
        raise ValueError(
            f"{where}: a compartment has the value {wrong[0]:g}; 0 or more is needed, or NaN for an RNA that was not "
            "measured: correct or drop the record"
        )
    total = numbers.sum()
    if total == 0:
        raise ValueError(
            f"{where}: all {len(numbers)} compartments are 0, which is no distribution; drop the record, or write NaN "
            "if it was not measured"
        )
    parts = numbers / total
    return (parts.round(4) if round_labels else parts).astype(np.float32).tolist()


def _features(compartments: Sequence[str]) -> Features:
    from datasets import Features, List, Value

    if len(set(compartments)) < max(len(compartments), 2):
        raise ValueError(f"compartments are {list(compartments)}: name two at least, each once")
    labels = List(Value("float32"), length=len(compartments))
    return Features({"id": Value("string"), "sequence": Value("string"), "labels": labels})


def _header(path: Path) -> Header:
    with open_binary(path) as file:
        return read_header(file)


def _read_three_lines(
    path: Path, compartments: tuple[str, ...], round_labels: bool, on_unknown: str
) -> Iterator[dict[str, Any]]:
    with open_text(path) as text:
        lines = ((number, line.strip()) for number, line in enumerate(text, start=1) if not line.isspace())
        for number, header in lines:
            where = f"{path}, line {number}"
            words = header[1:].split()
            if not header.startswith(">") or not words:
                raise ValueError(
                    f"{where}: {header[:20]!r} where '>' and an id are due; a record has three lines: header, "
                    "sequence, numbers"
                )
            where = f"{where} (id {words[-1][:60]!r})"
            _, sequence = next(lines, (0, ""))
            _, numbers = next(lines, (0, ""))
            if not numbers:
                raise ValueError(f"{where}: the record is cut off; a record has three lines: header, sequence, numbers")
            yield {
                "id": words[-1],
                "sequence": check_sequence(sequence, where, on_unknown),
                "labels": _parse_labels(numbers.split(), compartments, round_labels, where),
            }


def _read_table(
    path: Path, compartments: tuple[str, ...], round_labels: bool, on_unknown: str
) -> Iterator[dict[str, Any]]:
    keys = ["id"] if "id" in _header(path) else []
    rows = read_csv_rows(path, [*keys, "sequence", *compartments])
    for number, (where, row) in enumerate(rows, start=1):
        identifier = row.pop(0) if keys else f"seq{number}"
        where = f"{where} (id {identifier[:60]!r})"
        yield {
            "id": identifier,
            "sequence": check_sequence(row[0], where, on_unknown),
            "labels": _parse_labels(row[1:], compartments, round_labels, where),
        }


def _read_fasta(
    path: Path, values: Path, compartments: tuple[str, ...], round_labels: bool, on_unknown: str
) -> Iterator[dict[str, Any]]:
    labels: dict[str, list[float]] = {}
    for where, (identifier, *fields) in read_csv_rows(values, ["id", *compartments]):
        where = f"{where} (id {identifier[:60]!r})"
        if identifier in labels:
            raise ValueError(f"{where}: the id has a row already; keep one of them")
        labels[identifier] = _parse_labels(fields, compartments, round_labels, where)
    for record in SequenceFile(path, kind="fasta").records():
        where = f"{path}, {record.location} (id {record.id[:60]!r})"
        if record.id not in labels:
            raise ValueError(f"{where}: {values} has no row of this id; drop the record here or add a row there")
        sequence = check_sequence(record.sequence, where, on_unknown)
        yield {"id": record.id, "sequence": sequence, "labels": labels[record.id]}


def _parse_labels(fields: Sequence[str], compartments: tuple[str, ...], round_labels: bool, where: str) -> list[float]:
    check_count(where, "numbers", len(fields), len(compartments), f"one for each of {', '.join(compartments)}")
    numbers = [parse_number(field, where, name) for name, field in zip(compartments, fields, strict=True)]
    return to_distribution(numbers, where, round_labels)
