"""Fit the constants of helices in space to training chains again: `python -m benchmarks.accuracy.helix_constants`.

It prints each as it stands in the code and as it is fitted, and what else the comments beside them say. The chains are
the training chains of `python -m recipes.ribonanzanet_mini.task_tables 3d`; their structures are ViennaRNA's.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.places import TABLES
from benchmarks.common.vienna import require_vienna
from rna_hf.models import helix_prior
from rna_hf.structure import helices, parse_dotbracket
from rna_hf.structure.helices import chain_neighbours, expected_distances, graph_distances, rigid_helices

from .tertiary import read_chains
from .tertiary_baselines import fit_power, fold_samples, loose_distances

STACK = 5  # pairs that stack on each other
PAIRED = (9.0, 12.5)  # angstrom between C1' of a pair that the structure confirms

Pairs = Sequence[tuple[int, int]]


def helix_distances(chains: Sequence[np.ndarray], structures: Sequence[Pairs]) -> tuple[np.ndarray, int]:
    """Return median distances in stacks of five pairs that the structure confirms, (3, 5), and the number of stacks.

    Args:
        chains: (L, 3) of each, angstrom.
        structures: base pairs of each.

    Returns:
        For 0 to 4 pairs along the helix the distance within a strand, from a nucleotide to the partner of the one so
        far ahead in 3' direction, and to the partner of the one so far behind.
    """
    found = []
    for chain, pairs in zip(chains, structures):
        partner = dict(pairs)
        steps = np.arange(STACK)
        for i, j in pairs:
            if any(partner.get(i + step) != j - step for step in steps.tolist()):
                continue
            first, second = chain[i + steps], chain[j - steps]
            gaps = np.linalg.norm(first - second, axis=1)
            if PAIRED[0] <= gaps.min() and gaps.max() <= PAIRED[1]:
                strands = [np.linalg.norm(strand - strand[0], axis=1) for strand in (first, second)]
                ahead, behind = np.linalg.norm(first[0] - second, axis=1), np.linalg.norm(first - second[0], axis=1)
                found += [(strands[0], ahead, behind), (strands[1], ahead, behind)]
    return np.median(found, axis=0), len(found) // 2


def fit_helix(medians: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit radius (angstrom), angle (degrees) and offset (angstrom) of `a_form_helix` to `helix_distances`.

    Returns:
        The three, and the root mean square of what is left, angstrom.
    """
    from scipy.optimize import least_squares

    def misfit(values: np.ndarray) -> np.ndarray:
        radius, angle, offset = values
        first, second = helices.a_form_helix(np.arange(STACK), radius, np.radians(angle), offset)
        distances = [
            np.linalg.norm(one - other, axis=1)
            for one, other in ((first, first[0]), (second, first[0]), (first, second[0]))
        ]
        return (np.stack(distances) - medians).ravel()

    starts = [(8.5, angle, offset) for angle in (-35.0, 35.0) for offset in (-2.0, 2.0)]
    best = min((least_squares(misfit, start) for start in starts), key=lambda found: found.cost)
    return best.x, math.sqrt(np.square(best.fun).mean())


def fixed_errors(chains: Sequence[np.ndarray], structures: Sequence[Pairs]) -> np.ndarray:
    """Return errors of the logarithm of expected distances within helices and between neighbours, (N,)."""
    errors = []
    for chain, pairs in zip(chains, structures):
        bodies = rigid_helices(pairs)
        expected = expected_distances(graph_distances(len(chain), bodies), bodies)
        is_fixed = np.zeros(expected.shape, dtype=bool)
        is_fixed[chain_neighbours(len(chain))] = True
        for rows, _ in bodies:
            is_fixed[np.ix_(rows, rows)] = True
        fixed = np.nonzero(np.triu(is_fixed, 1))
        actual = np.linalg.norm(chain[fixed[0]] - chain[fixed[1]], axis=1)
        errors.append(np.abs(np.log(actual / expected[fixed])))
    return np.concatenate(errors)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="DIR", help="where task_tables.py wrote")
    arguments = parser.parse_args(argv)
    require_vienna(parser)
    rows = read_chains(arguments.tables / "3d_train.parquet")
    sequences, chains = [row["sequence"] for row in rows], [row["natives"][0] for row in rows]
    structures = [parse_dotbracket(fold_samples(sequence, 1)[0]) for sequence in sequences]
    medians, number = helix_distances(chains, structures)
    (radius, angle, offset), left = fit_helix(medians)
    ways, distances = loose_distances(sequences, chains)
    scale, exponent = fit_power(ways, distances)
    loose = np.abs(np.log(distances / (scale * ways**exponent))).mean()
    fixed = np.median(fixed_errors(chains, structures))
    print(f"{len(rows)} chains, {number:,} stacks of {STACK} pairs; {left:.2f} angstrom are left of the helix")
    print("\n| | in the code | fitted |\n| --- | ---: | ---: |")
    for name, value, fitted in (
        ("radius, angstrom", helices.RADIUS, radius),
        ("angle from the dyad, degrees", math.degrees(helices.DYAD_ANGLE), angle),
        ("offset from the dyad, angstrom", helices.DYAD_OFFSET, offset),
        ("factor of an expected distance", helices.EXPECTED_POWER[0], scale),
        ("exponent of an expected distance", helices.EXPECTED_POWER[1], exponent),
        ("error of the logarithm, loose (mean)", math.exp(helix_prior._LOOSE_LOG_SCALE), loose),
        ("error of the logarithm, fixed (median)", math.exp(helix_prior._RIGID_LOG_SCALE), fixed),
    ):
        print(f"| {name} | {value:.3f} | {fitted:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
