"""Helices in space, and from them the distances that a secondary structure lets expect.

Traces are of the atom C1', coordinates and distances in angstrom, positions 0-based.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .dotbracket import Pair

Body = tuple[np.ndarray, np.ndarray]  # nucleotides (N,) of what is rigid, and their places (N, 3) in a frame of its own

RISE = 2.81  # angstrom a nucleotide
TWIST = np.radians(32.7)  # a nucleotide
RADIUS = 8.35  # of C1' about the helix axis, angstrom
# Where C1' of a strand stands against the dyad of its base pair: angle about the axis, and angstrom along it.
DYAD_ANGLE, DYAD_OFFSET = np.radians(-38.7), 1.06
BOND = 5.6  # median distance of neighbouring C1' in known structures, angstrom
LARGEST_STACKED_LOOP = 3  # unpaired nucleotides of a strand across which a helix goes on
SHORTEST_HELIX = 2  # pairs: a lone pair turns no helix
# A pair of nucleotides that no helix fixes is expected at a g^b angstrom, g its shortest way in angstrom: a and b, by
# least squares of the logarithms over 200 pairs of each of the 691 training chains of `task_tables.py 3d`, with the
# minimum free energy structures of ViennaRNA (benchmark `helix_constants`).
EXPECTED_POWER = (2.889, 0.597)


def a_form_helix(
    levels: ArrayLike, radius: float = RADIUS, dyad_angle: float = DYAD_ANGLE, dyad_offset: float = DYAD_OFFSET
) -> tuple[np.ndarray, np.ndarray]:
    """Place C1' of a right-handed A-form double helix.

    Rise and twist are those of the fibre (Arnott et al., J. Mol. Biol. 81:107, 1973: 2.81 angstrom and 32.7 degrees). A
    dyad through each base pair turns one strand into the other, so radius, angle and offset from that dyad say the
    rest. They were fitted to the median distances in 2,002 stacks of five predicted pairs that the structure confirms
    (9 to 12.5 angstrom), in chains of the PDB from before May 2022 (benchmark `helix_constants`). They meet them to
    0.03 angstrom (root mean square): 5.5 between neighbours, 10.65 in a pair, 8.0 and 13.7 across to the pairs next to
    it.

    Args:
        levels: (N,) number of the base pair along the helix, in 5' to 3' direction of the first strand.
        radius: of C1' about the axis, angstrom.
        dyad_angle: from the dyad of a base pair to C1' of its first strand, about the axis, radians.
        dyad_offset: the same along the axis, angstrom.

    Returns:
        Both strands, each (N, 3): the nucleotides at these levels, and their partners. The axis is z.
    """
    level = np.asarray(levels, dtype=np.float64)
    angle, height = TWIST * level, RISE * level
    first, second = angle + dyad_angle, angle - dyad_angle
    return (
        np.stack([radius * np.cos(first), radius * np.sin(first), height + dyad_offset], axis=-1),
        np.stack([radius * np.cos(second), radius * np.sin(second), height - dyad_offset], axis=-1),
    )


def find_helices(pairs: Sequence[Pair]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Group pairs into helices that stay straight across bulges and small internal loops.

    Args:
        pairs: (i, j), i < j, sorted, each nucleotide in one at most. They may cross: each helix of a pseudoknot is one
            of its own.

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
                # Of two pairs that cross, the first may have the next one already; then the other stacks on nothing.
                if (i + 1 + left, inner) not in open_helix:
                    outer.append((i + 1 + left, inner, outer[-1][2] + 1 + min(left, right)))
                    open_helix[i + 1 + left, inner] = outer
                break
    columns = [tuple(np.array(helix).T) for helix in helices if len(helix) >= SHORTEST_HELIX]
    return [(first, second, level) for first, second, level in columns]


def rigid_helices(pairs: Sequence[Pair]) -> list[Body]:
    """Return the nucleotides and places of each helix of a structure, given as `find_helices` takes it."""
    bodies = []
    for first, second, level in find_helices(pairs):
        strand, partners = a_form_helix(level)
        bodies.append((np.concatenate([first, second]), np.concatenate([strand, partners])))
    return bodies


def graph_distances(length: int, bodies: Sequence[Body]) -> np.ndarray:
    """Return shortest ways, (L, L) in angstrom, along the chain and straight through rigid bodies.

    Args:
        length: L, at least 1.
        bodies: of `rigid_helices`.
    """
    from scipy.sparse.csgraph import shortest_path

    graph = np.full((length, length), np.inf)
    graph[np.arange(length - 1), np.arange(1, length)] = BOND
    for rows, places in bodies:
        graph[np.ix_(rows, rows)] = np.linalg.norm(places[:, None] - places, axis=-1)
    return shortest_path(graph, directed=False)


def expected_distances(
    ways: np.ndarray, bodies: Sequence[Body], power: tuple[float, float] = EXPECTED_POWER
) -> np.ndarray:
    """Turn shortest ways into expected distances: those within a helix and to a neighbour hold as they are.

    Args:
        ways: (L, L), angstrom, of `graph_distances`.
        bodies: of `rigid_helices`.
        power: a and b; a pair that no helix fixes is expected at a g^b angstrom, g its shortest way, and not farther.

    Returns:
        (L, L), angstrom.
    """
    scale, exponent = power
    target = np.where(ways > 0, np.minimum(scale * np.maximum(ways, 1e-9) ** exponent, ways), 0.0)
    for rows, _ in bodies:
        target[np.ix_(rows, rows)] = ways[np.ix_(rows, rows)]
    neighbours = chain_neighbours(len(ways))
    target[neighbours] = ways[neighbours]
    return target


def chain_neighbours(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Index the two diagonals of an (L, L) matrix that hold neighbours in the chain."""
    first, second = np.arange(length - 1), np.arange(1, length)
    return np.concatenate([first, second]), np.concatenate([second, first])
