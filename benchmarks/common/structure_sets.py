"""RNAs with known base pairs that secondary structures are tested on."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from recipes.ribonanzanet_mini.shared_data import TEST_FILES, read_columns
from rna_hf.data.splits import normalise_sequence
from rna_hf.structure import parse_dotbracket

from .task_tables import read_rows

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
    rows = read_rows(path, ["sequence", "pairs"])
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
