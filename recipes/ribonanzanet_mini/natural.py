"""Natural RNAs beside those of the structure sets: pieces of transcripts and genomes to fold, and Rfam's structures.

None is near a test set. Most RNAs that were measured are designs; these show the model what nature's look like.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rna_hf.data.splits import normalise_sequence

from ..places import DEFAULT_DATA
from .known_structures import KnownStructure
from .shared_data import FILES, STRUCTURE_TESTS, find_near_tests, load_test_sequences, read_columns

PIECE_LENGTH = 400
# Pieces of each file: as many of small genomes as of large ones, or bacteria would make up nearly all.
PIECES_OF_A_FILE = 4000


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a natural RNA or genome.

    Attributes:
        source: `pieces`.
        sequence: up to `PIECE_LENGTH` nucleotides, ACGU.
    """

    source: str
    sequence: str


def load_pieces(data_dir: str | Path = DEFAULT_DATA, seed: int = 0) -> list[Piece]:
    """Draw pieces of transcripts and genomes, the same for the same seed, none near a test set."""
    generator = np.random.default_rng(seed)
    drawn: list[str] = []
    for file in FILES["pieces"]:
        records = [record for record in _read(Path(data_dir) / file) if len(record) >= 60]
        lengths = np.array([len(record) for record in records])
        for index in generator.choice(len(records), PIECES_OF_A_FILE, p=lengths / lengths.sum()):
            record = records[index]
            start = int(generator.integers(max(1, len(record) - PIECE_LENGTH + 1)))
            piece = record[start : start + PIECE_LENGTH]
            if set(piece) <= set("ACGU"):
                drawn.append(piece)
    different = sorted(set(drawn))
    near = find_near_tests(different, load_test_sequences(data_dir, STRUCTURE_TESTS), {})
    return [Piece("pieces", piece) for piece, is_near in zip(different, near) if not is_near]


def _read(path: Path) -> Iterator[str]:
    """Yield the records of a FASTA file, or the transcripts of a table of regions, as RNA."""
    if path.suffix == ".parquet":
        rows = read_columns(path.parent, path.name, ["utr5", "cds", "utr3", "split"])
        parts = zip(rows["utr5"], rows["cds"], rows["utr3"], rows["split"])
        yield from (normalise_sequence(a + b + c) for a, b, c, split in parts if split == "valid")
        return
    with gzip.open(path, "rt") as file:
        for record in file.read().split(">")[1:]:
            yield normalise_sequence("".join(record.split("\n")[1:]))


def load_rfam(data_dir: str | Path = DEFAULT_DATA, max_length: int = 400) -> list[KnownStructure]:
    """Load the structures of Rfam's seed alignments that are near no test set; those with pseudoknots are left out."""
    rows = read_columns(data_dir, FILES["rfam"][0], ["sequence", "structure", "near_test_sets"])
    chosen = [
        KnownStructure("rfam", normalise_sequence(sequence), structure)
        for sequence, structure, near in zip(rows["sequence"], rows["structure"], rows["near_test_sets"])
        if not near and "[" not in structure and len(sequence) <= max_length
    ]
    near_any = find_near_tests([r.sequence for r in chosen], load_test_sequences(data_dir, STRUCTURE_TESTS), {})
    return [record for record, is_near in zip(chosen, near_any) if not is_near]
