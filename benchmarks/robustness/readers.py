"""How each reader is called, and what has to be true of what it read: checks of their own, not the package's."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rna_hf.data import readers
from rna_hf.data.checks import SequenceChecker
from rna_hf.data.readers import shape
from rna_hf.data.sources import open_sequences
from rna_hf.structure import SecondaryStructure, read_structures, read_trace

from .mutations import IUPAC
from .odd_values import odd_input

_KNOWN = "ACGUT"


class Misread(Exception):
    """What was read cannot be what the file says."""


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Let `datasets` pass a reader's records on as they are typed: its own bookkeeping takes ten times the reading."""
    import datasets

    def stream(generator: Callable[..., Any], features: Any, gen_kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return (features.encode_example(record) for record in generator(**gen_kwargs))

    kept = datasets.IterableDataset.from_generator
    datasets.IterableDataset.from_generator = staticmethod(stream)
    try:
        yield
    finally:
        datasets.IterableDataset.from_generator = kept


def _need(is_true: bool, what: str) -> None:
    if not is_true:
        raise Misread(what)


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_rna(sequence: str, is_known: bool = False) -> None:
    letters = sequence.upper()
    _need(bool(letters) and sequence.isascii() and set(letters) <= set(IUPAC), f"read as RNA: {sequence[:60]!r}")
    known = sum(letter in _KNOWN for letter in letters)
    _need(not is_known or 2 * known >= len(letters), f"predicted with {known} known letters: {sequence[:60]!r}")


def _check_pairs(pairs: Iterable[Any], length: int) -> None:
    ends = [end for pair in pairs for end in pair]
    _need(len(set(ends)) == len(ends) and all(0 <= end < length for end in ends), "pairs that are none")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value


def _check_records(records: Iterable[dict[str, Any]]) -> int:
    count = 0
    for record in records:
        count += 1
        _check_rna(record["sequence"])
        for name, value in record.items():
            _need(not isinstance(value, str) or _is_whole(value), f"{name} that cannot be written")
            _need(not any(map(math.isinf, _numbers(value))), f"infinite {name}")
        length = len(record["sequence"])
        for name in ("labels", "errors", "reactivity", "coordinates"):
            if name in record and not (name == "labels" and record[name] and isinstance(record[name][0], float)):
                _need(len(record[name]) == length, f"{len(record[name])} {name} of {length} nucleotides")
        _check_pairs(record.get("pairs", ()), length)
    return count


def _predict(inputs: Any) -> int:
    """Do what a prediction does with its input before the model."""
    with open_sequences(inputs, keep_columns=True) as source:
        source.digest()
        checker = SequenceChecker(source)
        checker.check()
        count = 0
        for record in checker.usable():
            _check_rna(record.sequence, is_known=True)
            _need(bool(record.id) and _is_whole(record.id), f"id {record.id!r}")
            count += 1
    return count


def _structures(path: Path) -> int:
    found = read_structures(path)
    for structure in found:
        _need(isinstance(structure, SecondaryStructure), "no structure")
        _check_pairs(structure.pairs, len(structure.sequence))
    return len(found)


def _trace(path: Path) -> int:
    trace = read_trace(path)
    _need(len(trace.sequence) == len(trace.coordinates) == len(trace.residue_numbers), "a trace of several lengths")
    _need(set(trace.sequence) <= set("ACGUN"), f"letters {trace.sequence[:60]!r}")
    _need(not any(map(math.isinf, trace.coordinates.ravel().tolist())), "infinite coordinates")
    return 1


def _long_table(path: Path) -> int:
    """Read as a training does what a prediction wrote."""
    import csv

    from datasets import Dataset

    from rna_hf.data.long_tables import group_nucleotides

    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(rows[0])
        columns = {name: [_typed(row[name]) for row in rows] for name in names}
        dataset = Dataset.from_dict(columns)
        is_readable = {"id", "position", "nucleotide"} <= set(dataset.column_names)
    except Exception:  # the fuzz's own table, not the package's
        return 0
    if not is_readable:
        return 0
    found = group_nucleotides(dataset, ["reactivity"], str(path))  # whether it is RNA, the training asks
    for row in found:
        _need(len(row["sequence"]) == len(row.get("reactivity", row["sequence"])), "rows of another RNA")
    return len(found)


def _typed(field: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(field)
        except (TypeError, ValueError):
            continue
    return field


def _stream(name: str, **options: Any) -> Callable[[Path, Path], int]:
    return lambda path, beside: _check_records(readers.READERS[name](path, streaming=True, **options))


READS: dict[str, Callable[[Path, Path], int]] = {
    "prediction": lambda path, beside: _predict(path),
    "long table": lambda path, beside: _long_table(path),
    **{name: _stream(name) for name in readers.READERS},
    "localisation of two": lambda path, beside: _check_records(
        readers.read_localisation(path, compartments=("Cytosol", "Nuclear"), streaming=True)
    ),
    "localisation and fasta": lambda path, beside: _check_records(
        readers.read_localisation(beside, path, streaming=True)
    ),
    "rna3d labels": lambda path, beside: _check_records(
        readers.read_rna3d(beside, path, all_conformations=True, on_unknown="n", streaming=True)
    ),
    "shape with sequences": lambda path, beside: _check_records(readers.read_shape(path, beside, streaming=True)),
    "sequences of shape": lambda path, beside: len(shape._read_sequences(path)),
    "structure files": lambda path, beside: _structures(path),
    "trace": lambda path, beside: _trace(path),
}
"""Each takes a file and the one beside it, and returns how many records it read."""


def read_memory(rng: random.Random) -> int:
    """Hand an odd value to a prediction and return how many of its records pass."""
    return _predict(odd_input(rng))
