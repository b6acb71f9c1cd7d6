"""RNAs with known base pairs that secondary structures are tested on."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from recipes.ribonanzanet_mini.shared_data import TEST_FILES, read_columns  # noqa: E402
from rna_hf.data.splits import normalise_sequence  # noqa: E402
from rna_hf.structure import parse_dotbracket  # noqa: E402

PDB_FILE = "ss_pdb/pdb_rna.csv.gz"
WATSON_CRICK_OR_WOBBLE = ({"A", "U"}, {"C", "G"}, {"G", "U"})

Pairs = list[tuple[int, int]]


class KnownRna(NamedTuple):
    """An RNA with its reference.

    Attributes:
        sequence: L letters, upper case, U for T.
        pairs: 0-based (i, j), i < j; a nucleotide may be in several.
    """

    sequence: str
    pairs: Pairs


def read_table(path: Path) -> list[KnownRna]:
    """Read a table of `task_tables.py`: `sequence` and `pairs`."""
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found; write it with python -m recipes.ribonanzanet_mini.task_tables structure"
        )
    rows = pq.read_table(path, columns=["sequence", "pairs"]).to_pylist()
    return [KnownRna(row["sequence"], [(i, j) for i, j in row["pairs"]]) for row in rows]


def read_archiveii(data_dir: Path) -> dict[str, list[KnownRna]]:
    """Read ArchiveII by family, the largest family first."""
    columns = read_columns(data_dir, TEST_FILES["archiveii"], ["family", "sequence", "structure"])
    families: dict[str, list[KnownRna]] = {name: [] for name, _ in Counter(columns["family"]).most_common()}
    for family, sequence, structure in zip(columns["family"], columns["sequence"], columns["structure"]):
        families[family].append(KnownRna(normalise_sequence(sequence), parse_dotbracket(structure)))
    return families


def read_pdb(data_dir: Path) -> list[KnownRna]:
    """Read the base pairs of the PDB, those that are not canonical included."""
    with gzip.open(data_dir / PDB_FILE, "rt", encoding="utf-8", newline="") as file:
        return [
            KnownRna(normalise_sequence(row["sequence"]), [(i - 1, j - 1) for i, j in json.loads(row["base_pairs"])])
            for row in csv.DictReader(file)
        ]


def canonical(rna: KnownRna) -> KnownRna:
    """Keep the pairs of AU, GC and GU."""
    kept = [(i, j) for i, j in rna.pairs if {rna.sequence[i], rna.sequence[j]} in WATSON_CRICK_OR_WOBBLE]
    return KnownRna(rna.sequence, kept)
