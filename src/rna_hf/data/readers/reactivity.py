"""Ribonanza (Kaggle 2023): reactivity to 2A3 and DMS, and the sequences to predict.

Source of the format: He et al., "Ribonanza: deep learning of RNA structure through dual crowdsourcing" (2024), and the
competition's data page.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..checks import check_sequence
from ..text_files import (
    LARGEST_VALUE,
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

EXPERIMENT_TYPES = ("2A3_MaP", "DMS_MaP")
"""The two experiments, in the order of RibonanzaNet's channels."""

_KEY_COLUMNS = ("sequence_id", "experiment_type", "dataset_name")
_VALUE_COLUMNS = ("sequence", "reads", "signal_to_noise", "SN_filter")
_TEST_COLUMNS = ("id_min", "id_max", "sequence_id", "sequence")
_REACTIVITY = re.compile(r"reactivity_\d+")
_ERROR = re.compile(r"reactivity_error_\d+")
# The name of a data set may end in the experiment, which would keep its two rows of a sequence apart.
_EXPERIMENT_TAG = re.compile(r"_(2A3|DMS)(?=_|$)")


def read_ribonanza(
    path: str | Path,
    *,
    experiment_types: Sequence[str] = EXPERIMENT_TYPES,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read Ribonanza's `train_data.csv`, one record for each sequence of a data set.

    The file has a row for each experiment, and the two rows of a sequence may lie far apart: nothing is assumed about
    their order. Rows are joined by `sequence_id` and `dataset_name`; where an experiment was repeated within a data
    set, its first rows make one record, its second rows another. Records come in the order of their first rows.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | `sequence_id`; it comes back where several data sets measured the sequence |
    | `sequence` | str | L nucleotides |
    | `dataset_name` | str | without the `_2A3` or `_DMS` in it |
    | `labels` | L x 2 float32 | reactivity, 1 is the data set's 90th percentile, unclipped; NaN where not measured |
    | `errors` | L x 2 float32 | its standard error |
    | `signal_to_noise` | 2 float32 | NaN for an experiment without a row |
    | `reads` | 2 int64 | 0 for an experiment without a row |
    | `sn_filter` | 2 bool | whether the profile passed the authors' filter |

    The records suit `DataCollatorForReactivity`. Memory: 29 bytes for each row of the file (under 50 MB for the real
    one) besides one record; sorting them takes five times that for a moment.

    Args:
        path: the file.
        experiment_types: order of the two channels.
        streaming: return an `IterableDataset`; it first reads the file once to find the rows that belong together.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a column is missing, or a row contradicts itself or its sequence's other row.
    """
    from datasets import Features, List, Value

    path = check_file(path)
    if sorted(experiment_types) != sorted(EXPERIMENT_TYPES):
        raise ValueError(f"experiment_types is {list(experiment_types)}; it must order {list(EXPERIMENT_TYPES)}")
    with open_binary(path) as file:
        _Columns.find(path, read_header(file))
    features = Features(
        {
            "id": Value("string"),
            "sequence": Value("string"),
            "dataset_name": Value("string"),
            "labels": List(List(Value("float32"), length=2)),
            "errors": List(List(Value("float32"), length=2)),
            "signal_to_noise": List(Value("float32"), length=2),
            "reads": List(Value("int64"), length=2),
            "sn_filter": List(Value("bool"), length=2),
        }
    )
    arguments = {"path": path, "experiment_types": tuple(experiment_types)}
    return make_dataset(_read_profiles, arguments, features, [path], streaming, cache_dir)


def read_ribonanza_test(
    path: str | Path, *, streaming: bool = False, cache_dir: str | Path | None = None
) -> Dataset | IterableDataset:
    """Read Ribonanza's `test_sequences.csv`.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | `sequence_id` |
    | `sequence` | str | L nucleotides |
    | `id_min`, `id_max` | int64 | first and last nucleotide's id in the submission; `id_max - id_min + 1` is L |

    Args:
        path: the file.
        streaming: return an `IterableDataset` that reads as it goes.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a column is missing, or the ids don't fit the sequence.
    """
    from datasets import Features, Value

    path = check_file(path)
    with open_binary(path) as file:
        find_columns(path, read_header(file), _TEST_COLUMNS)
    features = Features(
        {"id": Value("string"), "sequence": Value("string"), "id_min": Value("int64"), "id_max": Value("int64")}
    )
    return make_dataset(_read_test_sequences, {"path": path}, features, [path], streaming, cache_dir)


def _read_test_sequences(path: Path) -> Iterator[dict[str, Any]]:
    for where, (first, last, identifier, sequence) in read_csv_rows(path, _TEST_COLUMNS):
        check_sequence(sequence, where)
        try:
            id_min, id_max = int(first), int(last)
        except ValueError as error:
            shown = f"id_min {first[:40]!r} and id_max {last[:40]!r}"
            raise ValueError(f"{where}: {shown} must be whole numbers; correct or drop the record") from error
        if not max(abs(id_min), abs(id_max)) < 2**63:
            raise ValueError(f"{where}: id_min {first[:40]} or id_max {last[:40]} is too large; correct the record")
        check_count(where, "ids (id_min to id_max)", id_max - id_min + 1, len(sequence), "one for each nucleotide")
        yield {"id": identifier, "sequence": sequence, "id_min": id_min, "id_max": id_max}


@dataclass(frozen=True)
class _Columns:
    """Where the columns of `train_data.csv` are."""

    num_columns: int
    keys: tuple[int, ...]
    values: tuple[int, ...]
    reactivity: tuple[int, ...]
    errors: tuple[int, ...]
    delimiter: str
    num_lines: int

    @classmethod
    def find(cls, path: Path, names: Header) -> _Columns:
        keys = find_columns(path, names, _KEY_COLUMNS)
        values = find_columns(path, names, _VALUE_COLUMNS)
        reactivity = _find_numbered(path, names, _REACTIVITY, "reactivity")
        errors = _find_numbered(path, names, _ERROR, "reactivity_error")
        where = f"{path}, line {names.num_lines}"
        check_count(where, "columns reactivity_error_*", len(errors), len(reactivity), "as many as reactivity_*")
        return cls(len(names), tuple(keys), tuple(values), reactivity, errors, names.delimiter, names.num_lines)


def _find_numbered(path: Path, names: list[str], pattern: re.Pattern[str], stem: str) -> tuple[int, ...]:
    """Return the places of columns that are numbered from 1."""
    count = sum(pattern.fullmatch(name) is not None for name in names)
    return tuple(find_columns(path, names, [f"{stem}_{number:04d}" for number in range(1, max(count, 1) + 1)]))


def _read_profiles(path: Path, experiment_types: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with open_binary(path, is_seekable=True) as file:
        columns = _Columns.find(path, read_header(file))
        offsets, lines, pairs = _find_pairs(file, path, columns, experiment_types)
        for pair in pairs.tolist():
            record: dict[str, Any] = {}
            for channel, row in enumerate(pair):
                if row >= 0:
                    file.seek(int(offsets[row]))
                    fields = split_line(file.readline(), delimiter=columns.delimiter)
                    _add_profile(record, channel, fields, columns, f"{path}, line {lines[row]}")
            yield {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in record.items()}


def _find_pairs(
    file: IO[bytes], path: Path, columns: _Columns, experiment_types: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read all rows once and tell which belong together.

    Returns:
        (N,) place of each row in the file (bytes); (N,) its line (1-based); (R, 2) the rows of each record by channel,
        -1 where there is none.
    """
    keys, offsets, lines, channels = array("Q"), array("Q"), array("I"), array("B")
    max_split = max(columns.keys) + 1
    id_place, type_place, name_place = columns.keys
    offset = file.tell()
    for number, line in enumerate(file, start=columns.num_lines + 1):
        if not line.isspace():
            fields = split_line(line, max_split, columns.delimiter)
            if len(fields) < max_split:
                raise ValueError(f"{path}, line {number}: only {len(fields)} fields; the row is cut off")
            experiment_type = fields[type_place]
            if experiment_type not in experiment_types:
                raise ValueError(
                    f"{path}, line {number}: experiment_type is {experiment_type[:40]!r}; "
                    f"{' and '.join(EXPERIMENT_TYPES)} are known: drop the other rows"
                )
            key = f"{fields[id_place]}\n{_EXPERIMENT_TAG.sub('', fields[name_place])}".encode()
            keys.append(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little"))
            offsets.append(offset)
            lines.append(number)
            channels.append(experiment_types.index(experiment_type))
        offset += len(line)
    return np.asarray(offsets), np.asarray(lines), _pair_rows(np.asarray(keys), np.asarray(channels))


def _pair_rows(keys: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Pair the n-th row of one channel with the n-th row of the other that has the same key.

    Args:
        keys: (N,) what both rows of a record have in common.
        channels: (N,) 0 or 1.

    Returns:
        (R, 2) row numbers, -1 where a channel has no row, in the order of the first row of each.
    """
    size = len(keys)
    order = np.lexsort((channels, keys))  # stable: equal rows stay in the order of the file
    is_first = np.ones(size, dtype=bool)
    is_first[1:] = (np.diff(keys[order]) != 0) | (np.diff(channels[order].astype(np.int8)) != 0)
    starts = np.flatnonzero(is_first)
    repeat = np.empty(size, dtype=np.int64)
    repeat[order] = np.arange(size) - np.repeat(starts, np.diff(np.append(starts, size)))

    order = np.lexsort((repeat, keys))
    is_first[1:] = (np.diff(keys[order]) != 0) | (np.diff(repeat[order]) != 0)
    record = np.empty(size, dtype=np.int64)
    record[order] = np.cumsum(is_first) - 1
    pairs = np.full((int(is_first.sum()), 2), -1, dtype=np.int64)
    pairs[record, channels] = np.arange(size)
    return pairs[np.argsort(np.where(pairs < 0, size, pairs).min(axis=1))]


def _add_profile(record: dict[str, Any], channel: int, fields: list[str], columns: _Columns, where: str) -> None:
    """Put one row of the file into its channel of the record."""
    check_fields(where, fields, columns.num_columns)
    identifier, _, dataset_name = (fields[place] for place in columns.keys)
    sequence, *values = (fields[place] for place in columns.values)
    if not record:
        length = len(check_sequence(sequence, where))
        if length > len(columns.reactivity):
            raise ValueError(
                f"{where}: the sequence has {length} nucleotides, but there are only {len(columns.reactivity)} "
                "columns reactivity_*; the file is cut off on the right"
            )
        record |= {
            "id": identifier,
            "sequence": sequence,
            "dataset_name": _EXPERIMENT_TAG.sub("", dataset_name),
            "labels": np.full((length, 2), np.nan, dtype=np.float32),
            "errors": np.full((length, 2), np.nan, dtype=np.float32),
            "signal_to_noise": np.full(2, np.nan, dtype=np.float32),
            "reads": np.zeros(2, dtype=np.int64),
            "sn_filter": np.zeros(2, dtype=bool),
        }
    elif sequence != record["sequence"]:
        raise ValueError(
            f"{where}: the sequence differs from that of the other experiment of {identifier[:60]!r}; "
            "correct one of them"
        )
    names = ("reads", "signal_to_noise", "SN_filter")
    reads, signal_to_noise, sn_filter = (parse_finite(field, where, name) for field, name in zip(values, names))
    if not 0 <= reads < 2**63:
        raise ValueError(f"{where}: reads is {values[0][:40]!r}; a count of 0 or more is needed")
    record["reads"][channel] = int(reads)
    record["signal_to_noise"][channel] = signal_to_noise
    record["sn_filter"][channel] = sn_filter == 1
    for name, places in (("labels", columns.reactivity), ("errors", columns.errors)):
        profile = _parse_profile([fields[place] for place in places], where)
        length = len(record["sequence"])
        if not np.isnan(profile[length:]).all():
            raise ValueError(
                f"{where}: {name} go on to position {np.flatnonzero(~np.isnan(profile))[-1] + 1} (1-based), "
                f"but the sequence has {length} nucleotides; correct or drop the row"
            )
        record[name][:, channel] = profile[:length]


def _parse_profile(fields: list[str], where: str) -> np.ndarray:
    """Return a profile's values in float32, NaN where the field is empty."""
    try:
        values = np.array([float(field) if field else np.nan for field in fields])
        if not (np.abs(values) > LARGEST_VALUE).any():
            return values.astype(np.float32)
    except ValueError:
        pass
    # Slower, but it finds the field.
    return np.array([parse_finite(field, where, "a reactivity or its error") for field in fields], dtype=np.float32)
