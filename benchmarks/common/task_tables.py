"""Tables that `python -m recipes.ribonanzanet_mini.task_tables` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_rows(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read a table.

    Args:
        path: parquet, named `TASK_PART.parquet`.
        columns: None for all.

    Raises:
        FileNotFoundError: it has not been written.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        task = path.name.partition("_")[0]
        raise FileNotFoundError(
            f"{path} not found; write it with `python -m recipes.ribonanzanet_mini.task_tables {task}`"
        )
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows


def find_similar(train: Sequence[str], sequences: Sequence[str]) -> set[int]:
    """Return the indices of the sequences that are similar to one of training; see `rna_hf.data.cluster_split`."""
    from rna_hf.data.cluster_split import report_leakage

    leakage = report_leakage(train, sequences)
    return {*leakage.exact.tolist(), *leakage.near.tolist()}
