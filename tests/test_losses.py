"""Losses against values worked out by hand."""

import math

import pytest
import torch

from rna_hf import losses

NAN = float("nan")


def test_mcrmse_weights_each_rna_by_its_measured_values():
    predictions = torch.zeros(2, 3, 2)
    labels = torch.tensor([[[3.0, 0.0], [4.0, NAN], [NAN, NAN]], [[1.0, 2.0], [1.0, 2.0], [1.0, -100.0]]])
    # RNA 1: sqrt(25 / 2) twice, 0 once; RNA 2: 1 three times, 2 twice.
    expected = (2 * math.sqrt(12.5) + 0 + 3 * 1 + 2 * 2) / 8
    assert float(losses.mcrmse(predictions, labels)) == pytest.approx(expected, abs=1e-5)


def test_mcrmse_has_a_gradient_where_the_prediction_is_right():
    predictions = torch.ones(1, 2, 1, requires_grad=True)
    losses.mcrmse(predictions, torch.ones(1, 2, 1)).backward()
    assert torch.isfinite(predictions.grad).all()


def test_bce_ignores_what_is_unknown():
    logits = torch.tensor([0.0, 0.0, 50.0])
    assert float(losses.masked_bce(logits, torch.tensor([1.0, NAN, -100.0]))) == pytest.approx(math.log(2))


def test_cross_entropy_ignores_what_is_unknown():
    logits = torch.tensor([[[0.0, 0.0], [9.0, 0.0]]])
    assert float(losses.masked_cross_entropy(logits, torch.tensor([[1, -100]]))) == pytest.approx(math.log(2))


def test_kl_divergence_is_averaged_over_labelled_rows():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]]))
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.5, NAN, 0.5], [-100.0] * 3])
    # A constant a row leaves the softmax as it is. The first row's divergence is ln 2, the second's 0.
    logits = (logits + torch.tensor([[3.0], [0.0], [-2.0], [1.0]])).requires_grad_()
    loss = losses.masked_kl_divergence(logits, labels)
    assert loss.item() == pytest.approx(math.log(2) / 2)
    # The Trainer counts labels, three a row.
    assert losses.masked_kl_divergence(logits, labels, 12).item() == pytest.approx(math.log(2) / 4)
    loss.backward()
    assert (logits.grad[2:] == 0).all()
    assert logits.grad[0].tolist() == pytest.approx([-0.25, 0.125, 0.125])


def test_coordinate_loss_of_a_stretched_chain():
    native = torch.tensor([[[0.0, 0, 0], [6.0, 0, 0], [12.0, 0, 0]]])
    predicted = native * 1.5
    # Distances 6, 6, 12 come out 3, 3, 6 too long; 0 on the diagonal: mean over nine. Positions are off by 3, 0, 3.
    expected = ((2 * 3 + 2 * 3 + 2 * 6) / 9 + (3 + 0 + 3) / 9) / 10
    assert float(losses.coordinate_loss(predicted, native)) == pytest.approx(expected, abs=1e-4)
    assert float(losses.coordinate_loss(native, native)) == pytest.approx(0, abs=1e-5)


def test_coordinate_loss_skips_what_is_not_resolved():
    native = torch.tensor([[[0.0, 0, 0], [NAN, NAN, NAN], [6.0, 0, 0], [-100.0, -100.0, -100.0]]])
    predicted = torch.tensor([[[0.0, 0, 0], [99.0, 99, 99], [6.0, 0, 0], [50.0, 0, 0]]])
    assert float(losses.coordinate_loss(predicted, native)) == pytest.approx(0, abs=1e-5)


def test_ignore_padding_of_pairs():
    labels = losses.ignore_padding(torch.ones(1, 3, 3), torch.tensor([[1, 1, 0]]), (1, 3, 3), 2)
    assert labels[0].tolist() == [[1, 1, -100], [1, 1, -100], [-100, -100, -100]]
    with pytest.raises(ValueError, match=r"labels have shape \(1, 3, 3\): \(1, 4, 4\)"):
        losses.ignore_padding(torch.ones(1, 3, 3), None, (1, 4, 4), 2)
