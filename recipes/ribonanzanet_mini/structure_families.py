"""Families of RNAs by their resemblance to ArchiveII, whose families are known: in words, and in shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

K = 6  # nucleotides of the counted words
LEAST_COSINE = 0.3  # below, the closest RNA says nothing about the family
SAME_LENGTH = 0.1  # by how much of a family's median length an RNA of its shape may be longer or shorter
LIKE_LENGTH = 0.25  # the same for an RNA that may have a hairpin more or less than the shape
_BLOCK = 1000  # sequences compared at a time
# A sequence and its pairs (i, j), i < j.
Structure = tuple[str, Sequence[tuple[int, int]]]
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


def abstract_shape(pairs: Sequence[tuple[int, int]]) -> str:
    """Return how helices are nested, such as `[[][][]]` for a cloverleaf; bulges and internal loops don't count.

    It is the most abstract shape of Giegerich et al. 2004, Nucleic Acids Res. 32:4843.

    Args:
        pairs: (i, j), i < j, sorted; of two that cross, the second is left out.
    """
    ends: list[float] = []  # where the pairs that are open close
    helices: list[list[str]] = [[]]  # outside, and inside each of them, what has closed
    for i, j in [*pairs, (math.inf, math.inf)]:
        while ends and ends[-1] < i:
            ends.pop()
            inner = helices.pop()
            helices[-1].append(inner[0] if len(inner) == 1 else f"[{''.join(inner)}]")
        if not ends or j < ends[-1]:
            ends.append(j)
            helices.append([])
    return "".join(helices[0])


def near_shapes(shape: str) -> set[str]:
    """Return an abstract shape and those with a hairpin more, anywhere, or less, where more than a hairpin is left."""
    more = {shape[:place] + "[]" + shape[place:] for place in range(len(shape) + 1)}
    less = {shape[:place] + shape[place + 2 :] for place in range(len(shape)) if shape[place : place + 2] == "[]"}
    return {shape} | {near for near in more | less if near and "[[]]" not in near}


def find_alike(rnas: Sequence[Structure], family: Sequence[Structure], loosely: bool = False) -> np.ndarray:
    """Find the RNAs of a family's most frequent shape and of its median length.

    Args:
        rnas: sequence and pairs of each.
        family: sequence and pairs of its members.
        loosely: also find RNAs with a hairpin more or less, such as tRNAs with a long variable arm, and allow for a
            quarter of the length rather than a tenth.

    Returns:
        (N,) whether an RNA is alike.
    """
    shape, _ = Counter(abstract_shape(pairs) for _, pairs in family).most_common(1)[0]
    length = float(np.median([len(sequence) for sequence, _ in family]))
    shapes = near_shapes(shape) if loosely else {shape}
    tolerance = (LIKE_LENGTH if loosely else SAME_LENGTH) * length
    return np.array(
        [abs(len(sequence) - length) <= tolerance and abstract_shape(pairs) in shapes for sequence, pairs in rnas],
        dtype=bool,
    )
