"""Tables in memory, and which of a table's columns and values are read.

A data frame (pandas, polars), an Arrow table, a `datasets.Dataset`, a structured array or a dict of columns is read as
the same table in a file is. No library of frames is imported: their tables are told by what they have in common.
"""

import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .table_files import NUCLEOTIDE, POSITION

MISSING = "<NA>"
"""What a missing value becomes; in a text file these letters stand for the same."""

# Types of values that libraries put in the place of a missing one; two of them cannot be compared with themselves.
_MISSING_TYPES = ("NoneType", "NAType", "NaTType", "MaskedConstant")
_MIN_LETTERS_OF_DATA = 6


class Columns(NamedTuple):
    """The columns of a table in memory.

    Attributes:
        names: of the columns.
        read: takes a column's place, from 0, and returns its values.
    """

    names: list[str]
    read: Callable[[int], Iterable[Any]]


def columns_in_memory(value: Any) -> Columns | None:
    """Return the columns of a table; None for what is none, such as a list, a single column or rows one at a time."""
    if isinstance(value, Mapping):
        keys = list(value)
        is_table = bool(keys) and all(_is_column(value[key]) for key in keys)
        return Columns(list(map(str, keys)), lambda place: value[keys[place]]) if is_table else None
    if fields := getattr(getattr(value, "dtype", None), "names", None):  # a structured array of numpy
        return Columns(list(fields), lambda place: value[fields[place]])
    if hasattr(value, "iloc") and hasattr(value, "columns"):  # pandas
        return _pandas_columns(value)
    if not hasattr(value, "__len__"):
        # A stream of record batches; a data set that is read row by row has none.
        return columns_in_memory(_arrow_table(value)) if hasattr(value, "__arrow_c_stream__") else None
    names = getattr(value, "column_names", None) or getattr(value, "columns", None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    if not names or (hasattr(value, "schema") and hasattr(value, "column")):  # pyarrow, where a name may stand twice
        return Columns(names, lambda place: value.column(place))
    if _is_column(value[names[0]]):  # polars, datasets
        return Columns(names, lambda place: value[names[place]])
    return columns_in_memory(_arrow_table(value)) if hasattr(value, "__arrow_c_stream__") else None


def find_tables(value: Any) -> list[str]:
    """Return the names of the tables in a dict of them, such as a `datasets.DatasetDict`; empty for anything else."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return []
    tables = [item for item in value.values() if hasattr(item, "column_names") or hasattr(item, "columns")]
    return list(value) if tables and len(tables) == len(value) else []


def _is_column(value: Any) -> bool:
    # An array of no dimensions calls itself iterable.
    is_single = isinstance(value, (str, bytes, Mapping)) or getattr(value, "ndim", 1) == 0
    return isinstance(value, Iterable) and not is_single


def _pandas_columns(frame: Any) -> Columns:
    # A file of the frame would have its named index as columns.
    lowered = [str(name).strip().lower() for name in frame.columns]
    index = [str(name).strip().lower() for name in frame.index.names if name is not None]
    if any(name in ("id", "sequence") and name not in lowered for name in index):
        frame = frame.reset_index()
    return Columns([str(name) for name in frame.columns], lambda place: frame.iloc[:, place])


def _arrow_table(value: Any) -> Any:
    import pyarrow as pa

    return pa.table(value)


def find_sequence_columns(names: list[str], table: str) -> tuple[int, int | None]:
    """Return the places, from 0, of the columns `sequence` and `id` (None without one), whatever their case.

    Args:
        names: of the columns.
        table: what to call the table in messages.

    Raises:
        ValueError: there is no column `sequence`, or there are several.
    """
    lowered = [name.strip().lower() for name in names]
    if "sequence" not in lowered:
        shown = ", ".join(repr(name[:40]) for name in names[:20]) + (", ..." if len(names) > 20 else "")
        if names and names[0].startswith("@"):
            raise ValueError(f"{table} is no table: it begins as FASTQ does; name it .fastq")
        if {POSITION, NUCLEOTIDE} <= set(lowered):
            remedy = "predict from the file it was made of, or from a table made with --wide"
            raise ValueError(f"{table} has a row for each nucleotide; {remedy}")
        is_data = any(len(name) >= _MIN_LETTERS_OF_DATA and not set(name) - set("acgtun") for name in lowered)
        hint = "; rename the one with the RNAs" if names else ""
        if is_data:
            hint = "; is the line with the names of the columns missing?"
        elif len(names) == 1 and re.search(r"\bsequence\b", lowered[0]):
            hint = "; part columns by commas, semicolons or tabs"
        raise ValueError(f"{table} has no column 'sequence'; its columns are {shown or 'none at all'}{hint}")
    if lowered.count("sequence") > 1:
        raise ValueError(f"{table} has {lowered.count('sequence')} columns 'sequence'; rename all but one")
    return lowered.index("sequence"), lowered.index("id") if "id" in lowered else None


def plain_value(value: Any) -> Any:
    """Return a value of a column as Python has it, None for a missing one: `nan`, `pandas.NA`, a null of Arrow."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    if type(value).__name__ in _MISSING_TYPES or (isinstance(value, numbers.Real) and value != value):
        return None
    return value
