"""From pairing probabilities to a secondary structure.

The decoder follows the one that RibonanzaNet's secondary-structure model is used with (He et al. 2024, "Ribonanza: deep
learning of RNA structure through dual crowdsourcing"): a linear assignment, solved by the Hungarian algorithm, gives
every nucleotide a partner or leaves it unpaired, so that pseudoknots need no special treatment; weak pairs, conflicts
and short helices are removed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .dotbracket import Pair, normalise_pairs

CANONICAL_PAIRS = (("A", "U"), ("G", "C"), ("G", "U"))


def decode_pairs(
    probabilities: np.ndarray,
    threshold: float = 0.5,
    min_helix_length: int = 2,
    min_loop_length: int = 3,
    sequence: str | None = None,
    canonical_only: bool = False,
    pair_weight: float = 1.0,
) -> list[Pair]:
    """Choose the base pairs of one RNA.

    The matrix is averaged with its transpose, and its diagonal replaced by the probability of being unpaired. The
    assignment that maximises the summed probability of all nucleotides' states is found, in which pairs count
    `pair_weight` times, and its pairs above `threshold` are kept. An assignment may run in a ring (i to j, j to k, k to
    i); then its most probable pairs win, one a nucleotide. At last helices shorter than `min_helix_length` go. A helix
    is an unbroken run of pairs (i, j), (i + 1, j - 1), ...: a bulge or an internal loop ends it, so that the parts on
    either side have to be long enough on their own.

    Args:
        probabilities: (L, L), 0..1, probability that two nucleotides pair. The diagonal is ignored.
        threshold: pairs at or below this probability are dropped; 0 <= threshold < 1.
        min_helix_length: pairs that a helix needs at least; 1 keeps lone pairs.
        min_loop_length: unpaired nucleotides that a hairpin needs at least: j - i > min_loop_length. Pairs that are
            closer are excluded, but still count as pairing in the probability of being unpaired.
        sequence: L letters, needed with `canonical_only`. Case is ignored, T is U.
        canonical_only: exclude all pairs but AU, GC and GU; nucleotides with other letters stay unpaired.
        pair_weight: how much a paired state counts against an unpaired one, above 0; 1 is the original's decoder. With
            more, pairs are found that are less probable: more of the true ones, and more that are not (the gamma of Do
            et al. 2006, Bioinformatics 22:e90).

    Returns:
        0-based pairs (i, j), i < j, sorted, each nucleotide in one pair at most; pseudoknots are possible.

    Raises:
        ValueError: if the matrix is not square, empty, or outside 0..1, or an option is out of range.
    """
    from scipy.optimize import linear_sum_assignment

    pairing = _symmetrise(probabilities)
    length = len(pairing)
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}; a probability of at least 0 and below 1 is needed")
    if min_helix_length < 1:
        raise ValueError(f"min_helix_length is {min_helix_length}; it counts pairs, use 1 to keep lone pairs")
    if min_loop_length < 0:
        raise ValueError(f"min_loop_length is {min_loop_length}; it counts nucleotides, use 0 to allow neighbours")
    if not 0 < pair_weight < np.inf:
        raise ValueError(f"pair_weight is {pair_weight}; use a number above 0, 1 for the original's decoder")
    if canonical_only and sequence is None:
        raise ValueError("canonical_only needs the sequence; pass sequence=...")
    if sequence is not None and len(sequence) != length:
        raise ValueError(
            f"the sequence has {len(sequence)} nucleotides, the probabilities {length}; pass the sequence of this RNA"
        )

    unpaired = _unpaired(pairing)
    positions = np.arange(length)
    is_allowed = np.abs(positions[:, None] - positions) > min_loop_length
    if canonical_only and sequence is not None:
        is_allowed &= _is_canonical(sequence)
    pairing = np.where(is_allowed, pairing, 0.0)

    states = pair_weight * pairing
    np.fill_diagonal(states, unpaired)
    _, partners = linear_sum_assignment(states, maximize=True)
    is_kept = pairing[positions, partners] > threshold
    low, high = np.minimum(positions, partners)[is_kept], np.maximum(positions, partners)[is_kept]
    return _drop_short_helices(_without_conflicts(low, high, pairing[low, high]), min_helix_length)


def unpaired_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Probability that each nucleotide is unpaired: 1 less the sum over all its partners.

    Args:
        probabilities: (L, L), 0..1, probability that two nucleotides pair. The diagonal is ignored.

    Returns:
        (L,), float64, 0..1; 0 where the partners' probabilities add up to more than 1, as independently predicted
        ones may.

    Raises:
        ValueError: if the matrix is not square, empty, or outside 0..1.
    """
    return _unpaired(_symmetrise(probabilities))


def structure_confidence(probabilities: np.ndarray, pairs: Iterable[Pair]) -> float:
    """Mean probability, over nucleotides, of the state that a structure gives them.

    Without restrictions on the pairs and with a `pair_weight` of 1, it is what the assignment in `decode_pairs`
    maximises.

    Args:
        probabilities: (L, L), 0..1, probability that two nucleotides pair. The diagonal is ignored.
        pairs: 0-based pairs of the structure.

    Returns:
        0..1: a paired nucleotide counts with the probability of its pair, another with that of being unpaired.

    Raises:
        ValueError: if the matrix is not square, empty, or outside 0..1, or the pairs are no structure of L nucleotides.
    """
    pairing = _symmetrise(probabilities)
    chosen = _unpaired(pairing)
    for i, j in normalise_pairs(pairs, len(pairing)):
        chosen[i] = chosen[j] = pairing[i, j]
    return float(chosen.mean())


def _symmetrise(probabilities: np.ndarray) -> np.ndarray:
    """Check a matrix of pairing probabilities; return the mean with its transpose, float64, zero on the diagonal."""
    pairing = np.asarray(probabilities, dtype=np.float64)
    if pairing.ndim != 2 or pairing.shape[0] != pairing.shape[1]:
        raise ValueError(f"probabilities have shape {pairing.shape}; pass one RNA's (L, L) matrix, without padding")
    if not len(pairing):
        raise ValueError("probabilities have shape (0, 0); an RNA has at least one nucleotide")
    if not ((pairing >= 0) & (pairing <= 1)).all():  # NaN fails both comparisons
        raise ValueError(
            f"probabilities range from {pairing.min()} to {pairing.max()}; "
            "finite values in 0..1 are needed: apply the sigmoid to logits first"
        )
    pairing = (pairing + pairing.T) / 2
    np.fill_diagonal(pairing, 0.0)
    return pairing


def _unpaired(pairing: np.ndarray) -> np.ndarray:
    """Probability of being unpaired, (L,), from a symmetric (L, L) with zeros on the diagonal."""
    return (1.0 - pairing.sum(axis=1)).clip(0.0, 1.0)


def _is_canonical(sequence: str) -> np.ndarray:
    """Tell which two letters of a sequence make an AU, GC or GU pair: (L, L), boolean, symmetric."""
    table = np.zeros((256, 256), dtype=bool)
    for first, second in CANONICAL_PAIRS:
        table[ord(first), ord(second)] = table[ord(second), ord(first)] = True
    letters = np.frombuffer(sequence.upper().replace("T", "U").encode("ascii", "replace"), dtype=np.uint8)
    return table[letters[:, None], letters]


def _without_conflicts(low: np.ndarray, high: np.ndarray, probability: np.ndarray) -> list[Pair]:
    """Take pairs from the most probable down, 5' first among equals, and skip those with a nucleotide that is taken."""
    taken: set[int] = set()
    pairs = []
    for number in np.lexsort((high, low, -probability)):
        i, j = int(low[number]), int(high[number])
        if i not in taken and j not in taken:
            taken |= {i, j}
            pairs.append((i, j))
    return sorted(pairs)


def _drop_short_helices(pairs: list[Pair], min_helix_length: int) -> list[Pair]:
    """Keep the sorted pairs that stand in a run (i, j), (i + 1, j - 1), ... of at least `min_helix_length`."""
    present = set(pairs)
    kept = []
    for i, j in pairs:
        if (i - 1, j + 1) in present:
            continue  # not the outer end of a helix
        helix = [(i, j)]
        while (helix[-1][0] + 1, helix[-1][1] - 1) in present:
            helix.append((helix[-1][0] + 1, helix[-1][1] - 1))
        if len(helix) >= min_helix_length:
            kept += helix
    return sorted(kept)
