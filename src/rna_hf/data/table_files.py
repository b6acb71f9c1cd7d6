"""Files of tables, written part by part: parquet, CSV with a row for each RNA or for each nucleotide, JSON lines.

A float32 is written as the shortest number that gives it back exactly, what is missing as an empty field or null.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("parquet", "csv", "jsonl")

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
