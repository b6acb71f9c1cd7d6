"""Tables for `rna-hf finetune` from the shared data folder: `python -m recipes.ribonanzanet_mini.task_tables`.

Writes for each task `TASK_train.parquet`, without what is in or near a test set, and `TASK_test.parquet`; for
`structure` and `3d` also `TASK_validation.parquet`:

- `degradation`: OpenVaccine's training file; the test is its public test.
- `structure`: the training splits of bpRNA and RNAStrAlign without relatives of ArchiveII's families, as far as
  6-mers tell (tRNAs and 5S rRNAs unlike those of ArchiveII remain); validation and test are what of bpRNA's own is
  similar to no training RNA. `structure_train_without_trna_5s.parquet` leaves out also what has about the shape and
  length of these two families, so that they can be tested as families that a model has not seen.
- `3d`: chains of the PDB from before CASP15, split by clusters of similar sequences into training and validation; the
  test is the nine RNAs of CASP15 with all their reference conformations.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rna_hf import RibonanzaNetConfig
from rna_hf.data.cluster_split import cluster_by_similarity, report_leakage
from rna_hf.data.splits import ManifestSource, normalise_sequence
from rna_hf.structure import parse_dotbracket

from ..places import DEFAULT_DATA
from .known_structures import select_known_structures
from .shared_data import FILES, RULES, TEST_FILES, find_near_tests, load_test_sequences, read_columns
from .structure_families import closest_families, find_alike

TARGETS = RibonanzaNetConfig().degradation_targets

# RNAs with known structures that a training is watched on.
NUM_VALIDATION = 300

# Families that the training table leaves out by words, but of which it keeps members that are unlike ArchiveII's: many
# of its RNAs have their shape and length, as benchmarks.accuracy.structure counts.
HIDDEN_FAMILIES = ("tRNA", "5s")

# Chains for training in 3D: released before the first CASP15 target, with at least so many nucleotides, and with at
# most so many gaps (neighbours more than 9.5 angstrom apart), whose missing nucleotides are nowhere listed.
CASP15_DATE = "2022-05-27"
MIN_CHAIN = 10
MAX_GAPS = 2
# Strands of duplexes are shorter than the 12-mers that similarity goes by elsewhere; with 8-mers almost a fourth of the
# chains end up in one cluster.
CHAIN_K = 10
VALIDATION_CLUSTERS = 0.12
LONG_CHAIN = 40  # clusters with a chain of so many nucleotides and clusters without are drawn separately

_CHAINS = (
    "released before 2022-05-27, 10 nt or more, at most two gaps, a sequence once; not marked near CASP15 or "
    "RNA-Puzzles and not similar to them; not held out"
)
_NO_FAMILY = "; no relative of an ArchiveII family"
# For each task its sources: files below the data folder, and which rows were taken.
SOURCES = {
    "degradation": {
        "openvaccine": (
            FILES["openvaccine"],
            "the training file, a tenth of it held out; no near-duplicate of a test set",
        )
    },
    "structure": {name: (FILES[name], RULES[name] + _NO_FAMILY) for name in ("bprna", "rnastralign")},
    "3d": {
        "rna3d_kaggle": (("rna3d_kaggle/train_labels.parquet", "rna3d_kaggle/train_sequences.csv"), _CHAINS),
        "rna3d_extra": (("rna3d_extra/extra_labels.parquet", "rna3d_extra/extra_sequences.csv"), _CHAINS),
    },
}


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
            row = {"id": columns["id"][index], "source": "openvaccine", "sequence": normalise_sequence(letters)}
            rows.append(row | {"labels": labels})
        tables[name] = rows
    tests = load_test_sequences(data_dir)
    near = find_near_tests([row["sequence"] for row in tables["train"]], tests, {})
    tables["train"] = [row for row, is_near in zip(tables["train"], near) if not is_near]
    return tables


def structure_tables(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of training (whole, and without hidden families), validation and test.

    They have `id`, `source`, `sequence` and `pairs`.
    """
    known, _ = select_known_structures(data_dir, max_length=None)
    archive = read_columns(data_dir, TEST_FILES["archiveii"], ["sequence", "structure", "family"])
    references = [normalise_sequence(letters) for letters in archive["sequence"]]
    families = closest_families([record.sequence for record in known], references, list(archive["family"]))
    print(json.dumps({"relatives of ArchiveII's families, left out": Counter(name for name in families if name)}))
    train = [
        {
            "id": f"{record.source}_{index}",
            "source": record.source,
            "sequence": record.sequence,
            "pairs": parse_dotbracket(record.structure),
        }
        for index, (record, family) in enumerate(zip(known, families))
        if not family
    ]
    tables = {"train": train, "train_without_trna_5s": without_hidden_families(train, archive)}
    rows = read_columns(data_dir, FILES["bprna"][0], ["sequence", "structure", "split"])
    for name, split in (("validation", "valid"), ("test", "test")):
        others = [
            {
                "id": f"bprna_{split}_{index}",
                "source": "bprna",
                "sequence": normalise_sequence(letters),
                "pairs": parse_dotbracket(structure),
            }
            for index, (letters, structure, part) in enumerate(zip(rows["sequence"], rows["structure"], rows["split"]))
            if part == split
        ]
        # Similar to no RNA that the model has seen, in this training or in the one before.
        leakage = report_leakage([record.sequence for record in known], [row["sequence"] for row in others])
        similar = {*leakage.exact.tolist(), *leakage.near.tolist()}
        tables[name] = [row for index, row in enumerate(others) if index not in similar]
    chosen = np.random.default_rng(0).permutation(len(tables["validation"]))[:NUM_VALIDATION]
    tables["validation"] = [tables["validation"][index] for index in sorted(chosen.tolist())]
    return tables


def without_hidden_families(
    rows: Sequence[dict[str, Any]], archive: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Leave out rows with about the shape and length of a hidden family; `archive` has the columns of ArchiveII."""
    structures = [(row["sequence"], row["pairs"]) for row in rows]
    alike = np.zeros(len(rows), dtype=bool)
    for family in HIDDEN_FAMILIES:
        members = [
            (letters, parse_dotbracket(structure))
            for letters, structure, name in zip(archive["sequence"], archive["structure"], archive["family"])
            if name == family
        ]
        alike |= find_alike(structures, members, loosely=True)
    return [row for row, is_alike in zip(rows, alike) if not is_alike]


def read_chains(data_dir: Path, folder: str, name: str) -> list[dict[str, Any]]:
    """Read the chains of a folder with C1' coordinates.

    Args:
        data_dir: the shared data folder.
        folder: `rna3d_kaggle` or `rna3d_extra`.
        name: the files are `NAME_sequences.csv` and `NAME_labels.parquet`.

    Returns:
        Rows with the columns of the csv, `id`, `sequence` and `conformations` (C, L, 3), float32, angstrom, NaN where
        missing.
    """
    labels = pq.read_table(data_dir / folder / f"{name}_labels.parquet").to_pandas()
    of_target = dict(tuple(labels.groupby("target_id")))
    with open(data_dir / folder / f"{name}_sequences.csv", encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row["id"], row["source"] = row.pop("target_id"), folder
        row["sequence"] = normalise_sequence(row["sequence"])
        atoms = of_target[row["id"]]
        conformation = atoms["conf"].to_numpy() - 1 if "conf" in atoms else 0
        shape = (int(np.max(conformation)) + 1, len(row["sequence"]), 3)
        row["conformations"] = np.full(shape, np.nan, dtype=np.float32)
        row["conformations"][conformation, atoms["resid"] - 1] = atoms[["x", "y", "z"]]
    return rows


def tertiary_tables(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of training, validation and test: `id`, `sequence`, `coordinates` (L, 3).

    Left out are chains that are undated or too new, short or full of gaps, that have another's sequence, or that are
    similar to a target of CASP15 or to an RNA puzzle. Chains with gaps are closed up: the sequence holds the
    nucleotides with coordinates. Training and validation have the column `cluster`, of which no number is in both;
    the test has `conformations` (C, L, 3), of which `coordinates` is the first.
    """
    test = read_chains(data_dir, "rna3d_kaggle", "valid")
    extra = read_chains(data_dir, "rna3d_extra", "extra")
    # Chains from the competition come first: they are complete, so they stay where both sources have a sequence.
    chains = read_chains(data_dir, "rna3d_kaggle", "train") + extra
    puzzles = [row["sequence"] for row in extra if row["near_rna_puzzles"]]
    unwanted = [row["sequence"] for row in test] + puzzles
    near = report_leakage(unwanted, [row["sequence"] for row in chains], k=CHAIN_K)
    similar = {*near.exact.tolist(), *near.near.tolist()}
    kept: dict[str, dict[str, Any]] = {}
    for index, row in enumerate(chains):
        is_marked = row.get("near_casp15") or row.get("near_rna_puzzles")
        is_older = "" < row["temporal_cutoff"] < CASP15_DATE
        is_whole = len(row["sequence"]) >= MIN_CHAIN and int(row.get("n_breaks", 0)) <= MAX_GAPS
        if is_older and is_whole and not is_marked and index not in similar:
            kept.setdefault(row["sequence"], row)

    clusters = cluster_by_similarity(list(kept), k=CHAIN_K)
    has_long = np.zeros(clusters.max() + 1, dtype=bool)
    np.logical_or.at(has_long, clusters, [len(sequence) >= LONG_CHAIN for sequence in kept])
    generator = np.random.default_rng(0)
    held_out: set[int] = set()
    for group in (np.flatnonzero(has_long), np.flatnonzero(~has_long)):
        held_out |= set(generator.permutation(group)[: round(VALIDATION_CLUSTERS * len(group))].tolist())

    tables: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for row, cluster in zip(kept.values(), clusters.tolist()):
        chain = {name: row[name] for name in ("id", "source", "sequence")} | {"coordinates": row["conformations"][0]}
        tables["validation" if cluster in held_out else "train"].append(chain | {"cluster": cluster})
    tables["test"] = [
        {name: row[name] for name in ("id", "sequence", "conformations")} | {"coordinates": row["conformations"][0]}
        for row in test
    ]
    return tables


TABLES = {"degradation": degradation_tables, "structure": structure_tables, "3d": tertiary_tables}


def describe_sources(task: str, rows: Sequence[dict[str, Any]]) -> list[ManifestSource]:
    """Describe the training rows of a task, one entry a source, for `rna_hf.data.splits.write_manifest`."""
    sources = []
    for name, (files, rule) in SOURCES[task].items():
        sequences = [row["sequence"] for row in rows if row["source"] == name]
        sources.append(ManifestSource.from_sequences(name, files, rule, sequences))
    return sources


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
        print(json.dumps({"task": task, **{name: len(rows) for name, rows in tables.items()}}))
        sequences = {name: [row["sequence"] for row in rows] for name, rows in tables.items()}
        train = sequences.pop("train")
        for name, others in sequences.items():
            if not name.startswith("train"):
                print(report_leakage(train, others, test_name=name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
