"""Motifs: k-mers that more windows of RNAs hold than others do.

A window counts once for a k-mer, however often it holds it, so that repeats in one RNA don't count as evidence. Two
sets of windows are compared by Fisher's exact test (one-sided: more in the first), corrected for the number of k-mers
by Benjamini and Hochberg (1995). The test takes windows as independent: give windows that don't overlap.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DEFAULT_MOTIF_LENGTH = 6
# A table has 4 ** k entries.
MAX_MOTIF_LENGTH = 10

_LETTERS = "ACGU"
_CODES = np.full(256, -1, dtype=np.int64)
for _code, _letter in enumerate(_LETTERS):
    _CODES[[ord(_letter), ord(_letter.lower())]] = _code
_CODES[[ord("T"), ord("t")]] = _LETTERS.index("U")


class KmerCounts:
    """Number of sequences that hold each k-mer.

    Args:
        k: length of the k-mers, nucleotides, 1 to 10.

    Attributes:
        k: as given.
        num_sequences: how many sequences were added.
        counts: (4 ** k,), for each k-mer the number of sequences that hold it; in the order of `kmers`.

    Raises:
        ValueError: k is out of range.
    """

    def __init__(self, k: int = DEFAULT_MOTIF_LENGTH):
        if not 1 <= k <= MAX_MOTIF_LENGTH:
            raise ValueError(f"k must be a whole number from 1 to {MAX_MOTIF_LENGTH}, got {k!r}")
        self.k = k
        self.num_sequences = 0
        self.counts = np.zeros(4**k, dtype=np.int64)

    @property
    def kmers(self) -> list[str]:
        """All k-mers in the order of their letters: `AA`, `AC`, `AG`, `AU`, `CA`, ..."""
        kmers = [""]
        for _ in range(self.k):
            kmers = [kmer + letter for kmer in kmers for letter in _LETTERS]
        return kmers

    def add(self, sequences: Iterable[str]) -> None:
        """Count sequences: either case, T is read as U, and a k-mer with another letter in it is none."""
        for sequence in sequences:
            self.num_sequences += 1
            codes = _CODES[np.frombuffer(sequence.encode("latin-1"), dtype=np.uint8)]
            if len(codes) < self.k:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(codes, self.k)
            windows = windows[(windows >= 0).all(axis=1)]
            self.counts[np.unique(windows @ 4 ** np.arange(self.k - 1, -1, -1))] += 1


@dataclass(frozen=True)
class Enrichment:
    """How much more often sequences of one set hold each k-mer than those of another set; arrays (4 ** k,).

    Attributes:
        log2_odds: binary logarithm of the odds ratio, with 0.5 added to each of its four counts; above 0 where the
            first set holds more.
        p_values: probability of at least so many in the first set by chance, 0 to 1 (Fisher's exact test).
        q_values: the p-values corrected for the number of k-mers, 0 to 1 (Benjamini and Hochberg).
    """

    log2_odds: np.ndarray
    p_values: np.ndarray
    q_values: np.ndarray


def compare_counts(counts: KmerCounts, background: KmerCounts) -> Enrichment:
    """Test each k-mer for being in more sequences of the first set than of the background.

    Raises:
        ValueError: the k-mers differ in length, or a set has no sequence.
    """
    from scipy.stats import false_discovery_control, hypergeom

    if counts.k != background.k:
        raise ValueError(f"k-mers of {counts.k} and of {background.k} nt cannot be compared; count both with one k")
    if not counts.num_sequences or not background.num_sequences:
        raise ValueError("one of the two sets has no sequence; add some to both")
    with_kmer, others = counts.counts, background.counts
    total = counts.num_sequences + background.num_sequences
    # Values just above 1 come from rounding.
    p_values = np.minimum(hypergeom.sf(with_kmer - 1, total, with_kmer + others, counts.num_sequences), 1.0)
    odds = (with_kmer + 0.5) / (counts.num_sequences - with_kmer + 0.5)
    background_odds = (others + 0.5) / (background.num_sequences - others + 0.5)
    return Enrichment(np.log2(odds / background_odds), p_values, false_discovery_control(p_values))


def shuffle_dinucleotides(sequence: str, generator: random.Random) -> str:
    """Shuffle a sequence so that each pair of neighbours is there as often as before.

    All such sequences are equally probable (Altschul and Erickson, Mol. Biol. Evol. 2, 526, 1985). The first and the
    last letter stay where they are.

    Args:
        sequence: any letters.
        generator: source of chance; a seeded one gives the same sequences again.
    """
    if len(sequence) < 4:  # there is one way only
        return sequence
    followers: dict[str, list[str]] = {}
    for letter, follower in itertools.pairwise(sequence):
        followers.setdefault(letter, []).append(follower)
    end = sequence[-1]
    # The order in which each letter's followers are used must leave no letter unused: its last follower has to lead
    # on to the end.
    while True:
        for letters in followers.values():
            generator.shuffle(letters)
        if all(_leads_to(end, letter, followers) for letter in followers):
            break
    unused = {letter: iter(letters) for letter, letters in followers.items()}
    shuffled = [sequence[0]]
    for _ in range(len(sequence) - 1):
        shuffled.append(next(unused[shuffled[-1]]))
    return "".join(shuffled)


def _leads_to(end: str, letter: str, followers: dict[str, list[str]]) -> bool:
    """Tell whether the last followers lead from a letter to the end, not in a circle."""
    for _ in followers:
        if letter == end:
            return True
        letter = followers[letter][-1]
    return letter == end


def rank_motifs(counts: KmerCounts, backgrounds: Mapping[str, KmerCounts]) -> dict[str, list[Any]]:
    """Compare k-mers with several backgrounds; the first are those that stand out against each of them.

    Args:
        counts: of the sequences of interest.
        backgrounds: by name. One without any sequence tells nothing: what it would say is None.

    Returns:
        The columns of a table, by name, with a row for each k-mer that a sequence of interest holds, in the order of
        the largest of its p-values: `motif`, `windows` (how many of these sequences hold it), `fraction` (of them, 0 to
        1), and for each background `fraction_<name>`, `log2_odds_<name>`, `p_value_<name>` and `q_value_<name>`, see
        `Enrichment`.
    """
    found = np.flatnonzero(counts.counts)
    worst = np.zeros(len(found))
    kmers = counts.kmers
    columns: dict[str, list[Any]] = {
        "motif": [kmers[index] for index in found],
        "windows": counts.counts[found].tolist(),
        "fraction": (counts.counts[found] / max(1, counts.num_sequences)).tolist(),
    }
    for name, background in backgrounds.items():
        if background.num_sequences and counts.num_sequences:
            enrichment = compare_counts(counts, background)
            worst = np.maximum(worst, enrichment.p_values[found])
            values = {
                "fraction": background.counts / background.num_sequences,
                "log2_odds": enrichment.log2_odds,
                "p_value": enrichment.p_values,
                "q_value": enrichment.q_values,
            }
            columns |= {f"{value}_{name}": array[found].tolist() for value, array in values.items()}
        else:
            nothing = [None] * len(found)
            columns |= {f"{value}_{name}": nothing for value in ("fraction", "log2_odds", "p_value", "q_value")}
    order = np.argsort(worst, kind="stable")
    return {name: [values[index] for index in order] for name, values in columns.items()}
