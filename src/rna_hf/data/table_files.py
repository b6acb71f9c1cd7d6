"""Files of tables, written part by part: parquet, CSV with a row for each RNA or for each nucleotide, JSON lines.

A float32 is written as the shortest number that gives it back exactly, what is missing as an empty field or null.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("parquet", "csv", "jsonl", "npz", "h5")
TEXT_AND_PARQUET = FORMATS[:3]
VECTOR_FORMATS = ("parquet", "npz", "h5")

# The columns of a table with a row for each nucleotide that stand for `sequence`.
POSITION = "position"
NUCLEOTIDE = "nucleotide"

# A stretch of an RNA, 0-based, the end not included, and what is to be said of it.
Remark = tuple[int, int, str]


def write_parquet(path: Path, tables: Iterable["pa.Table"], schema: "pa.Schema") -> None:
    """Write tables of a schema, one at a time, to one parquet file."""
    import pyarrow.parquet as pq

    with open(path, "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for table in tables:
            writer.write_table(table)


def write_csv(path: Path, tables: Iterable["pa.Table"], schema: "pa.Schema") -> None:
    """Write a row for each row; lists as JSON."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.names)
        for table in tables:
            writer.writerows(zip(*(_texts(table.column(name)) for name in schema.names)))


def write_jsonl(path: Path, tables: Iterable["pa.Table"], schema: "pa.Schema") -> None:
    """Write an object for each row."""
    with open(path, "w", encoding="utf-8") as file:
        for table in tables:
            for values in zip(*(_texts(table.column(name), json.dumps) for name in schema.names)):
                fields = (
                    f"{json.dumps(name)}: {'null' if value is None else value}"
                    for name, value in zip(schema.names, values)
                )
                file.write("{" + ", ".join(fields) + "}\n")


def write_long_csv(
    path: Path,
    tables: Iterable["pa.Table"],
    schema: "pa.Schema",
    remark_column: str,
    find_remarks: Callable[[str], Sequence[Remark]],
) -> None:
    """Write a row for each nucleotide, as a spreadsheet or ggplot reads it.

    Columns: `id`, whole numbers that tell an RNA's rows apart, `position` (from 1), `nucleotide` (as given), one column
    for each list, what else the RNA has, the same in each of its rows, and the remarks on the nucleotide.

    Args:
        path: the file.
        tables: with `id`, `sequence` and lists of numbers as long as the sequence.
        schema: of the tables.
        remark_column: text that is replaced by the remarks on each nucleotide.
        find_remarks: takes a sequence and returns what is to be said of stretches of it.
    """
    import pyarrow as pa

    kinds = {field.name: field.type for field in schema if field.name not in ("id", "sequence", remark_column)}
    lists = [name for name, kind in kinds.items() if pa.types.is_list(kind)]
    places = [name for name, kind in kinds.items() if kind == pa.int32()]
    others = [name for name in kinds if name not in lists and name not in places]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *places, POSITION, NUCLEOTIDE, *lists, *others, remark_column])
        for table in tables:
            of_rna = zip(*(_texts(table.column(name)) for name in ("id", *places)))
            of_nucleotides = zip(*(_lists(table.column(name)) for name in lists))
            rests = zip(*(_texts(table.column(name)) for name in others)) if others else ((),) * table.num_rows
            sequences = table.column("sequence").to_pylist()
            for sequence, first, values, rest in zip(sequences, of_rna, of_nucleotides, rests, strict=True):
                remarks = _spread(find_remarks(sequence), len(sequence))
                for place, row in enumerate(zip(sequence, *values, strict=True)):
                    writer.writerow((*first, place + 1, *row, *rest, remarks[place]))


def _spread(remarks: Sequence[Remark], length: int) -> list[str]:
    """Return what is to be said of each of so many nucleotides."""
    texts: list[str] = [""] * length
    for start, end, text in remarks:
        for place in range(start, end):
            texts[place] = f"{texts[place]}; {text}" if texts[place] else text
    return texts


def _texts(column: "pa.ChunkedArray", quote: Callable[[str], str] = str) -> Iterator[str | None]:
    """Yield a column as text: a list as a JSON list, None for what is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        for text in column.to_pylist():
            yield None if text is None else quote(text)
    elif pa.types.is_list(column.type):
        for numbers in _lists(column):
            yield "[" + ", ".join(numbers) + "]"
    else:
        yield from pc.cast(column, pa.string()).to_pylist()


def _lists(column: "pa.ChunkedArray") -> Iterator[list[str]]:
    """Yield the numbers of each list of a column as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for array in column.chunks:
        numbers = pc.cast(array.flatten(), pa.string()).to_pylist()
        start = 0
        for length in pc.list_value_length(array).to_pylist():
            yield numbers[start : start + length]
            start += length


def write_npz(path: Path, tables: Iterable["pa.Table"], schema: "pa.Schema") -> None:
    """Write `id` and one column of vectors as arrays of NumPy: `ids` and `embeddings`.

    `embeddings` is (RNAs, H); of a vector for each nucleotide it is (all nucleotides, H), and `lengths` (RNAs,) says
    how many of its rows each RNA has, in order. Goes through the tables more than once, with one in memory.
    """
    import zipfile

    import numpy as np

    lengths, width = _count_rows(tables, schema)
    ids = np.array([identifier for table in tables for identifier in table.column("id").to_pylist()], dtype=str)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"ids": ids, **({"lengths": lengths} if _is_matrix(schema) else {})}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        with archive.open("embeddings.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (int(lengths.sum()), width)}
            np.lib.format.write_array_header_2_0(file, header)
            for rows in _vectors(tables, schema):
                file.write(rows.astype("<f4").tobytes())


def write_h5(path: Path, tables: Iterable["pa.Table"], schema: "pa.Schema") -> None:
    """Write what `write_npz` writes as data sets of an HDF5 file."""
    import numpy as np

    h5py = import_h5py()
    lengths, width = _count_rows(tables, schema)
    with h5py.File(path, "w") as file:
        ids = [identifier for table in tables for identifier in table.column("id").to_pylist()]
        file.create_dataset("ids", data=np.array(ids, dtype=object), dtype=h5py.string_dtype())
        if _is_matrix(schema):
            file.create_dataset("lengths", data=lengths)
        embeddings = file.create_dataset("embeddings", (int(lengths.sum()), width), dtype="<f4")
        start = 0
        for rows in _vectors(tables, schema):
            embeddings[start : start + len(rows)] = rows
            start += len(rows)


def import_h5py() -> Any:
    """Return the package h5py.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("format h5 needs the package h5py: pip install 'rna-hf[h5]'") from error
    return h5py


def _is_matrix(schema: "pa.Schema") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(schema.field(schema.names[1]).type.value_type))


def _count_rows(tables: Iterable["pa.Table"], schema: "pa.Schema") -> tuple[Any, int]:
    """Return how many vectors each row has, and how many numbers a vector."""
    import numpy as np
    import pyarrow.compute as pc

    counts: list[int] = []
    width = 0
    for table in tables:
        column = table.column(schema.names[1])
        is_matrix = _is_matrix(schema)
        counts += pc.list_value_length(column).to_pylist() if is_matrix else [1] * table.num_rows
        if table.num_rows and not width:
            first = column.combine_chunks()
            width = len(first.flatten()[0] if is_matrix else first[0])
    return np.array(counts, dtype=np.int64), width


def _vectors(tables: Iterable["pa.Table"], schema: "pa.Schema") -> Iterator[Any]:
    """Yield the vectors of each table, (rows, H)."""
    for table in tables:
        array = table.column(schema.names[1]).combine_chunks()
        numbers = array.flatten().flatten() if _is_matrix(schema) else array.flatten()
        _, width = _count_rows([table], schema)
        yield numbers.to_numpy().reshape(-1, width)


WRITERS = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "npz": write_npz,
    "h5": write_h5,
}
"""What writes a file of each of `FORMATS`."""
