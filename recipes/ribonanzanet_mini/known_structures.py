"""Known secondary structures for training the pair track, none of them near a test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rna_hf.data.splits import is_exact_duplicate, normalise_sequence

from ..places import DEFAULT_DATA
from .shared_data import FILES, STRUCTURE_TESTS, find_near_tests, load_test_sequences, read_columns


@dataclass(frozen=True, slots=True)
class KnownStructure:
    """An RNA with its reference secondary structure.

    Attributes:
        source: `bprna` or `rnastralign`.
        sequence: L letters, upper case, U for T.
        structure: dot-bracket of L symbols `().`.
    """

    source: str
    sequence: str
    structure: str


def select_known_structures(
    data_dir: str | Path = DEFAULT_DATA, max_length: int | None = 200
) -> tuple[list[KnownStructure], dict[str, dict[str, int]]]:
    """Load secondary structures for training and count what is left out.

    Args:
        data_dir: the shared data folder.
        max_length: in nucleotides; None keeps all lengths.

    Returns:
        Different sequences (the first structure of each), none near-identical to ArchiveII or a reactivity test set,
        and the counts.
    """
    dropped: dict[str, dict[str, int]] = {"bprna": {}, "rnastralign": {}}
    bprna = read_columns(data_dir, FILES["bprna"][0], ["sequence", "structure", "split"])
    columns = ["sequence", "structure", "split", "in_archiveii", "archiveii_cosine"]
    align = read_columns(data_dir, FILES["rnastralign"][0], columns)
    other = [s for s, part in zip(bprna["sequence"], bprna["split"]) if part != "train"]

    known: list[KnownStructure] = []
    for source, rows in (("bprna", bprna), ("rnastralign", align)):
        counts = dropped[source]
        keep = np.array([s == "train" for s in rows["split"]])
        counts["not in the train split"] = int((~keep).sum())
        if source == "rnastralign":
            near = rows["in_archiveii"].astype(bool) | (rows["archiveii_cosine"] >= 0.7)
            counts["in ArchiveII or cosine >= 0.7"] = int((near & keep).sum())
            keep &= ~near
            # Its own test and valid files repeat some training sequences with another structure.
            other += [s for s, part in zip(rows["sequence"], rows["split"]) if part != "train"]
            elsewhere = is_exact_duplicate(rows["sequence"], other)
            counts["in a valid or test split"] = int((elsewhere & keep).sum())
            keep &= ~elsewhere
        known += [
            KnownStructure(source, normalise_sequence(rows["sequence"][i]), rows["structure"][i])
            for i in np.flatnonzero(keep)
        ]
    seen: set[str] = set()
    different: list[KnownStructure] = []
    for record in known:
        reason = ""
        if max_length is not None and len(record.sequence) > max_length:
            reason = f"longer than {max_length} nt"
        elif record.sequence in seen:
            reason = "repeated sequence"
        if reason:
            dropped[record.source][reason] = dropped[record.source].get(reason, 0) + 1
            continue
        seen.add(record.sequence)
        different.append(record)
    tests = load_test_sequences(data_dir, STRUCTURE_TESTS)
    result: list[KnownStructure] = []
    for source, counts in dropped.items():
        part = [r for r in different if r.source == source]
        is_near = find_near_tests([r.sequence for r in part], tests, counts)
        result += [r for r, drop in zip(part, is_near) if not drop]
    return result, dropped


def load_known_structures(data_dir: str | Path = DEFAULT_DATA, max_length: int | None = 200) -> list[KnownStructure]:
    """Secondary structures only; see `select_known_structures`."""
    return select_known_structures(data_dir, max_length)[0]
