"""Families of RNAs by their resemblance to ArchiveII, whose families are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

K = 6  # nucleotides of the counted words
LEAST_COSINE = 0.3  # below, the closest RNA says nothing about the family
_BLOCK = 1000  # sequences compared at a time
# A power of 4 for each place of a word; 4 ** K marks words with a letter other than ACGU.
_LETTERS = {letter: code for code, letter in enumerate("ACGU")}


def count_words(sequences: Sequence[str]) -> np.ndarray:
    """Count the 6-mers of each sequence and scale the counts to length 1.

    Args:
        sequences: upper case, U for T; words with other letters do not count.

    Returns:
        (N, 4096) float32; zeros for a sequence without words.
    """
    counts = np.zeros((len(sequences), 4**K), dtype=np.float32)
    for row, sequence in zip(counts, sequences):
        codes = np.array([_LETTERS.get(letter, 4**K) for letter in sequence])
        if len(codes) >= K:
            words = np.lib.stride_tricks.sliding_window_view(codes, K) @ 4 ** np.arange(K)
            row += np.bincount(words[words < 4**K], minlength=4**K)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def closest_families(sequences: Sequence[str], references: Sequence[str], families: Sequence[str]) -> list[str]:
    """Name the family of the most similar reference of each sequence.

    Args:
        sequences: upper case, U for T.
        references: sequences of known family, such as ArchiveII.
        families: of the references.

    Returns:
        A family each; empty where the cosine of the counts of 6-mers is below 0.3 for every reference.
    """
    known = count_words(references)
    result: list[str] = []
    for start in range(0, len(sequences), _BLOCK):
        cosines = count_words(sequences[start : start + _BLOCK]) @ known.T
        closest = cosines.argmax(1)
        result += [
            families[index] if row[index] >= LEAST_COSINE else "" for row, index in zip(cosines, closest.tolist())
        ]
    return result
