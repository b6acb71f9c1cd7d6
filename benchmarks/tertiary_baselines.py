"""Baselines of C1' traces: a straight A-form strand, a random chain, ViennaRNA's helices put together in space.

What they have to know of real RNAs (two numbers each for the size of a chain and for distances beyond a helix) is
fitted to training chains. Coordinates are in angstrom, positions 0-based.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rna_hf.structure import kabsch, parse_dotbracket

Sampler = Callable[[str], np.ndarray]  # a sequence of L letters to (S, L, 3)

RISE = 2.81  # angstrom a nucleotide
TWIST = np.radians(32.7)  # a nucleotide
RADIUS = 8.35  # of C1' about the helix axis, angstrom
# Where C1' of a strand stands against the dyad of its base pair: angle about the axis, and angstrom along it.
DYAD_ANGLE, DYAD_OFFSET = np.radians(-38.7), 1.06
BOND = 5.6  # median distance of neighbouring C1' in known structures, angstrom
LARGEST_STACKED_LOOP = 3  # unpaired nucleotides of a strand across which a helix goes on
SHORTEST_HELIX = 2  # pairs: a lone pair turns no helix
ROUNDS = 100  # of the majorisation; more of them change no score
BOND_WEIGHT = 30.0  # of neighbours, against a pull of other distances that would tear the chain
PAIRS_PER_CHAIN = 200  # that distances are fitted to, so that long chains count no more than others
NOISE = 5.0  # angstrom, of the start; it is what makes samples of one structure differ


def a_form_helix(levels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Place C1' of a right-handed A-form double helix.

    Rise and twist are those of the fibre (Arnott et al., J. Mol. Biol. 81:107, 1973: 2.81 angstrom and 32.7 degrees). A
    dyad through each base pair turns one strand into the other, so radius, angle and offset from that dyad say the
    rest. They were fitted to the median distances of 1,924 predicted pairs that the structure confirms (9 to 12.5
    angstrom), each with the four pairs stacked on it, in chains of the PDB from before May 2022. They meet them to 0.03
    angstrom (root mean square): 5.5 between neighbours, 10.65 in a pair, 8.0 and 13.7 across to the pairs next to it.

    Args:
        levels: (N,) number of the base pair along the helix, in 5' to 3' direction of the first strand.

    Returns:
        Both strands, each (N, 3): the nucleotides at these levels, and their partners. The axis is z.
    """
    level = np.asarray(levels, dtype=np.float64)
    angle, height = TWIST * level, RISE * level
    first, second = angle + DYAD_ANGLE, angle - DYAD_ANGLE
    return (
        np.stack([RADIUS * np.cos(first), RADIUS * np.sin(first), height + DYAD_OFFSET], axis=-1),
        np.stack([RADIUS * np.cos(second), RADIUS * np.sin(second), height - DYAD_OFFSET], axis=-1),
    )


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


def find_helices(pairs: Sequence[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Group nested pairs into helices that stay straight across bulges and small internal loops.

    Args:
        pairs: nested, sorted.

    Returns:
        For each helix of two pairs and more: 5' nucleotides, their partners and their levels for `a_form_helix`, (N,)
        each. Opposite nucleotides of an internal loop count as pairs for the levels; a bulge leaves the stack.
    """
    helices: list[list[tuple[int, int, int]]] = []
    open_helix: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    partner = dict(pairs)
    for i, j in pairs:
        outer = open_helix.pop((i, j), None)
        if outer is None:
            outer = [(i, j, 0)]
            helices.append(outer)
        for left in range(LARGEST_STACKED_LOOP + 1):
            inner = partner.get(i + 1 + left, -1)
            right = j - 1 - inner
            if inner >= 0 and 0 <= right <= LARGEST_STACKED_LOOP:
                outer.append((i + 1 + left, inner, outer[-1][2] + 1 + min(left, right)))
                open_helix[i + 1 + left, inner] = outer
                break
    columns = [tuple(np.array(helix).T) for helix in helices if len(helix) >= SHORTEST_HELIX]
    return [(first, second, level) for first, second, level in columns]


def graph_distances(length: int, bodies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return shortest ways, (L, L) in angstrom, along the chain and straight through rigid bodies.

    Args:
        length: L.
        bodies: for each its nucleotides (N,) and their places (N, 3).
    """
    from scipy.sparse.csgraph import shortest_path

    graph = np.full((length, length), np.inf)
    graph[np.arange(length - 1), np.arange(1, length)] = BOND
    for rows, places in bodies:
        graph[np.ix_(rows, rows)] = np.linalg.norm(places[:, None] - places, axis=-1)
    return shortest_path(graph, directed=False)


def rigid_helices(structure: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the nucleotides (N,) and places (N, 3) of each helix of a dot-bracket string."""
    bodies = []
    for first, second, level in find_helices(parse_dotbracket(structure)):
        strand, partners = a_form_helix(level)
        bodies.append((np.concatenate([first, second]), np.concatenate([strand, partners])))
    return bodies


def embed(
    length: int, bodies: Sequence[tuple[np.ndarray, np.ndarray]], power: tuple[float, float], seed: int
) -> np.ndarray:
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
    weights[_neighbours(length)] *= BOND_WEIGHT
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


def expected_distances(
    ways: np.ndarray, bodies: Sequence[tuple[np.ndarray, np.ndarray]], power: tuple[float, float]
) -> np.ndarray:
    """Turn shortest ways (L, L) into expected distances: those within a helix and to a neighbour hold as they are."""
    scale, exponent = power
    target = np.where(ways > 0, np.minimum(scale * np.maximum(ways, 1e-9) ** exponent, ways), 0.0)
    for rows, _ in bodies:
        target[np.ix_(rows, rows)] = ways[np.ix_(rows, rows)]
    neighbours = _neighbours(len(ways))
    target[neighbours] = ways[neighbours]
    return target


def _neighbours(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Index the two diagonals of an (L, L) matrix that hold neighbours in the chain."""
    first, second = np.arange(length - 1), np.arange(1, length)
    return np.concatenate([first, second]), np.concatenate([second, first])


def _moved(places: np.ndarray, onto: np.ndarray) -> np.ndarray:
    rotation, translation = kabsch(places, onto)
    return places @ rotation.T + translation


def _misfit(trace: np.ndarray, bodies: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
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
    ways, distances = [], []
    for sequence, chain in zip(sequences, chains):
        bodies = rigid_helices(fold_samples(sequence, 1)[0])
        graph = graph_distances(len(sequence), bodies)
        free = np.triu(np.ones_like(graph, dtype=bool), 2)
        for rows, _ in bodies:
            free[np.ix_(rows, rows)] = False
        chosen = np.random.default_rng(seed).permutation(np.argwhere(free))[:PAIRS_PER_CHAIN]
        ways.append(graph[tuple(chosen.T)])
        distances.append(np.linalg.norm(chain[chosen[:, 0]] - chain[chosen[:, 1]], axis=1))
    power = fit_power(np.concatenate(ways), np.concatenate(distances))

    def sample(sequence: str) -> np.ndarray:
        structures = fold_samples(sequence, num_samples, seed)
        return np.stack(
            [
                embed(len(sequence), rigid_helices(structure), power, seed + number)
                for number, structure in enumerate(structures)
            ]
        )

    return sample
