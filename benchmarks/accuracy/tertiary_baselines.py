"""Baselines of C1' traces: a straight A-form strand, a random chain, ViennaRNA's helices put together in space.

What they have to know of real RNAs (two numbers each for the size of a chain and for distances beyond a helix) is
fitted to training chains. Coordinates are in angstrom, positions 0-based.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rna_hf.structure import kabsch, parse_dotbracket
from rna_hf.structure.helices import (
    BOND,
    Body,
    a_form_helix,
    chain_neighbours,
    expected_distances,
    graph_distances,
    rigid_helices,
)

Sampler = Callable[[str], np.ndarray]  # a sequence of L letters to (S, L, 3)

ROUNDS = 100  # of the majorisation; more of them change no score
BOND_WEIGHT = 30.0  # of neighbours, against a pull of other distances that would tear the chain
PAIRS_PER_CHAIN = 200  # that distances are fitted to, so that long chains count no more than others
NOISE = 5.0  # angstrom, of the start; it is what makes samples of one structure differ


def straight_helix(sequence: str) -> np.ndarray:
    """Return one strand of an A-form helix from end to end, (1, L, 3)."""
    return a_form_helix(np.arange(len(sequence)))[0][None]


def fit_power(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Fit y = a x^b to positive values by least squares of their logarithms, and return a and b."""
    exponent, offset = np.polyfit(np.log(x), np.log(y), 1)
    return float(np.exp(offset)), float(exponent)


def fit_random_chain(chains: Sequence[np.ndarray], num_samples: int = 5, seed: int = 0) -> Sampler:
    """Fit the radius of gyration to the length, for random chains as large as real ones.

    Args:
        chains: (L, 3) of each training chain, complete.
        num_samples: of each sequence.
        seed: of the chains.

    Returns:
        Makes freely rotating chains: steps of 5.6 angstrom, each at a fixed angle to the one before it and else in a
        random direction. The angle is that which gives long chains the radius of gyration of known structures.
    """
    radii = [float(np.sqrt(chain.var(0).sum())) for chain in chains]
    scale, exponent = fit_power([len(chain) for chain in chains], radii)

    def sample(sequence: str) -> np.ndarray:
        length = len(sequence)
        generator = np.random.default_rng([seed, length])
        # The squared radius of gyration is L b^2 / 6 for steps b in any direction, and (1 + c) / (1 - c) times as much
        # for steps with cosine c (Flory, Statistical Mechanics of Chain Molecules, 1969, chapter I).
        stiffness = 6 * (scale * length**exponent) ** 2 / (length * BOND**2)
        cosine = (stiffness - 1) / (stiffness + 1)
        steps = generator.normal(size=(num_samples, length, 3))
        for i in range(length):
            if i:
                before = steps[:, i - 1]
                across = steps[:, i] - (steps[:, i] * before).sum(-1, keepdims=True) * before
                across /= np.linalg.norm(across, axis=-1, keepdims=True)
                steps[:, i] = cosine * before + np.sqrt(1 - cosine**2) * across
            steps[:, i] /= np.linalg.norm(steps[:, i], axis=-1, keepdims=True)
        return BOND * steps.cumsum(1)

    return sample


def embed(length: int, bodies: Sequence[Body], power: tuple[float, float], seed: int) -> np.ndarray:
    """Place nucleotides so that helices are rigid and all other distances as near as can be to what is expected.

    Weighted stress majorisation (Gansner, Koren and North, Graph Drawing 2004: weights are inverse squared distances)
    from a start by classical scaling; after each round every helix is put back into shape where it lies. That keeps it
    right-handed too, and the start is the mirror image that suits the helices better.

    Args:
        length: L, at least 3.
        bodies: of `rigid_helices`.
        power: a and b; a pair that no helix fixes is expected at a g^b angstrom, g its shortest way.
        seed: of the start.

    Returns:
        (L, 3), angstrom.
    """
    ways = graph_distances(length, bodies)
    target = expected_distances(ways, bodies, power)
    off = ~np.eye(length, dtype=bool)
    weights = np.zeros_like(target)
    weights[off] = target[off] ** -2.0
    weights[chain_neighbours(length)] *= BOND_WEIGHT
    laplacian = np.diag(weights.sum(1)) - weights
    inverse = np.linalg.pinv(laplacian)

    centring = np.eye(length) - 1 / length
    values, vectors = np.linalg.eigh(-0.5 * centring @ target**2 @ centring)
    trace = vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0))
    trace = trace + np.random.default_rng(seed).normal(0, NOISE, trace.shape)
    mirrored = trace * (1, 1, -1)
    if _misfit(mirrored, bodies) < _misfit(trace, bodies):
        trace = mirrored
    for _ in range(ROUNDS):
        gaps = np.linalg.norm(trace[:, None] - trace, axis=-1)
        ratio = np.where(off, -weights * target / np.maximum(gaps, 1e-9), 0.0)
        ratio[np.arange(length), np.arange(length)] = -ratio.sum(1)
        trace = inverse @ ratio @ trace
        for rows, places in bodies:
            trace[rows] = _moved(places, trace[rows])
    return trace


def _moved(places: np.ndarray, onto: np.ndarray) -> np.ndarray:
    rotation, translation = kabsch(places, onto)
    return places @ rotation.T + translation


def _misfit(trace: np.ndarray, bodies: Sequence[Body]) -> float:
    """Sum of squared distances of helices to their best rigid places."""
    return float(sum(((_moved(places, trace[rows]) - trace[rows]) ** 2).sum() for rows, places in bodies))


def fold_samples(sequence: str, num_samples: int, seed: int = 0) -> list[str]:
    """Return ViennaRNA's minimum free energy structure, and others drawn from the ensemble (37 C), as dot-brackets."""
    import RNA

    details = RNA.md()
    details.uniq_ML = 1  # sampling needs it
    compound = RNA.fold_compound(sequence, details)
    structure, energy = compound.mfe()
    compound.exp_params_rescale(energy)
    compound.pf()
    RNA.init_rand(seed)
    return [structure, *compound.pbacktrack(num_samples - 1)]


def loose_distances(
    sequences: Sequence[str], chains: Sequence[np.ndarray], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return shortest ways and distances, (N,) each in angstrom, of pairs of nucleotides that nothing fixes.

    Args:
        sequences: of the training chains, whose helices are those of ViennaRNA's structures.
        chains: (L, 3) of each, complete.
        seed: of the choice of pairs, 200 of each chain.
    """
    ways, distances = [], []
    for sequence, chain in zip(sequences, chains):
        bodies = rigid_helices(parse_dotbracket(fold_samples(sequence, 1)[0]))
        graph = graph_distances(len(sequence), bodies)
        free = np.triu(np.ones_like(graph, dtype=bool), 2)
        for rows, _ in bodies:
            free[np.ix_(rows, rows)] = False
        chosen = np.random.default_rng(seed).permutation(np.argwhere(free))[:PAIRS_PER_CHAIN]
        ways.append(graph[tuple(chosen.T)])
        distances.append(np.linalg.norm(chain[chosen[:, 0]] - chain[chosen[:, 1]], axis=1))
    return np.concatenate(ways), np.concatenate(distances)


def fit_helix_assembly(
    sequences: Sequence[str], chains: Sequence[np.ndarray], num_samples: int = 5, seed: int = 0
) -> Sampler:
    """Fit how far apart nucleotides are that no helix fixes, for ViennaRNA's helices put together in space.

    Args:
        sequences: of the training chains.
        chains: (L, 3) of each, complete.
        num_samples: of each sequence: the first from the minimum free energy, the others from the ensemble.
        seed: of the sampled structures and of the starts.

    Returns:
        Assembles helices for a sequence; see `embed`.
    """
    power = fit_power(*loose_distances(sequences, chains, seed))

    def sample(sequence: str) -> np.ndarray:
        structures = fold_samples(sequence, num_samples, seed)
        return np.stack(
            [
                embed(len(sequence), rigid_helices(parse_dotbracket(structure)), power, seed + number)
                for number, structure in enumerate(structures)
            ]
        )

    return sample
