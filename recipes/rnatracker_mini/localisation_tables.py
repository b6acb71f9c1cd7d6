"""Tables for `rna-hf finetune` from the shared data folder: `python -m recipes.rnatracker_mini.localisation_tables`.

Writes `localisation_train.parquet`, `_validation`, `_test` and `_mrna`, of RNAlight's human transcripts: training and
validation are parts of the source's training lncRNAs, `test` its test lncRNAs, `mrna` its test mRNAs. A training RNA
that is similar to a test RNA is left out, and training and validation share no cluster of similar RNAs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rna_hf.data.cluster_split import cluster_by_similarity
from rna_hf.data.splits import ManifestSource, check_leakage, normalise_sequence

from ..places import DEFAULT_DATA

LNCRNA_FILE = "loc_rnalight/lncrna_nuc_cyto.csv.gz"
MRNA_FILE = "loc_rnalight/mrna_nuc_cyto.csv.gz"
MULTILABEL_FILE = "loc_lncrna_multilabel/lncrna.csv.gz"
MRNALOC_FILE = "loc_mrnaloc/mrnaloc.csv.gz"

# What each data set calls its compartments, in the order of the labels.
COMPARTMENTS = {
    "rnalight": ("Nucleus", "Cytoplasm"),
    "multilabel": ("Nucleus", "Chromatin", "Cytoplasm", "Insoluble cytoplasm"),
    "mrnaloc": ("Nucleus", "Cytoplasm", "Endoplasmic_reticulum", "Extracellular_region", "Mitochondria"),
}
RULE = (
    "the source's training lncRNAs, a tenth of them held out by clusters; no RNA similar to one of the test lncRNAs or "
    "test mRNAs"
)
# Two RNAs are similar with so many 24-mers in common, or half of those of the shorter one. Many transcripts hold copies
# of the same repeats (Alu, L1), which have shorter words in common and would join a large part of them all.
SIMILAR = {"k": 24, "min_shared": 100}
VALIDATION_PART = 0.1
FOLDS = 5


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a gzipped CSV.

    Raises:
        FileNotFoundError: it is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; name the shared data folder with --data")
    csv.field_size_limit(sys.maxsize)  # a transcript may be longer than csv's 131,072 characters
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def make_rows(records: Sequence[tuple[str, str, Sequence[str]]], compartments: Sequence[str]) -> list[dict[str, Any]]:
    """Turn transcripts with their places into rows with a distribution; a sequence that comes again adds its places.

    Args:
        records: id, sequence and names of compartments of each.
        compartments: the C names.

    Returns:
        Rows with `id`, `sequence` (U for T) and `labels`, C numbers that sum to 1.
    """
    rows: dict[str, dict[str, Any]] = {}
    for identifier, letters, places in records:
        sequence = normalise_sequence(letters)
        row = rows.setdefault(sequence, {"id": identifier, "sequence": sequence, "labels": np.zeros(len(compartments))})
        row["labels"][[compartments.index(place) for place in places]] = 1
    for row in rows.values():
        row["labels"] = (row["labels"] / row["labels"].sum()).tolist()
    return list(rows.values())


def read_rnalight(data_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of `train`, `test` and `mrna`, as the source has them."""
    records: dict[str, list[tuple[str, str, Sequence[str]]]] = {"train": [], "test": [], "mrna": []}
    for row in read_table(data_dir / LNCRNA_FILE):
        part = "test" if row["split"] == "test" else "train"
        records[part].append((row["id"], row["sequence"], [row["location"].capitalize()]))
    for row in read_table(data_dir / MRNA_FILE):
        records["mrna"].append((row["id"], row["sequence"], [row["location"].capitalize()]))
    return {name: make_rows(part, COMPARTMENTS["rnalight"]) for name, part in records.items()}


def hold_out(clusters: np.ndarray, part: float, seed: int) -> np.ndarray:
    """Choose whole clusters at random until they hold `part` of the RNAs.

    Not `split_by_similarity`, whose draw is another one: it would hold out other RNAs than those that the trainings so
    far did, and a checkpoint's manifest tells what it was trained on.

    Args:
        clusters: (N,) cluster number of each RNA.
        part: 0 to 1.
        seed: of the order of the clusters.

    Returns:
        (N,) booleans.
    """
    order = np.random.default_rng(seed).permutation(clusters.max() + 1)
    sizes = np.bincount(clusters)[order]
    # A cluster that would overshoot is passed over, so the largest ones stay with the many.
    chosen, missing = [], round(part * len(clusters))
    for cluster, size in zip(order.tolist(), sizes.tolist()):
        if size <= missing:
            chosen.append(cluster)
            missing -= size
    return np.isin(clusters, chosen)


def training_tables(data_dir: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    """Return the rows of `train`, `validation`, `test` and `mrna`, and how many training RNAs were left out, and why.

    The rows of training and validation have the column `cluster`.
    """
    tables = read_rnalight(data_dir)
    train, dropped = tables["train"], {}
    for name in ("test", "mrna"):
        sequences = [[row["sequence"] for row in rows] for rows in (train, tables[name])]
        found = check_leakage(*sequences, "train", name, **SIMILAR)
        dropped |= {f"in {name}": len(found.exact), f"similar to {name}": len(found.near)}
        leaks = {*found.exact, *found.near}
        train = [row for index, row in enumerate(train) if index not in leaks]
    clusters = cluster_by_similarity([row["sequence"] for row in train], **SIMILAR)
    is_held_out = hold_out(clusters, VALIDATION_PART, seed=0)
    train = [row | {"cluster": cluster} for row, cluster in zip(train, clusters.tolist())]
    for name, chosen in (("train", ~is_held_out), ("validation", is_held_out)):
        tables[name] = [train[index] for index in np.flatnonzero(chosen)]
    return tables, dropped


def read_set(data_dir: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a whole data set, a key of `COMPARTMENTS`.

    Of mRNALoc the parts with all five classes and with the two rare ones are taken, not the two-class lncRNAs.
    """
    if name == "rnalight":
        tables = read_rnalight(data_dir)
        return tables["train"] + tables["test"]
    records: list[tuple[str, str, Sequence[str]]]
    if name == "multilabel":
        records = [
            (row["gene_id"], row["sequence"], row["locations"].split(";"))
            for row in read_table(data_dir / MULTILABEL_FILE)
        ]
    else:
        records = [
            (row["id"], row["sequence"], [row["location"]])
            for row in read_table(data_dir / MRNALOC_FILE)
            if row["source_set"] != "indep2"
        ]
    return make_rows(records, COMPARTMENTS[name])


def with_folds(rows: Sequence[dict[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Add the columns `cluster` and `fold`, 0 to `FOLDS` - 1, to rows; similar RNAs are in the same fold.

    Not `split_by_similarity`, which deals the small clusters out in random order and not by size: other folds.
    """
    clusters = cluster_by_similarity([row["sequence"] for row in rows], **SIMILAR)
    sizes = np.bincount(clusters)
    order = np.random.default_rng(seed).permutation(len(sizes))
    fold_of, filled = np.zeros(len(sizes), dtype=np.int64), np.zeros(FOLDS, dtype=np.int64)
    for cluster in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of[cluster] = filled.argmin()
        filled[fold_of[cluster]] += sizes[cluster]
    return [row | {"cluster": cluster, "fold": int(fold_of[cluster])} for row, cluster in zip(rows, clusters.tolist())]


def describe_sources(rows: Sequence[dict[str, Any]]) -> list[ManifestSource]:
    """Describe the training rows, for `rna_hf.data.splits.write_manifest`."""
    return [ManifestSource.from_sequences("rnalight", (LNCRNA_FILE,), RULE, [row["sequence"] for row in rows])]


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=Path(".cache/tables"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    tables, dropped = training_tables(arguments.data)
    for name, rows in tables.items():
        write_table(arguments.output / f"localisation_{name}.parquet", rows)
    print(json.dumps({name: len(rows) for name, rows in tables.items()}))
    print(json.dumps({"left out of training": dropped}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
