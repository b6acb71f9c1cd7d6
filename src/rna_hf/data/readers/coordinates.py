"""Stanford RNA 3D Folding (Kaggle 2025): sequences and C1' coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks import check_sequence
from ..text_files import (
    Header,
    check_count,
    check_fields,
    check_file,
    find_columns,
    open_binary,
    parse_finite,
    read_csv_rows,
    read_header,
    split_line,
)
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

_SEQUENCE_COLUMNS = ("target_id", "sequence", "temporal_cutoff")
# The files say -1e18 for an atom that was not resolved; no coordinate comes near.
_MISSING_BELOW = -1e17
_NUCLEOTIDES = frozenset("ACGU")


def read_rna3d(
    sequences: str | Path,
    labels: str | Path | None = None,
    *,
    all_conformations: bool = False,
    on_unknown: str = "error",
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read Stanford RNA 3D Folding's `train_sequences.csv` and `train_labels.csv`, or those of another split.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | `target_id`, such as `1SCL_A` |
    | `sequence` | str | L nucleotides |
    | `temporal_cutoff` | str | date of publication, as written (`1995-01-26`) |
    | `coordinates` | L x 3 float32 | atom C1' in angstrom, NaN where it was not resolved; absent without `labels` |
    | `conformations` | C x L x 3 float32 | with `all_conformations`: all of them, `coordinates` first |

    The training file has one conformation of each target, the validation file up to 40, against the best of which a
    prediction is scored. Those without any atom are left out (of a target without any at all, the first is kept).
    Records come in the order of `sequences`; labels of other targets are ignored, so `sequences` may be a selection.

    Args:
        sequences: the file of sequences.
        labels: the file of coordinates, with all rows of a target together and in the order of its nucleotides.
        all_conformations: add the column `conformations`.
        on_unknown: what to do with a letter that is not RNA (the training file has a few): `error`, or `n` to read it
            as N.
        streaming: return an `IterableDataset` that reads as it goes; it first reads `labels` once to find the targets.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a column or the labels of a target are missing, or labels don't fit the sequence.
    """
    from datasets import Features, List, Value

    sequences = check_file(sequences)
    with open_binary(sequences) as file:
        find_columns(sequences, read_header(file), _SEQUENCE_COLUMNS)
    columns: dict[str, Any] = {name: Value("string") for name in ("id", "sequence", "temporal_cutoff")}
    files = [sequences]
    if labels is not None:
        labels = check_file(labels)
        with open_binary(labels) as file:
            _LabelColumns.find(labels, read_header(file))
        files.append(labels)
        columns["coordinates"] = List(List(Value("float32"), length=3))
        if all_conformations:
            columns["conformations"] = List(columns["coordinates"])
    arguments = {
        "sequences": sequences,
        "labels": labels,
        "all_conformations": all_conformations,
        "on_unknown": on_unknown,
    }
    return make_dataset(_read_records, arguments, Features(columns), files, streaming, cache_dir)


class _LabelColumns(NamedTuple):
    """Where the columns of a file of coordinates are."""

    num_columns: int
    names: list[int]
    coordinates: list[int]
    delimiter: str
    num_lines: int

    @classmethod
    def find(cls, path: Path, header: Header) -> _LabelColumns:
        number = max(sum(name.startswith("x_") for name in header), 1)
        coordinates = [f"{axis}_{conformation}" for conformation in range(1, number + 1) for axis in "xyz"]
        names = find_columns(path, header, ("ID", "resname", "resid"))
        places = find_columns(path, header, coordinates)
        return cls(len(header), names, places, header.delimiter, header.num_lines)


class _Target(NamedTuple):
    """Where the rows of a target are."""

    offset: int
    line: int
    num_rows: int


def _read_records(
    sequences: Path, labels: Path | None, all_conformations: bool, on_unknown: str
) -> Iterator[dict[str, Any]]:
    if labels is None:
        yield from (record for _, record in _read_sequences(sequences, on_unknown))
        return
    with open_binary(labels, is_seekable=True) as file:
        columns = _LabelColumns.find(labels, read_header(file))
        targets: dict[str, _Target] = {}
        offset = file.tell()
        place = columns.names[0]
        for number, line in enumerate(file, start=columns.num_lines + 1):
            if not line.isspace():
                _count_row(targets, split_line(line, place + 1, columns.delimiter)[place], offset, number, labels)
            offset += len(line)
        for where, record in _read_sequences(sequences, on_unknown):
            target = targets.get(record["id"])
            if target is None:
                raise ValueError(
                    f"{where}: {labels} has no rows of {record['id'][:60]!r}; drop it here or add it there"
                )
            where = f"{labels}, target {record['id'][:60]!r}"
            check_count(where, "rows", target.num_rows, len(record["sequence"]), "one for each nucleotide")
            file.seek(target.offset)
            rows = [split_line(file.readline(), delimiter=columns.delimiter) for _ in range(target.num_rows)]
            conformations = _parse_rows(rows, columns, record["sequence"], labels, target.line)
            record["coordinates"] = conformations[0].tolist()
            if all_conformations:
                record["conformations"] = conformations.tolist()
            yield record


def _read_sequences(path: Path, on_unknown: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, (identifier, sequence, cutoff) in read_csv_rows(path, _SEQUENCE_COLUMNS):
        where = f"{where} (target_id {identifier[:60]!r})"
        sequence = check_sequence(sequence, where, on_unknown)
        yield where, {"id": identifier, "sequence": sequence, "temporal_cutoff": cutoff}


def _count_row(targets: dict[str, _Target], identifier: str, offset: int, line: int, path: Path) -> None:
    """Count a row of the file of coordinates to its target."""
    name = identifier.rpartition("_")[0]  # a target's own name may hold underscores: 1SCL_A_1
    target = targets.get(name)
    if target is None:
        targets[name] = _Target(offset, line, 1)
    elif line == target.line + target.num_rows:
        targets[name] = target._replace(num_rows=target.num_rows + 1)
    else:
        raise ValueError(
            f"{path}, line {line}: the rows of {name[:60]!r} began at line {target.line}; put them together"
        )


def _parse_rows(
    rows: list[list[str]], columns: _LabelColumns, sequence: str, path: Path, first_line: int
) -> np.ndarray:
    """Return a target's coordinates, (C, L, 3) in angstrom and float32, conformations without any atom left out."""
    coordinates = np.empty((len(rows), len(columns.coordinates)), dtype=np.float64)
    for index, row in enumerate(rows):
        where = f"{path}, line {first_line + index}"
        check_fields(where, row, columns.num_columns)
        _, resname, resid = (row[place] for place in columns.names)
        if resid != str(index + 1):
            raise ValueError(
                f"{where}: resid is {resid[:40]!r} where {index + 1} (1-based) is due; sort the target's rows"
            )
        expected = sequence[index].upper().replace("T", "U")
        if {resname, expected} <= _NUCLEOTIDES and resname != expected:
            raise ValueError(f"{where}: resname is {resname[:40]!r}, but the sequence has {sequence[index]!r} there")
        coordinates[index] = [parse_finite(row[place], where, "a coordinate") for place in columns.coordinates]
    coordinates[coordinates < _MISSING_BELOW] = np.nan
    conformations = coordinates.reshape(len(rows), -1, 3).transpose(1, 0, 2).astype(np.float32)
    resolved = np.flatnonzero(~np.isnan(conformations).all(axis=(1, 2)))
    return conformations[resolved if len(resolved) else [0]]
