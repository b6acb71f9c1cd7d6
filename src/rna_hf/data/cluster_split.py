"""Splits that keep similar RNAs together, and the report of what a split leaks.

A random split of an RNA library puts near-copies of the training sequences (mutants, neighbouring windows of a genome,
members of a family) into the test set, which then measures memory. Here whole clusters go to one side.

Two sequences are similar when they share at least `min_shared` different k-mers, or `min_share` of the k-mers of the
one that has fewer, whichever is less: long RNAs count as similar by one stretch in common (eight 12-mers: 19
nucleotides), RNAs too short for that by half of what they have. Constant parts of libraries do not count, as in
`splits`; but a hairpin that serves as barcode does, and where barcodes are used twice (Ribonanza's 15k library) its up
to 12 k-mers join unrelated RNAs: take 20 for `min_shared` there. RNAs shorter than k are similar to exact copies only:
choose a smaller k for a set of those.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .splits import _kmer_table, _shared_pairs, is_exact_duplicate, normalise_sequence

if TYPE_CHECKING:
    from datasets import Dataset

DEFAULT_FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}

# Clusters of more than this part of the smallest set are placed first, while every set has room.
_LARGE = 0.1


def split_by_similarity(
    sequences: Sequence[str] | Dataset,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    k: int = 12,
    min_shared: int = 8,
    min_share: float = 0.5,
) -> dict[str, np.ndarray]:
    """Split RNAs so that no two similar ones are on different sides.

    Args:
        sequences: RNA or DNA letters, or a `Dataset` with a column `sequence`.
        fractions: name of each set and its part of the sequences; they add up to 1.
        seed: which of the many such splits.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers that make two sequences similar.
        min_share: part (0..1) of the shorter sequence's k-mers that does so too.

    Returns:
        Sorted row numbers of each set, for `Dataset.select`. Sizes come near the fractions as far as the clusters
        allow, for a cluster is never cut; a warning says when a set gets less than half of its part.

    Raises:
        ValueError: the fractions are none, or there are too few clusters to fill every set.

    Example:
        >>> rows = split_by_similarity(dataset, {"train": 0.9, "test": 0.1})
        >>> train, test = dataset.select(rows["train"]), dataset.select(rows["test"])
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"fractions are {dict(fractions)}; each must be positive and together they must be 1")
    clusters = cluster_by_similarity(sequences, k, min_shared, min_share)
    sizes = np.bincount(clusters)
    wanted = np.array(list(fractions.values())) * len(clusters)

    generator = np.random.default_rng(seed)
    order = generator.permutation(len(sizes))
    # The small clusters stay in random order; the large ones go first, by size.
    key = np.where(sizes[order] > _LARGE * wanted.min(), sizes[order], 0)
    missing = wanted.copy()
    place = np.empty(len(sizes), dtype=np.int64)
    for cluster in order[np.argsort(-key, kind="stable")]:
        place[cluster] = int(np.argmax(missing))
        missing[place[cluster]] -= sizes[cluster]

    split = {name: np.flatnonzero(place[clusters] == number) for number, name in enumerate(fractions)}
    if empty := [name for name, rows in split.items() if not len(rows)]:
        raise ValueError(
            f"the {len(clusters)} sequences form {len(sizes)} clusters (largest {sizes.max(initial=0)}), too few to "
            f"fill {', '.join(empty)}; give more sequences or fewer sets, or raise min_shared and min_share"
        )
    counts = {name: len(rows) for name, rows in split.items()}
    if any(count < size / 2 for count, size in zip(counts.values(), wanted)):
        warnings.warn(
            f"the sets have {counts} sequences, far from the fractions: the largest of {len(sizes)} clusters has "
            f"{sizes.max()}. If unrelated RNAs share a designed part, raise min_shared",
            stacklevel=2,
        )
    return split


def cluster_by_similarity(
    sequences: Sequence[str] | Dataset, k: int = 12, min_shared: int = 8, min_share: float = 0.5
) -> np.ndarray:
    """Join sequences that are similar, directly or through others (single linkage).

    Args:
        sequences: RNA or DNA letters, or a `Dataset` with a column `sequence`.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers that make two sequences similar.
        min_share: part (0..1) of the shorter sequence's k-mers that does so too.

    Returns:
        (N,) cluster numbers from 0, in the order of first occurrence. Exact copies are always together.
    """
    texts = _texts(sequences)
    seen: dict[str, int] = {}
    labels = np.array(
        [seen.setdefault(normalise_sequence(text), row) for row, text in enumerate(texts)], dtype=np.int64
    )
    for first, second, _ in _similar_pairs(texts, texts, k, min_shared, min_share):
        labels = _merge_labels(labels, first, second)
    return np.unique(labels, return_inverse=True)[1]


def _merge_labels(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Give the two rows of each pair, and all rows that have their labels, the smaller label of the two.

    Args:
        labels: (N,) label of each row, which is the row number of its first bearer.
        first: (P,) one row of each pair.
        second: (P,) the other.
    """
    while True:
        a, b = labels[first], labels[second]
        differ = a != b
        if not differ.any():
            return labels
        first, second = first[differ], second[differ]
        target = np.arange(len(labels))
        np.minimum.at(target, np.maximum(a, b)[differ], np.minimum(a, b)[differ])
        while not np.array_equal(target, target[target]):
            target = target[target]
        labels = target[labels]


@dataclass(frozen=True)
class SplitLeakage:
    """How much of a test set the training set already holds.

    Attributes:
        train: name of the training set.
        test: name of the test set.
        num_train: training sequences.
        num_test: test sequences.
        exact: rows of test sequences that occur in the training set letter by letter (case and T or U aside).
        near: rows of the others that are similar to a training sequence.
        max_share: (num_test,) part of its k-mers that a test sequence shares with the closest training sequence, of
            the two the one that has fewer k-mers counting; 1 for an exact copy.
        k: length of the k-mers in nucleotides.
    """

    train: str
    test: str
    num_train: int
    num_test: int
    exact: np.ndarray
    near: np.ndarray
    max_share: np.ndarray
    k: int

    @property
    def is_clean(self) -> bool:
        """Whether no test sequence has an exact or near copy in the training set."""
        return not len(self.exact) and not len(self.near)

    def __str__(self) -> str:
        def count(rows: np.ndarray) -> str:
            return f"{len(rows)} ({100 * len(rows) / max(self.num_test, 1):.1f} %)"

        return (
            f"{self.test} ({self.num_test} sequences) against {self.train} ({self.num_train}): "
            f"{count(self.exact)} with an exact copy, {count(self.near)} with a near copy; "
            f"largest share of {self.k}-mers in common {self.max_share.max(initial=0):.2f}"
        )


def report_leakage(
    train: Sequence[str] | Dataset,
    test: Sequence[str] | Dataset,
    train_name: str = "train",
    test_name: str = "test",
    k: int = 12,
    min_shared: int = 8,
    min_share: float = 0.5,
) -> SplitLeakage:
    """Count the test sequences that have a copy, exact or near, in the training set.

    Args:
        train: RNA or DNA letters, or a `Dataset` with a column `sequence`.
        test: the same.
        train_name: name for the report.
        test_name: name for the report.
        k: length of the k-mers in nucleotides.
        min_shared: shared k-mers that make two sequences similar.
        min_share: part (0..1) of the shorter sequence's k-mers that does so too.

    Returns:
        The report: print it, or assert its `is_clean`.
    """
    train, test = _texts(train), _texts(test)
    is_exact = is_exact_duplicate(test, train)
    is_near = np.zeros(len(test), dtype=bool)
    for queries, _, _ in _similar_pairs(test, train, k, min_shared, min_share):
        is_near[queries] = True
    max_share = is_exact.astype(np.float64)
    test_counts, train_counts = _count_kmers(test, k), _count_kmers(train, k)
    for queries, references, shared in _shared_pairs(test, train, k, 1):
        np.maximum.at(max_share, queries, shared / np.minimum(test_counts[queries], train_counts[references]))
    return SplitLeakage(
        train=train_name,
        test=test_name,
        num_train=len(train),
        num_test=len(test),
        exact=np.flatnonzero(is_exact),
        near=np.flatnonzero(is_near & ~is_exact),
        max_share=max_share,
        k=k,
    )


def _texts(sequences: Sequence[str] | Dataset) -> list[str]:
    """Return sequences as a list, from the column `sequence` if they are a `Dataset`."""
    if isinstance(sequences, (list, tuple)):
        return list(sequences)
    from datasets import Dataset

    if not isinstance(sequences, Dataset):
        return list(sequences)
    if "sequence" not in sequences.column_names:
        raise ValueError(f"the data set has no column 'sequence'; its columns are {', '.join(sequences.column_names)}")
    return list(sequences["sequence"])


def _count_kmers(sequences: Sequence[str], k: int) -> np.ndarray:
    """Count the different k-mers of each sequence."""
    return np.bincount(_kmer_table(sequences, k)[1], minlength=len(sequences))


def _similar_pairs(
    queries: Sequence[str], references: Sequence[str], k: int, min_shared: int, min_share: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (query, reference, shared k-mers) of similar pairs, some at a time; a pair may come twice."""
    if min_shared < 1 or not 0 < min_share <= 1:
        raise ValueError(f"min_shared is {min_shared} and min_share {min_share}; at least 1 and in (0, 1] are needed")
    yield from _shared_pairs(queries, references, k, min_shared)
    # What is left are pairs with a short sequence, for which fewer k-mers are enough.
    enough = [np.ceil(min_share * _count_kmers(sequences, k)) for sequences in (queries, references)]
    short = [np.flatnonzero(numbers < min_shared) for numbers in enough]
    for query_rows, reference_rows in (
        (short[0], np.arange(len(references))),
        (np.arange(len(queries)), short[1]),
    ):
        some_queries = [queries[row] for row in query_rows.tolist()]
        some_references = [references[row] for row in reference_rows.tolist()]
        for first, second, shared in _shared_pairs(some_queries, some_references, k, 1):
            first, second = query_rows[first], reference_rows[second]
            keep = shared >= np.minimum(enough[0][first], enough[1][second])
            yield first[keep], second[keep], shared[keep]
