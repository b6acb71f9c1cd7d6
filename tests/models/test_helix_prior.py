"""What pairing probabilities let expect: helices where they are sure, nothing at padding, other draws by seed."""

import pytest
import torch

from rna_hf.layers.distance_geometry import typical_distances
from rna_hf.models.helix_prior import _pair_noise, helix_prior

DECODING = {"threshold": 0.5}
HAIRPIN = [(i, 29 - i) for i in range(12)]


def logits(pairs, length, certainty=6.0):
    values = torch.full((length, length), -certainty)
    for i, j in pairs:
        values[i, j] = values[j, i] = certainty
    return values


def padded(values, left, right):
    return torch.nn.functional.pad(values, (left, right, left, right), value=9.0)


def test_a_hairpin():
    prior = helix_prior(logits(HAIRPIN, 30)[None], torch.ones(1, 30, dtype=torch.bool), DECODING)
    assert prior.distances[0, 0, 29] == pytest.approx(10.65, abs=0.05)
    assert prior.distances[0, 14, 15] == pytest.approx(5.6)
    assert prior.is_rigid[0, 0].tolist() == [0] + [1] * 11 + [0] * 6 + [1] * 12
    assert prior.is_neighbour.sum() == 58
    # Handedness has a margin of three nucleotides, and does not reach from one strand to the other.
    turns = prior.turns[0]
    assert turns[3:9].tolist() == pytest.approx([0.404] * 6, abs=1e-3)
    assert turns[21:27].tolist() == pytest.approx([0.404] * 6, abs=1e-3)
    assert not turns[[0, 1, 2, *range(9, 21), 27, 28, 29]].any()
    assert prior.log_scales[0, 0, 29] < prior.log_scales[0, 0, 14]
    assert all(torch.equal(part, part.transpose(1, 2)) for part in prior[:4])


@pytest.mark.parametrize("seed", [None, 1])
def test_only_the_own_nucleotides_matter(seed):
    alone = helix_prior(logits(HAIRPIN, 30)[None], torch.ones(1, 30, dtype=torch.bool), DECODING, seed)
    keep = torch.zeros(2, 36, dtype=torch.bool)
    keep[0, 2:32] = keep[1, :1] = True
    both = helix_prior(torch.stack([padded(logits(HAIRPIN, 30), 2, 4), torch.zeros(36, 36)]), keep, DECODING, seed)
    for own, part in zip(alone[:5], both[:5]):
        inner = part[0, 2:32, 2:32] if part.dim() == 3 else part[0, 2:32]
        assert torch.equal(inner, own[0])
    assert torch.equal(both.distances[1], typical_distances(36))
    assert not both.features()[1].any()
    assert [len(bodies) for bodies in both.bodies] == [len(alone.bodies[0]), 0]


def test_draws_follow_the_probabilities():
    keep = torch.ones(1, 30, dtype=torch.bool)
    values = logits(HAIRPIN, 30)
    unsure = torch.where(values > 0, 0.0, values)[None]  # a probability of 0.5
    paired = [bool(helix_prior(unsure, keep, DECODING, seed).is_rigid[0, 2, 27]) for seed in range(60)]
    assert 15 < sum(paired) < 45
    assert all(helix_prior(values[None] * 3, keep, DECODING, seed).is_rigid[0, 2, 27] for seed in range(10))
    noise = _pair_noise(200, 0)
    assert torch.equal(noise, noise.T)
    assert (noise > 2).float().mean() == pytest.approx(torch.tensor(-2.0).sigmoid().item(), abs=0.02)
    assert noise[10, 50] == noise[11, 49]
