"""From predicted distances between nucleotides to a trace in space.

Distances say nothing about left and right, so the model predicts a handedness along the chain as well. The trace begins
as the classical multidimensional scaling of the distances, in the mirror image that fits the handedness better. Then it
goes down the weighted error of the distances and that of the handedness. It does so in four dimensions, of which the
last is pressed flat, and sharpens the weights on its way: a helix of the wrong hand, or two parts on the wrong side of
each other, would not find the way in three.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..structure.superposition import best_rotations

# Nucleotides between the four points whose handedness is taken. In an A-form helix it is 0.4; with neighbours, 0.06.
STRIDE = 2
# Nucleotides at each end of a chain without a handedness.
_MARGIN = 3 * STRIDE // 2
# Rounds of the descent, its first step in angstrom, and the weight of the handedness beside the distances.
_ROUNDS = 600
_STEP = 1.0
_HANDEDNESS_WEIGHT = 10.0
# The weights begin as this power of themselves and reach the first power in this round; the press on the fourth
# dimension grows to this, with the square of the rounds.
_FIRST_POWER = 0.3
_SHARP_ROUND = 400
_PRESS = 40.0
# Each rigid part is drawn with this force to where it fits best, found anew after so many rounds. It sets the hand and
# fades with the rounds: in the end the distances count.
_RIGID_PULL = 0.3
_RIGID_ROUNDS = 5


def typical_distances(length: int, device: torch.device | str | None = None) -> Tensor:
    """Return the C1'-C1' distance (L, L) that nucleotides so far apart in the chain typically have, angstrom.

    It rises from 5.3 for neighbours to 45 for those far apart; 1 on the diagonal. A rough curve through the medians of
    chains of the PDB; a model predicts the ratio to it.
    """
    positions = torch.arange(length, device=device)
    separation = (positions[:, None] - positions).abs().float()
    return torch.where(separation == 0, 1.0, 45 * (1 - torch.exp(-separation / 8)))


def pair_distances(points: Tensor) -> Tensor:
    """Return all distances (..., N, N) between points (..., N, 3); 1e-3 at least, where the slope would be infinite."""
    return ((points[..., :, None, :] - points[..., None, :, :]).square().sum(-1) + 1e-6).sqrt()


def handedness(points: Tensor) -> Tensor:
    """Return the triple product of unit vectors along four points of the chain, `STRIDE` nucleotides apart.

    Args:
        points: (..., L, 3).

    Returns:
        (..., L), -1..1, positive for a right-handed turn, at the middle of the points; NaN where the chain ends before
        or where a point is NaN.
    """
    steps = torch.nn.functional.normalize(points[..., STRIDE:, :] - points[..., :-STRIDE, :], dim=-1, eps=1e-6)
    result = points.new_full(points.shape[:-1], torch.nan)
    if points.shape[-2] > 3 * STRIDE:
        before, middle, after = steps[..., : -2 * STRIDE, :], steps[..., STRIDE:-STRIDE, :], steps[..., 2 * STRIDE :, :]
        result[..., _MARGIN:-_MARGIN] = (torch.linalg.cross(before, middle) * after).sum(-1)
    return result


def embed_distances(
    distances: Tensor, weights: Tensor, turns: Tensor, bodies: Sequence[tuple[Tensor, Tensor]] = ()
) -> Tensor:
    """Find a trace that has the given distances as nearly as possible. It has no gradient.

    Args:
        distances: (L, L), angstrom, symmetric.
        weights: (L, L), of the squared errors of the distances, symmetric, above 0; only their ratios count.
        turns: (L,), the handedness at each nucleotide, -1..1; see `handedness`.
        bodies: parts of a known shape, such as helices: nucleotides (N,) and places (N, 3), angstrom, in a frame of
            their own. They say what the handedness along the chain can't: that of short helices and between strands.

    Returns:
        (L, 3), angstrom, float32, centred.
    """
    # Outside of inference mode, in which nothing has a gradient.
    with _one_thread(), torch.inference_mode(False), torch.no_grad():
        distances, weights, turns = distances.double().clone(), weights.double().clone(), turns.double().clone()
        length = len(distances)
        if length == 1:
            return distances.new_zeros(1, 3).float()
        points = _scale(distances.fill_diagonal_(0))
        inner = slice(_MARGIN, max(length - _MARGIN, _MARGIN))
        rigid = [(rows.to(points.device), places.to(points)) for rows, places in bodies]

        def turn_error(points: Tensor) -> Tensor:
            return (handedness(points[:, :3]) - turns)[inner].square().sum()

        def hand_error(points: Tensor) -> Tensor:
            return _HANDEDNESS_WEIGHT * turn_error(points) + _rigid_offsets(points, rigid).square().sum()

        mirrored = points * points.new_tensor([-1.0, 1.0, 1.0, 1.0])
        points = points if hand_error(points) <= hand_error(mirrored) else mirrored
        log_weights = weights.fill_diagonal_(1).log()
        points.requires_grad_(True)
        optimizer = torch.optim.Adam([points], lr=_STEP, betas=(0.9, 0.99))
        for number in range(_ROUNDS):
            done = number / _ROUNDS
            if number <= _SHARP_ROUND:
                power = _FIRST_POWER + (1 - _FIRST_POWER) * number / _SHARP_ROUND
                weights = (power * log_weights).exp().fill_diagonal_(0)
                weights *= length / weights.sum()
            optimizer.param_groups[0]["lr"] = _STEP * (1 - done)
            with torch.enable_grad():
                error = _HANDEDNESS_WEIGHT * turn_error(points) + _PRESS * done**2 * points[:, 3].square().sum()
                (slope,) = torch.autograd.grad(error, points)
            points.grad = slope + _stress_slope(points, distances, weights)
            if rigid:
                if number % _RIGID_ROUNDS == 0:
                    goal = points.detach() + _rigid_offsets(points.detach(), rigid)
                points.grad += 2 * (1 - done) * _RIGID_PULL * (points.detach() - goal)
            optimizer.step()
        points = points.detach()[:, :3]
        return (points - points.mean(0)).float()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one CPU thread: hundreds of small steps gain nothing from more, and sums come in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rigid_offsets(points: Tensor, bodies: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the way (L, 4) from each point (L, 4) to its place in its body, put where it fits best and not mirrored.

    Points of no body stay.
    """
    offsets = torch.zeros_like(points)
    for rows, places in bodies:
        found = points[rows, :3]
        centre, own_centre = found.mean(0), places.mean(0)
        covariance = ((places - own_centre).T @ (found - centre)).cpu().double()
        rotation = torch.from_numpy(best_rotations(covariance.numpy())).T.to(points)
        offsets[rows, :3] = (places - own_centre) @ rotation + centre - found
        offsets[rows, 3] = points[rows, 3].mean() - points[rows, 3]
    return offsets


def _stress_slope(points: Tensor, distances: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient (L, 3) of the weighted squared errors of the distances, each pair counted once."""
    squares = points.square().sum(1)
    found = (squares[:, None] + squares - 2 * points @ points.T).clamp(min=1e-6).sqrt()
    pull = weights * (1 - distances / found)
    return 2 * (pull.sum(1, keepdim=True) * points - pull @ points)


def _scale(distances: Tensor) -> Tensor:
    """Classical multidimensional scaling of (L, L) to (L, 4), longest axis first.

    An axis points away from the first nucleotide, for the signs that the decomposition gives mean nothing.
    """
    squares = distances.square()
    centred = -(squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean()) / 2
    values, vectors = torch.linalg.eigh(centred)
    points = (vectors * values.clamp(min=0).sqrt())[:, -4:].flip(1)
    points = torch.nn.functional.pad(points, (0, 4 - points.shape[1]))
    points = points * torch.where(points[0] > 0, -1.0, 1.0)
    # Where the chain is straight, rounding errors would choose the way in which it bends: an angstrom of a coil does.
    angles = torch.arange(len(points), dtype=points.dtype, device=points.device)[:, None] * math.radians(32.7)
    return points + torch.cat([angles * 0, angles.cos(), angles.sin(), (2 * angles).cos()], dim=1)
