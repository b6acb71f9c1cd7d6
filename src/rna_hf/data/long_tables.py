"""Tables with a row for each nucleotide, as `rna-hf predict --format csv` writes them, back into rows of RNAs."""

from collections.abc import Collection, Sequence
from typing import Any

from .table_files import NUCLEOTIDE, POSITION

# Tells rows of the same RNA apart, beside its id.
_SAMPLE = "sample"


def is_long(names: Collection[str]) -> bool:
    """Tell whether a table with these columns has a row for each nucleotide."""
    return {POSITION, NUCLEOTIDE} <= set(names) and "sequence" not in names


def group_nucleotides(dataset: Any, per_nucleotide: Collection[str], file: str) -> Any:
    """Return a data set with a row for each RNA.

    Args:
        dataset: a `datasets.Dataset` with `id`, `position` (1, 2, ... within each RNA), `nucleotide`, and perhaps
            `sample`; an RNA's rows follow each other.
        per_nucleotide: columns that become lists; of the others an RNA's first value is kept.
        file: for messages.

    Returns:
        A data set with `id`, `sequence` and the other columns.

    Raises:
        ValueError: a row is missing, has no place, or is no nucleotide.
    """
    from datasets import Dataset

    if "id" not in dataset.column_names:
        raise ValueError(f"{file} has a row for each nucleotide, but no column 'id' that tells the RNAs apart")
    keys = [name for name in ("id", _SAMPLE) if name in dataset.column_names]
    positions, nucleotides = dataset[POSITION][:], dataset[NUCLEOTIDE][:]
    for row, (position, nucleotide) in enumerate(zip(positions, nucleotides, strict=True), start=1):
        if not isinstance(nucleotide, str) or len(nucleotide) != 1:
            raise ValueError(f"{file}, row {row}: nucleotide is {str(nucleotide)[:40]!r}; one letter is needed")
        if not isinstance(position, int):
            raise ValueError(f"{file}, row {row}: position is {str(position)[:40]!r}; a whole number is needed")
    starts = _starts([dataset[key][:] for key in keys], positions, file)
    ends = [*starts[1:], len(positions)]
    columns: dict[str, list[Any]] = {key: [dataset[key][start] for start in starts] for key in keys}
    columns["id"] = [str(value) for value in columns["id"]]
    columns["sequence"] = ["".join(nucleotides[start:end]) for start, end in zip(starts, ends)]
    for name in dataset.column_names:
        if name in (*keys, POSITION, NUCLEOTIDE):
            continue
        values = dataset[name][:]
        if name in per_nucleotide:
            columns[name] = [values[start:end] for start, end in zip(starts, ends)]
        else:
            columns[name] = [values[start] for start in starts]
    return Dataset.from_dict(columns)


def _starts(keys: Sequence[Sequence[Any]], positions: Sequence[int], file: str) -> list[int]:
    """Return the row, from 0, at which each RNA begins."""
    starts: list[int] = []
    seen = set()
    last: tuple[Any, ...] | None = None
    for row, (position, *key) in enumerate(zip(positions, *keys, strict=True)):
        here = tuple(key)
        if here != last:
            if here in seen:
                raise ValueError(
                    f"{file}, row {row + 1}: rows of {here[0]!r} stand apart; sort them by id and position"
                )
            seen.add(here)
            starts.append(row)
            last = here
        expected = row - starts[-1] + 1
        if position != expected:
            raise ValueError(
                f"{file}, row {row + 1} (id {str(here[0])[:60]!r}): position is {position}, {expected} was to come; "
                "each nucleotide of an RNA needs its row, in order"
            )
    return starts
