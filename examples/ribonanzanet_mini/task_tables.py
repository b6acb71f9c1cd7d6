"""Tables for `rna-hf finetune` from the shared data folder: `python task_tables.py --output .cache/tables`.

Writes for each task `TASK_train.parquet`, without what is in or near a test set, and `TASK_test.parquet`:

- `degradation`: OpenVaccine's training file; the test is its public test.
- `structure`: the training splits of bpRNA and RNAStrAlign; the test is what of bpRNA's test split is similar to no
  training RNA.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from known_structures import select_known_structures
from shared_data import DEFAULT_DATA, FILES, TEST_FILES, find_near_tests, load_test_sequences, read_columns

from rna_hf import RibonanzaNetConfig
from rna_hf.data.cluster_split import report_leakage
from rna_hf.data.splits import normalise_sequence
from rna_hf.structure import parse_dotbracket

TARGETS = RibonanzaNetConfig().degradation_targets


def degradation_tables(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of training and test: `id`, `sequence`, `labels` (L rows of the five targets, NaN unscored)."""
    tables = {}
    for name, file in (("train", FILES["openvaccine"][0]), ("test", TEST_FILES["openvaccine_public"])):
        columns = read_columns(data_dir, file, ["id", "sequence", *TARGETS])
        rows = []
        for index, letters in enumerate(columns["sequence"]):
            measured = np.stack([columns[target][index] for target in TARGETS], axis=1)
            labels = np.full((len(letters), len(TARGETS)), np.nan, dtype=np.float32)
            labels[: len(measured)] = measured
            rows.append({"id": columns["id"][index], "sequence": normalise_sequence(letters), "labels": labels})
        tables[name] = rows
    tests = load_test_sequences(data_dir)
    near = find_near_tests([row["sequence"] for row in tables["train"]], tests, {})
    tables["train"] = [row for row, is_near in zip(tables["train"], near) if not is_near]
    return tables


def structure_tables(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of training and test: `id`, `sequence`, `pairs`."""
    known, _ = select_known_structures(data_dir, max_length=None)
    train = [
        {"id": f"{record.source}_{index}", "sequence": record.sequence, "pairs": parse_dotbracket(record.structure)}
        for index, record in enumerate(known)
    ]
    rows = read_columns(data_dir, FILES["bprna"][0], ["sequence", "structure", "split"])
    test = [
        {"id": f"bprna_test_{index}", "sequence": normalise_sequence(letters), "pairs": parse_dotbracket(structure)}
        for index, (letters, structure, split) in enumerate(zip(rows["sequence"], rows["structure"], rows["split"]))
        if split == "test"
    ]
    leakage = report_leakage([row["sequence"] for row in train], [row["sequence"] for row in test])
    similar = {*leakage.exact.tolist(), *leakage.near.tolist()}
    return {"train": train, "test": [row for index, row in enumerate(test) if index not in similar]}


TABLES = {"degradation": degradation_tables, "structure": structure_tables}


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to parquet, arrays as lists."""
    columns = {
        name: [row[name].tolist() if isinstance(row[name], np.ndarray) else row[name] for row in rows]
        for name in rows[0]
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"default: {' '.join(TABLES)}")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=Path(".cache/tables"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    for task in arguments.tasks or TABLES:
        if task not in TABLES:
            parser.error(f"there is no task {task!r}; choose from {', '.join(TABLES)}")
        tables = TABLES[task](arguments.data)
        for name, rows in tables.items():
            write_table(arguments.output / f"{task}_{name}.parquet", rows)
        leakage = report_leakage(
            [row["sequence"] for row in tables["train"]], [row["sequence"] for row in tables["test"]]
        )
        print(json.dumps({"task": task, **{name: len(rows) for name, rows in tables.items()}}))
        print(leakage)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
