"""Traces found from distances: known ones come back, with the right hand."""

import numpy as np
import pytest
import torch

from rna_hf.layers.distance_geometry import embed_distances, handedness, pair_distances, typical_distances
from rna_hf.losses import distance_loss
from rna_hf.structure import rmsd
from rna_hf.structure.helices import a_form_helix


def helix(length, turn=32.7, rise=2.81, radius=8.35):
    """C1' of one strand of an A-form helix, right-handed, angstrom."""
    angles = torch.arange(length) * np.deg2rad(turn)
    return torch.stack([radius * angles.cos(), radius * angles.sin(), rise * torch.arange(length)], dim=1).float()


def bent_chain(length=40):
    """Two helices at an angle."""
    first = helix(length // 2)
    rotation = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    second = helix(length - length // 2) @ rotation + first[-1] + torch.tensor([5.0, 3.0, 2.0])
    return torch.cat([first, second])


def embed(points, turns=None, noise=0.0):
    distances = pair_distances(points)
    draws = torch.randn(distances.shape, generator=torch.Generator().manual_seed(1)).triu(1)
    noisy = distances * (noise * (draws + draws.T)).exp()
    turns = handedness(points).nan_to_num() if turns is None else turns
    return embed_distances(noisy, (0.1 * noisy).pow(-2), turns)


@pytest.mark.parametrize("points", [helix(30), bent_chain()], ids=["helix", "two helices"])
def test_a_trace_comes_back_from_its_distances(points):
    assert rmsd(embed(points).numpy(), points.numpy()) < 0.1
    assert rmsd(embed(points, noise=0.1).numpy(), points.numpy()) < 1.5


def test_the_hand_comes_from_the_handedness():
    points = helix(30)
    mirrored = points * torch.tensor([1.0, 1.0, -1.0])
    turns = handedness(points).nan_to_num()
    assert rmsd(embed(points, -turns).numpy(), mirrored.numpy()) < 0.1
    assert rmsd(embed(points, -turns).numpy(), points.numpy()) > 2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_hand_of_a_part_comes_from_its_shape(sign):
    """The handedness along the chain says nothing of so short a helix of two strands."""
    strand, partners = a_form_helix(np.arange(3))
    points = sign * torch.from_numpy(np.concatenate([strand, partners[::-1]])).float()
    distances = pair_distances(points)
    found = embed_distances(distances, (0.1 * distances).pow(-2), torch.zeros(6), [(torch.arange(6), points)]).numpy()
    assert rmsd(found, points.numpy()) < 0.5
    assert rmsd(found, -points.numpy()) > 1


def test_handedness_of_helices():
    turns = handedness(helix(12))
    assert turns[:3].isnan().all()
    assert turns[-3:].isnan().all()
    assert turns[3:-3].isfinite().all()
    assert (turns[3:-3] > 0.3).all()
    torch.testing.assert_close(handedness(-helix(12))[3:-3], -turns[3:-3])
    assert handedness(torch.zeros(2, 6, 3)).isnan().all()
    broken = helix(12).index_fill(0, torch.tensor([5]), torch.nan)
    assert handedness(broken).isnan().tolist() == [True] * 3 + [False, True] * 3 + [True] * 3


@pytest.mark.parametrize("length", range(1, 9))
def test_short_chains(length):
    distances = typical_distances(length)
    points = embed_distances(distances, distances.pow(-2), torch.zeros(length))
    assert points.shape == (length, 3)
    assert points.isfinite().all()
    torch.testing.assert_close(points.mean(0), torch.zeros(3), atol=1e-4, rtol=0)


def test_it_runs_in_inference_mode_with_the_same_result():
    points = bent_chain(24)
    with torch.inference_mode():
        found = embed(points)
    assert torch.equal(found, embed(points))


def test_the_number_of_threads_changes_nothing():
    points, found, threads = bent_chain(200), [], torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(embed(points, noise=0.1))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_typical_distances_rise_with_the_separation():
    row = typical_distances(200)[0]
    assert (row.diff() >= 0).all()
    assert 5 < row[1] < 6
    assert row[-1] == pytest.approx(45)


class TestDistanceLoss:
    def loss(self, distances, labels, log_scale=-1.0, turns=None, **options):
        scales = torch.full_like(distances, log_scale)
        turns = torch.zeros(distances.shape[:2]) if turns is None else turns
        return distance_loss(distances, scales, turns, labels, **options)

    def test_by_hand(self):
        labels = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]])
        distances = torch.tensor([[[0.0, 10.0], [10.0, 0.0]]])
        expected = np.log(2) * np.e - 1
        assert self.loss(distances, labels).item() == pytest.approx(expected, rel=1e-5)
        # Six coordinates of twelve items: half of the weight.
        assert self.loss(distances, labels, num_items=12).item() == pytest.approx(expected / 2, rel=1e-5)

    def test_handedness_counts(self):
        points = helix(10)[None]
        distances = pair_distances(points)
        right = self.loss(distances, points, turns=handedness(points).nan_to_num())
        wrong = self.loss(distances, points, turns=-handedness(points).nan_to_num())
        assert right.item() == pytest.approx(-1, abs=1e-4)
        assert wrong - right == pytest.approx(4 * handedness(points)[0, 5].item() ** 2, rel=1e-3)

    def test_missing_nucleotides_do_not_count(self):
        points = bent_chain(20)[None]
        distances = pair_distances(points) * 1.1
        whole = self.loss(distances[:, :15, :15], points[:, :15])
        points[:, 15:] = torch.nan
        torch.testing.assert_close(self.loss(distances, points), whole)
        points[:, 15:] = -100
        torch.testing.assert_close(self.loss(distances, points), whole)
