"""Files to submit to the Kaggle competitions on Ribonanza, OpenVaccine and RNA 3D folding.

Each writer takes the competition's test records and a prediction for each, in the same order, both of any length and
read once: a generator over a model's batches will do. Rows are written as they come, into a file beside the one named,
which takes its name once everything is there.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic_files import replacing
from .readers.degradation import OPENVACCINE_TARGETS
from .readers.reactivity import EXPERIMENT_TYPES

if TYPE_CHECKING:
    import pyarrow as pa

NUM_RNA3D_STRUCTURES = 5
"""Structures of each target in a submission to RNA 3D folding."""

_RIBONANZA_ORDER = ("DMS_MaP", "2A3_MaP")  # of the columns; a model's channels come the other way round
_DECIMALS = 4  # experimental errors are a hundred times larger
_COORDINATE_DECIMALS = 3  # as in a PDB file
_BATCH_ROWS = 1 << 17

Records = Iterable[Mapping[str, Any]]
Predictions = Iterable[Any]
_Block = tuple[dict[str, Any], np.ndarray]  # columns of ids; values (rows, value columns)


def write_ribonanza_submission(
    path: str | Path, records: Records, predictions: Predictions, channels: Sequence[str] = EXPERIMENT_TYPES
) -> int:
    """Write `id,reactivity_DMS_MaP,reactivity_2A3_MaP`, one row for each nucleotide.

    Args:
        path: the file, `.csv` or `.parquet`.
        records: `sequence`, `id_min` and `id_max` of each test sequence, as from `read_ribonanza_test`.
        predictions: (L, 2) reactivity of each; the competition's targets lie in 0..1.
        channels: what the predictions' columns are; RibonanzaNet's order, 2A3 first, is not the file's.

    Returns:
        Number of rows.

    Raises:
        ValueError: predictions do not fit the records, hold NaN, or the ids have gaps.

    Example:
        >>> records = [{"sequence": "GAC", "id_min": 0, "id_max": 2}]
        >>> write_ribonanza_submission("submission.csv", records, [[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]])
        3
    """
    if sorted(channels) != sorted(_RIBONANZA_ORDER):
        raise ValueError(f"channels is {list(channels)}; it must order {list(EXPERIMENT_TYPES)}")
    order = [list(channels).index(name) for name in _RIBONANZA_ORDER]

    def make_blocks() -> Iterator[_Block]:
        next_id: int | None = None
        for number, (record, prediction) in enumerate(_zip(records, predictions), start=1):
            length, first, last = len(record["sequence"]), int(record["id_min"]), int(record["id_max"])
            if last - first + 1 != length:
                raise ValueError(f"record {number}: ids {first} to {last} do not fit its {length} nucleotides")
            if next_id is not None and first != next_id:
                raise ValueError(
                    f"record {number}: its ids begin at {first} where {next_id} is due; give all test sequences in "
                    "the order of the file"
                )
            next_id = last + 1
            values = _check(prediction, (length, 2), number, "nucleotides, channels")
            yield {"id": np.arange(first, next_id)}, np.round(values[:, order], _DECIMALS)

    names = [f"reactivity_{name}" for name in _RIBONANZA_ORDER]
    return _write(Path(path), ["id"], names, make_blocks)


def write_openvaccine_submission(path: str | Path, records: Records, predictions: Predictions) -> int:
    """Write `id_seqpos,reactivity,deg_Mg_pH10,deg_pH10,deg_Mg_50C,deg_50C`, one row for each nucleotide.

    Args:
        path: the file, `.csv`.
        records: `id` and `sequence` of each test RNA, as from `read_openvaccine`.
        predictions: (L, 5) of each, channels in the order of `OPENVACCINE_TARGETS`, all nucleotides, scored or not.

    Returns:
        Number of rows.

    Raises:
        ValueError: predictions do not fit the records or hold NaN.
    """

    def make_blocks() -> Iterator[_Block]:
        for number, (record, prediction) in enumerate(_zip(records, predictions), start=1):
            length = len(record["sequence"])
            values = _check(prediction, (length, len(OPENVACCINE_TARGETS)), number, "nucleotides, targets")
            ids = [f"{record['id']}_{position}" for position in range(length)]  # 0-based
            yield {"id_seqpos": ids}, np.round(values, _DECIMALS)

    return _write(Path(path), ["id_seqpos"], list(OPENVACCINE_TARGETS), make_blocks)


def write_rna3d_submission(path: str | Path, records: Records, predictions: Predictions) -> int:
    """Write `ID,resname,resid,x_1,y_1,z_1,...,x_5,y_5,z_5`, one row for each nucleotide.

    Args:
        path: the file, `.csv`.
        records: `id` and `sequence` of each target, as from `read_rna3d`.
        predictions: (5, L, 3) coordinates of atom C1' of each, in angstrom: five structures, of which the best counts.

    Returns:
        Number of rows.

    Raises:
        ValueError: predictions do not fit the records or hold NaN.
    """

    def make_blocks() -> Iterator[_Block]:
        for number, (record, prediction) in enumerate(_zip(records, predictions), start=1):
            sequence = record["sequence"]
            shape = (NUM_RNA3D_STRUCTURES, len(sequence), 3)
            values = _check(prediction, shape, number, "structures, nucleotides, x y z")
            positions = np.arange(1, len(sequence) + 1)
            ids = [f"{record['id']}_{position}" for position in positions]
            rows = np.round(values, _COORDINATE_DECIMALS).transpose(1, 0, 2).reshape(len(sequence), -1)
            yield {"ID": ids, "resname": list(sequence), "resid": positions}, rows

    names = [f"{axis}_{number}" for number in range(1, NUM_RNA3D_STRUCTURES + 1) for axis in "xyz"]
    return _write(Path(path), ["ID", "resname", "resid"], names, make_blocks)


def _zip(records: Records, predictions: Predictions) -> Iterator[tuple[Mapping[str, Any], Any]]:
    nothing: Any = object()
    pairs = itertools.zip_longest(records, predictions, fillvalue=nothing)
    for number, (record, prediction) in enumerate(pairs, start=1):
        if record is nothing or prediction is nothing:
            few, many = ("records", "predictions") if record is nothing else ("predictions", "records")
            raise ValueError(f"there are {number - 1} {few} but more {many}; give one prediction for each record")
        yield record, prediction


def _check(prediction: Any, shape: tuple[int, ...], number: int, axes: str) -> np.ndarray:
    """Return a prediction in float64 once its shape fits and every value is finite."""
    values = np.asarray(prediction, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"the prediction of record {number} has shape {values.shape}; {shape} is needed ({axes})")
    if not np.isfinite(values).all():
        raise ValueError(f"the prediction of record {number} holds NaN or infinity, which Kaggle refuses; fill it in")
    return values


def _write(path: Path, id_names: list[str], names: list[str], make_blocks: Callable[[], Iterator[_Block]]) -> int:
    """Write blocks of rows, some at a time; return the number of rows."""
    suffixes = (".csv", ".parquet") if id_names == ["id"] else (".csv",)
    if path.suffix not in suffixes:
        raise ValueError(f"{path} ends in {path.suffix!r}; a submission is a {' or '.join(suffixes)} file")
    path.parent.mkdir(parents=True, exist_ok=True)
    num_rows = 0
    with replacing(path) as temporary:
        batches = _join_blocks(make_blocks(), id_names, names)
        first = next(batches, None)
        if first is None:
            raise ValueError(f"no records, so {path} would be empty; were they read already?")
        with _open_writer(temporary, path.suffix, first.schema) as write:
            for batch in itertools.chain([first], batches):
                write(batch)
                num_rows += batch.num_rows
    return num_rows


def _join_blocks(blocks: Iterator[_Block], id_names: list[str], names: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches of `_BATCH_ROWS` rows or a little more."""
    import pyarrow as pa

    held: list[_Block] = []
    num_rows = 0
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            held.append(block)
            num_rows += len(block[1])
        if held and (block is None or num_rows >= _BATCH_ROWS):
            ids = [np.concatenate([columns[name] for columns, _ in held]) for name in id_names]
            values = np.concatenate([rows for _, rows in held])
            yield pa.RecordBatch.from_arrays([pa.array(column) for column in (*ids, *values.T)], [*id_names, *names])
            held, num_rows = [], 0


@contextlib.contextmanager
def _open_writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Give a function that writes a batch."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if suffix == ".parquet":
        narrow = pa.schema([f if f.type != pa.float64() else f.with_type(pa.float32()) for f in schema])
        with pyarrow.parquet.ParquetWriter(path, narrow) as writer:
            yield lambda batch: writer.write_batch(batch.cast(narrow))
        return
    # The library would put the header's names in quotes.
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with open(path, "wb") as file:
        file.write((",".join(schema.names) + "\n").encode())
        with pyarrow.csv.CSVWriter(file, schema, write_options=options) as writer:
            yield writer.write
