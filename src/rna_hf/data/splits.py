"""Near-duplicates between sets of RNA sequences: the leakage check, clusters for splits, and the training manifest.

Two sequences are called near-identical when they share at least `min_shared` different k-mers, by default eight 12-mers
(a common stretch of 19 nucleotides, or a copy with a few mutations). The constant parts that a library's design puts
into every RNA (primer sites and flanks) are cut off first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

# 5' and 3' parts that whole libraries share, the longest first. They sit at the ends and only there are they cut.
CONSTANT_STARTS = (
    "GGGAACGACUCGAGUAGAGUCGAAAA",  # Ribonanza and OpenKnot libraries
    "GGCCAAAACAACGG",  # the Das laboratory's constructs of natural RNAs
    "GGAAA",  # Eterna Cloud Lab and OpenVaccine
)
CONSTANT_ENDS = ("AAAGAAACAACAACAACAAC",)  # "tail 2", the primer site of all of them

# A code for each byte: 0-3 for A, C, G, U or T, 4 for anything else (k-mers with such a letter do not count).
_CODES = np.full(256, 4, dtype=np.int64)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("UuTt", 3)):
    for _letter in _letters:
        _CODES[ord(_letter)] = _code

MAX_K = 24
"""With longer k-mers, one and the index of its sequence would not fit into 64 bits together."""

_MAX_PAIRS = 20_000_000  # candidate pairs held at a time: 160 MB an array


def normalise_sequence(sequence: str) -> str:
    """Upper-case a sequence and write U for T."""
    return sequence.upper().replace("T", "U")


def strip_constant_parts(
    sequence: str, starts: Sequence[str] = CONSTANT_STARTS, ends: Sequence[str] = CONSTANT_ENDS
) -> str:
    """Cut the first matching constant part off each end.

    Args:
        sequence: RNA or DNA letters.
        starts: constant 5' parts, tried in order.
        ends: constant 3' parts, tried in order.

    Returns:
        What lies between them, upper-cased and with U for T.
    """
    sequence = normalise_sequence(sequence)
    for part in starts:
        if sequence.startswith(part):
            sequence = sequence[len(part) :]
            break
    for part in ends:
        if sequence.endswith(part):
            sequence = sequence[: len(sequence) - len(part)]
            break
    return sequence


def _kmer_table(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """List the different k-mers of each sequence.

    Returns:
        k-mer codes and sequence indices, both (N,), sorted by sequence, then code, without repeats.
    """
    if not 1 <= k <= MAX_K:
        raise ValueError(f"k is {k}; it must lie in 1..{MAX_K}, where a k-mer and a sequence index fit into 64 bits")
    stripped = [strip_constant_parts(s) for s in sequences]
    if not stripped:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # One blank after each sequence keeps k-mers from crossing its end.
    codes = _CODES[np.frombuffer((" ".join(stripped) + " ").encode("ascii", "replace"), dtype=np.uint8)]
    owner = np.repeat(np.arange(len(stripped)), [len(s) + 1 for s in stripped])
    size = len(codes) - k + 1
    if size <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    kmers = np.zeros(size, dtype=np.int64)
    invalid = np.zeros(size, dtype=bool)
    for offset in range(k):
        part = codes[offset : offset + size]
        kmers = kmers * 4 + (part & 3)
        invalid |= part > 3
    kmers, owner = kmers[~invalid], owner[:size][~invalid]
    order = np.lexsort((kmers, owner))
    kmers, owner = kmers[order], owner[order]
    first = np.ones(len(kmers), dtype=bool)
    first[1:] = (kmers[1:] != kmers[:-1]) | (owner[1:] != owner[:-1])
    return kmers[first], owner[first]


def _shared_pairs(
    queries: Sequence[str], references: Sequence[str], k: int, min_shared: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (query, reference, shared k-mers) of all pairs with at least `min_shared`, a block of queries at a time."""
    kmers, owner = _kmer_table(queries, k)
    ref_kmers, ref_owner = _kmer_table(references, k)
    order = np.argsort(ref_kmers, kind="stable")
    ref_kmers, ref_owner = ref_kmers[order], ref_owner[order]
    start = np.searchsorted(ref_kmers, kmers, "left")
    stop = np.searchsorted(ref_kmers, kmers, "right")
    # A query that shares too few k-mers with the whole set shares too few with each member.
    hit = stop > start
    hit &= (np.bincount(owner[hit], minlength=len(queries)) >= min_shared)[owner]
    owner, start, counts = owner[hit], start[hit], (stop - start)[hit]
    if not len(owner):
        return
    ends = np.flatnonzero(np.append(owner[1:] != owner[:-1], True)) + 1  # after the last k-mer of each query
    total = np.concatenate([[0], np.cumsum(counts)])
    first = 0
    while first < len(owner):
        # As many whole queries as the budget allows, at least one.
        fitting = ends[(ends > first) & (total[ends] - total[first] <= _MAX_PAIRS)]
        last = int(fitting[-1]) if len(fitting) else int(ends[ends > first][0])
        number = counts[first:last]
        query = np.repeat(owner[first:last], number)
        within = np.arange(len(query)) - np.repeat(total[first:last] - total[first], number)
        reference = ref_owner[np.repeat(start[first:last], number) + within]
        pairs, shared = np.unique(query * len(references) + reference, return_counts=True)
        keep = shared >= min_shared
        if keep.any():
            yield pairs[keep] // len(references), pairs[keep] % len(references), shared[keep]
        first = last


def max_shared_kmers(
    queries: Sequence[str], references: Sequence[str], k: int = 12, min_shared: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each query the reference that it shares most k-mers with.

    Args:
        queries: sequences to check; constant parts are ignored, as in `strip_constant_parts`.
        references: sequences to check against.
        k: length of the k-mers in nucleotides.
        min_shared: pairs below this number are not counted.

    Returns:
        (len(queries),) shared k-mers with the closest reference (0 below `min_shared`), and that reference's index
        (-1 if none).
    """
    best = np.zeros(len(queries), dtype=np.int64)
    closest = np.full(len(queries), -1, dtype=np.int64)
    for query, reference, shared in _shared_pairs(queries, references, k, min_shared):
        order = np.lexsort((-reference, shared, query))  # the last of each query: most shared, then lowest index
        query, reference, shared = query[order], reference[order], shared[order]
        last = np.append(query[1:] != query[:-1], True)
        best[query[last]], closest[query[last]] = shared[last], reference[last]
    return best, closest


def is_exact_duplicate(queries: Sequence[str], references: Iterable[str]) -> np.ndarray:
    """Tell which queries occur among the references, letter by letter (case and T or U aside).

    Returns:
        (len(queries),), boolean.
    """
    known = {normalise_sequence(s) for s in references}
    return np.array([normalise_sequence(s) in known for s in queries], dtype=bool)


def is_near_duplicate(
    queries: Sequence[str], references: Sequence[str], k: int = 12, min_shared: int = 8
) -> np.ndarray:
    """Tell which queries are exactly or nearly the same as a reference.

    Args:
        queries: sequences to check.
        references: sequences to check against.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers with *one* reference that make a near-duplicate.

    Returns:
        (len(queries),), boolean.
    """
    best, _ = max_shared_kmers(queries, references, k, min_shared)
    return (best >= min_shared) | is_exact_duplicate(queries, references)


def cluster_sequences(sequences: Sequence[str], k: int = 12, min_shared: int = 8) -> np.ndarray:
    """Join sequences that are near-identical, directly or through others (single linkage).

    Args:
        sequences: RNA sequences; constant parts are ignored.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers that join two sequences. Exact duplicates are always joined.

    Returns:
        (len(sequences),) cluster numbers from 0, in the order of first occurrence.
    """
    size = len(sequences)
    parent = np.arange(size)

    def join(a: np.ndarray, b: np.ndarray) -> None:
        # Union by hooking the larger root under the smaller one, all pairs at once, until every pair agrees.
        while len(a):
            root_a, root_b = parent[a], parent[b]
            low, high = np.minimum(root_a, root_b), np.maximum(root_a, root_b)
            differ = low != high
            if not differ.any():
                return
            a, b, low, high = a[differ], b[differ], low[differ], high[differ]
            np.minimum.at(parent, high, low)
            while True:
                jumped = parent[parent]
                if np.array_equal(jumped, parent):
                    break
                parent[:] = jumped

    seen: dict[str, int] = {}
    same = np.array([seen.setdefault(normalise_sequence(s), i) for i, s in enumerate(sequences)], dtype=np.int64)
    join(np.arange(size), same)
    for query, reference, _ in _shared_pairs(sequences, sequences, k, min_shared):
        upper = query < reference
        join(query[upper], reference[upper])
    return np.unique(parent, return_inverse=True)[1]


@dataclass(frozen=True)
class LeakageReport:
    """Training sequences that a test set holds, exactly or nearly.

    Attributes:
        train: name of the training set.
        test: name of the test set.
        num_train: training sequences checked.
        num_test: test sequences checked against.
        exact: indices of training sequences that occur in the test set letter by letter.
        near: indices of training sequences that share at least `min_shared` k-mers with one test sequence; exact ones
            are not repeated here.
        k: length of the k-mers in nucleotides.
        min_shared: the threshold.
    """

    train: str
    test: str
    num_train: int
    num_test: int
    exact: tuple[int, ...]
    near: tuple[int, ...]
    k: int = 12
    min_shared: int = 8

    @property
    def is_clean(self) -> bool:
        """Whether nothing leaks."""
        return not self.exact and not self.near

    def summary(self) -> dict[str, Any]:
        """Counts for a manifest or a message."""
        return asdict(self) | {"exact": len(self.exact), "near": len(self.near)}

    def __str__(self) -> str:
        return (
            f"{self.train} ({self.num_train}) against {self.test} ({self.num_test}): {len(self.exact)} exact, "
            f"{len(self.near)} near (>= {self.min_shared} shared {self.k}-mers)"
        )


def check_leakage(
    train: Sequence[str],
    test: Sequence[str],
    train_name: str = "train",
    test_name: str = "test",
    k: int = 12,
    min_shared: int = 8,
) -> LeakageReport:
    """Look for a test set's sequences in a training set.

    Args:
        train: training sequences.
        test: test sequences.
        train_name: name for the report.
        test_name: name for the report.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers with one test sequence that count as near-identical.

    Returns:
        The report; `report.is_clean` is what a test asserts.
    """
    exact = is_exact_duplicate(train, test)
    best, _ = max_shared_kmers(train, test, k, min_shared)
    near = (best >= min_shared) & ~exact
    return LeakageReport(
        train=train_name,
        test=test_name,
        num_train=len(train),
        num_test=len(test),
        exact=tuple(np.flatnonzero(exact).tolist()),
        near=tuple(np.flatnonzero(near).tolist()),
        k=k,
        min_shared=min_shared,
    )


def sequences_digest(sequences: Iterable[str]) -> str:
    """SHA-256 of the different sequences, sorted and one a line: the same set gives the same digest in any order."""
    lines = sorted({normalise_sequence(s) for s in sequences})
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


@dataclass(frozen=True)
class ManifestSource:
    """One source of a checkpoint's training data.

    Attributes:
        name: key under which a recipe rebuilds the sequences, such as `lib15k`.
        files: files below the data folder.
        rule: in words, which rows were taken.
        rows: training records.
        sequences: different sequences among them.
        sha256: `sequences_digest` of them, which ties the manifest to the very set that was trained on.
    """

    name: str
    files: tuple[str, ...]
    rule: str
    rows: int
    sequences: int
    sha256: str

    @classmethod
    def from_sequences(cls, name: str, files: Sequence[str], rule: str, sequences: Sequence[str]) -> ManifestSource:
        """Describe the sequences that a training uses."""
        different = len({normalise_sequence(s) for s in sequences})
        return cls(name, tuple(files), rule, len(sequences), different, sequences_digest(sequences))

    def check(self, sequences: Sequence[str]) -> None:
        """Compare rebuilt sequences with the record.

        Raises:
            ValueError: if they are not the set that the manifest names.
        """
        rebuilt = ManifestSource.from_sequences(self.name, self.files, self.rule, sequences)
        if (rebuilt.rows, rebuilt.sha256) != (self.rows, self.sha256):
            raise ValueError(
                f"source {self.name!r}: the manifest names {self.rows} rows ({self.sequences} sequences, sha256 "
                f"{self.sha256[:12]}), the data give {rebuilt.rows} ({rebuilt.sequences}, {rebuilt.sha256[:12]}); "
                "the selection or the data changed since the training: train again or restore the selection"
            )


def write_manifest(path: str | Path, sources: Sequence[ManifestSource], **facts: Any) -> None:
    """Write `training_data.json` beside a checkpoint.

    Args:
        path: the file.
        sources: what was trained on.
        facts: further entries, such as the recipe, the split, and the test sets that were kept out.
    """
    content = {**facts, "sources": [asdict(s) for s in sources]}
    Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(path: str | Path) -> tuple[list[ManifestSource], Mapping[str, Any]]:
    """Read `training_data.json`.

    Returns:
        The sources, and all other entries.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    sources = [ManifestSource(**(s | {"files": tuple(s["files"])})) for s in content.pop("sources")]
    return sources, content
