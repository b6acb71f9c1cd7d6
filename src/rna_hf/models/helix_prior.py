"""What pairing probabilities let expect of a structure in space, before a head that predicts distances has its say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..layers.distance_geometry import handedness, typical_distances
from ..structure import decode_pairs
from ..structure.helices import expected_distances, graph_distances, rigid_helices

# Scale of the Laplace distribution of the logarithm of a distance around that of the expected one. In known structures
# the mean error is 0.28 where no helix fixes the distance, and the median error 0.06 within a helix and between
# neighbours of the chain (benchmark `helix_constants`). The scale is a little smaller there, for helices to keep
# their shape against the pull of the rest.
_LOOSE_LOG_SCALE = math.log(0.27)
_RIGID_LOG_SCALE = math.log(0.05)
# Pairs of nucleotides in a cell of the noise below: those with the same sum of positions, which can stack, and
# differences that lie within so many nucleotides, twice as many as there are pairs.
_CELL = 16


class HelixPrior(NamedTuple):
    """What the helices of one structure for each RNA let expect.

    Attributes:
        distances: (B, L, L), angstrom, above 0; 1 on the diagonal and the typical distance at padding.
        log_scales: (B, L, L), natural logarithm of the scale of the error of the logarithm of a distance.
        is_rigid: (B, L, L), 1 where both nucleotides are in the same helix, else 0.
        is_neighbour: (B, L, L), 1 where the nucleotides are neighbours in the chain, else 0.
        turns: (B, L), handedness along the chain within a helix, else 0.
        bodies: of each RNA its helices: numbers (N,) among the RNA's own nucleotides, and places (N, 3), angstrom.
    """

    distances: Tensor
    log_scales: Tensor
    is_rigid: Tensor
    is_neighbour: Tensor
    turns: Tensor
    bodies: list[list[tuple[Tensor, Tensor]]]

    def features(self) -> Tensor:
        """Return (B, L, L, 3) for a head: the logarithm of the distance against the typical one, and both flags."""
        typical = typical_distances(self.turns.shape[1], self.turns.device)
        return torch.stack([(self.distances / typical).log(), self.is_rigid, self.is_neighbour], dim=-1)


def helix_prior(
    pair_logits: Tensor, nucleotides: Tensor, decoding: Mapping[str, Any], seed: int | None = None
) -> HelixPrior:
    """Decode a structure for each RNA and put its helices in space. It has no gradient.

    Args:
        pair_logits: (B, L, L), logits of the probability that two nucleotides pair, symmetric.
        nucleotides: (B, L), bool, False at padding, <bos> and <eos>; those of an RNA stand together.
        decoding: options of `rna_hf.structure.decode_pairs`.
        seed: of noise on the logits, with which structures are drawn; it depends on the RNA's length alone. None takes
            the most probable structure.

    Returns:
        On the logits' device, float32.
    """
    device, length = pair_logits.device, pair_logits.shape[1]
    logits = pair_logits.detach().float().cpu()
    keep = nucleotides.cpu()
    distances = typical_distances(length).repeat(len(logits), 1, 1)
    is_rigid, is_neighbour = torch.zeros_like(distances), torch.zeros_like(distances)
    turns = torch.zeros(len(logits), length)
    all_bodies: list[list[tuple[Tensor, Tensor]]] = [[] for _ in logits]
    for index, own in enumerate(keep):
        number = int(own.sum())
        if number < 2:
            continue
        square = own[:, None] & own
        own_logits = logits[index][square].view(number, number)
        if seed is not None:
            own_logits = own_logits + _pair_noise(number, seed)
        bodies = rigid_helices(decode_pairs(own_logits.sigmoid().numpy(), **decoding))
        expected = expected_distances(graph_distances(number, bodies), bodies)
        np.fill_diagonal(expected, 1)
        rigid = torch.zeros(number, number)
        for rows, places in bodies:
            rigid[np.ix_(rows, rows)] = 1
            all_bodies[index].append((torch.from_numpy(rows), torch.from_numpy(places).float()))
            placed = torch.full((number, 3), torch.nan)
            placed[rows] = torch.from_numpy(places).float()
            turns[index, own] += handedness(placed).nan_to_num()
        distances[index][square] = torch.from_numpy(expected).float().flatten()
        is_rigid[index][square] = rigid.fill_diagonal_(0).flatten()
        neighbours = torch.ones(number - 1)
        is_neighbour[index][square] = (neighbours.diag(1) + neighbours.diag(-1)).flatten()
    log_scales = torch.where((is_rigid + is_neighbour) > 0, _RIGID_LOG_SCALE, _LOOSE_LOG_SCALE)
    return HelixPrior(
        distances=distances.to(device),
        log_scales=log_scales.to(device),
        is_rigid=is_rigid.to(device),
        is_neighbour=is_neighbour.to(device),
        turns=turns.to(device),
        bodies=all_bodies,
    )


def _pair_noise(length: int, seed: int) -> Tensor:
    """Draw noise (L, L) for logits of pairs, symmetric, so that the structures decoded from the sum vary as they may.

    It has the logistic distribution, with which a logit lands above 0 as often as its probability says. Pairs that can
    stack share a draw, so that a helix comes or goes as a whole.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(2 * length - 1, (length - 1) // _CELL + 1, generator=generator).logit(eps=1e-6)
    positions = torch.arange(length)
    return draws[positions[:, None] + positions, (positions[:, None] - positions).abs() // _CELL]
