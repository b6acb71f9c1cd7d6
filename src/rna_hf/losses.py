"""Losses over measured values only (see `rna_hf.measured`), normalised by an explicit count of items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .layers.distance_geometry import handedness, pair_distances
from .measured import IGNORED_LABEL, is_measured, is_resolved
from .structure.superposition import best_rotations


def ignore_padding(
    labels: Tensor, attention_mask: Tensor | None, shape: tuple[int, ...], num_length_axes: int = 1
) -> Tensor:
    """Return labels with -100 wherever padding is involved.

    Args:
        labels: (B, L, ...), or (B, L, L, ...) for pairs of nucleotides.
        attention_mask: (B, L), 0 at padding; None for no padding.
        shape: that the labels must have.
        num_length_axes: 1, or 2 for pairs.

    Raises:
        ValueError: if the labels have another shape.
    """
    if labels.shape != shape:
        raise ValueError(f"labels have shape {tuple(labels.shape)}: {tuple(shape)} is needed, that of the logits")
    if attention_mask is None:
        return labels
    padding = attention_mask == 0
    for axis in range(1, num_length_axes + 1):
        index = [slice(None)] + [None] * (labels.dim() - 1)
        index[axis] = slice(None)
        labels = labels.masked_fill(padding[tuple(index)], int(IGNORED_LABEL))
    return labels


def masked_mae(predictions: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Mean absolute error over measured values.

    Args:
        predictions: (B, L, C), any unit.
        labels: (B, L, C), the same unit; NaN or -100 where not measured.
        num_items: number of measured values over all accumulated batches; this batch's own count if omitted.

    Returns:
        Scalar in float32; zero, with a gradient path, when nothing was measured.
    """
    measured, error = _errors(predictions, labels)
    return _mean(error.abs(), measured, num_items)


def masked_mse(predictions: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Mean squared error over measured values; arguments and result as of `masked_mae`."""
    measured, error = _errors(predictions, labels)
    return _mean(error.square(), measured, num_items)


def masked_bce(logits: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Binary cross-entropy over known labels.

    Args:
        logits: of any shape, before the sigmoid.
        labels: of the same shape, 0 to 1; NaN or -100 where unknown.
        num_items: as in `masked_mae`.

    Returns:
        As `masked_mae`.
    """
    _check_shapes(logits, labels)
    known = is_measured(labels)
    labels = torch.where(known, labels.float(), 0.0)
    return _mean(
        nn.functional.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none"), known, num_items
    )


def masked_cross_entropy(logits: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Cross-entropy over known classes.

    Args:
        logits: (..., classes).
        labels: (...), class indices; -100 where unknown.
        num_items: as in `masked_mae`.

    Returns:
        As `masked_mae`.

    Raises:
        ValueError: if the shapes don't fit, or if labels are not integers.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)}: "
            f"{tuple(logits.shape[:-1])} is needed, a class for each"
        )
    if labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype}: class indices are integers; for numbers, problem_type is 'regression'"
        )
    losses = nn.functional.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=int(IGNORED_LABEL), reduction="none"
    )
    return _mean(losses, labels.flatten() != IGNORED_LABEL, num_items)


def masked_kl_divergence(logits: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Kullback-Leibler divergence of predicted distributions from measured ones, averaged over labelled rows.

    Args:
        logits: (B, C), before the softmax.
        labels: (B, C), shares that sum to 1; a row that holds NaN or -100 doesn't count.
        num_items: number of labels (C times labelled rows) over all accumulated batches; this batch's own if omitted.

    Returns:
        As `masked_mae`, in nats.
    """
    _check_shapes(logits, labels)
    labelled = is_measured(labels).all(-1)
    labels = torch.where(labelled[:, None], labels.float(), 0.0)
    losses = nn.functional.kl_div(logits.float().log_softmax(-1), labels, reduction="none").sum(-1)
    num_columns = labels.shape[-1]
    return _mean(num_columns * losses, labelled, num_columns * labelled.sum() if num_items is None else num_items)


def mcrmse(predictions: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Root mean squared error of each RNA's columns, averaged with the number of measured values as weight.

    Where all RNAs have the same number of measured values this is the mean columnwise root mean squared error
    (MCRMSE) of the OpenVaccine competition, taken RNA by RNA so that it is a sum over RNAs: batches and accumulation
    don't change it.

    Args:
        predictions: (B, L, C), any unit.
        labels: (B, L, C), the same unit; NaN or -100 where not measured.
        num_items: as in `masked_mae`.

    Returns:
        As `masked_mae`.
    """
    measured, error = _errors(predictions, labels)
    counts = measured.sum(1)
    squares = torch.where(measured, error.square(), 0.0).sum(1) / counts.clamp(min=1)
    # The slope of a root at 0 is infinite.
    return _mean(counts * (squares + 1e-12).sqrt(), counts > 0, measured.sum() if num_items is None else num_items)


def coordinate_loss(coordinates: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Error of the distance matrix plus error after superposition, both mean absolute values, in units of 10 angstrom.

    The first, dRMAE, knows no hand and no place; the second is taken after the native has been turned onto the
    prediction (Kabsch 1976, without reflections). The rotation is a constant in the gradient.

    Args:
        coordinates: (B, L, 3), angstrom.
        labels: (B, L, 3), angstrom; rows of NaN or -100 where not resolved.
        num_items: number of resolved coordinates (three a nucleotide) over all accumulated batches, by which RNAs are
            weighted; this batch's own count if omitted.

    Returns:
        As `masked_mae`.
    """
    _check_shapes(coordinates, labels)
    resolved = is_resolved(labels)
    coordinates, labels = coordinates.float(), torch.where(resolved[..., None], labels.float(), 0.0)
    losses = []
    for predicted, native, known in zip(coordinates, labels, resolved):
        predicted, native = predicted[known], native[known]
        if len(predicted) == 0:
            losses.append(coordinates.sum() * 0.0)
            continue
        distance_error = (pair_distances(predicted) - pair_distances(native)).abs().mean()
        predicted, native = predicted - predicted.mean(0), native - native.mean(0)
        losses.append((distance_error + (predicted - native @ _rotation(native, predicted.detach())).abs().mean()) / 10)
    return _weigh_rnas(torch.stack(losses), resolved, num_items)


def distance_loss(
    distances: Tensor, log_scales: Tensor, turns: Tensor, labels: Tensor, num_items: Tensor | int | None = None
) -> Tensor:
    """Negative log-likelihood of a native's distances, plus the squared error of its handedness along the chain.

    The logarithm of a distance has a Laplace distribution around that of the predicted one, so that errors count in
    proportion. An RNA's loss is the mean over its pairs and the mean over its turns; RNAs are weighted as in
    `coordinate_loss`.

    Args:
        distances: (B, L, L), predicted medians, angstrom.
        log_scales: (B, L, L), natural logarithm of the distribution's scale.
        turns: (B, L), predicted handedness, see `rna_hf.layers.distance_geometry.handedness`.
        labels: (B, L, 3), angstrom; rows of NaN or -100 where not resolved.
        num_items: as in `coordinate_loss`.

    Returns:
        As `masked_mae`.
    """
    resolved = is_resolved(labels)
    native = torch.where(resolved[..., None], labels.float(), 0.0)
    known = (resolved[:, :, None] & resolved[:, None]).triu(1)
    error = (distances.float().clamp(min=1e-3).log() - pair_distances(native).log()).abs()
    likelihood = torch.where(known, error * torch.exp(-log_scales.float()) + log_scales.float(), 0.0)
    native_turns = handedness(torch.where(resolved[..., None], labels.float(), torch.nan))
    turning = ~native_turns.isnan()
    turn_error = torch.where(turning, (turns.float() - native_turns.nan_to_num()).square(), 0.0)
    losses = likelihood.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
    losses = losses + turn_error.sum(1) / turning.sum(1).clamp(min=1)
    return _weigh_rnas(losses, resolved, num_items)


def _weigh_rnas(losses: Tensor, resolved: Tensor, num_items: Tensor | int | None) -> Tensor:
    """Average losses (B,) of RNAs, each with the weight of its resolved coordinates, three a nucleotide."""
    counts = 3 * resolved.sum(1)
    total = counts.sum() if num_items is None else torch.as_tensor(num_items, device=counts.device)
    return (losses * counts).sum() / total.clamp(min=1)


@torch.no_grad()
def _rotation(points: Tensor, targets: Tensor) -> Tensor:
    """The rotation (3, 3) for which points @ rotation lies nearest to targets, both (N, 3) and centred."""
    covariance = (points.T @ targets).cpu().double()
    return torch.from_numpy(best_rotations(covariance.numpy())).T.to(points)


def task_loss(logits: Tensor, labels: Tensor, problem_type: str, num_items: Tensor | int | None = None) -> Tensor:
    """The loss that a problem type stands for.

    Args:
        logits: (..., labels).
        labels: "regression" and "multi_label_classification": of the logits' shape, NaN or -100 where unknown;
            "single_label_classification": of that shape without its last axis, -100 where unknown.
        problem_type: one of these three, in transformers' words.
        num_items: as in `masked_mae`.

    Returns:
        Mean squared error, binary cross-entropy or cross-entropy; as `masked_mae`.
    """
    return PROBLEM_TYPES[problem_type](logits, labels, num_items)


PROBLEM_TYPES = {
    "regression": masked_mse,
    "multi_label_classification": masked_bce,
    "single_label_classification": masked_cross_entropy,
}


def problem_type_of(config: Any) -> str:
    """Return a configuration's problem type, by default "regression" for one label, else single-label classification.

    It never comes from a batch.

    Args:
        config: with `problem_type` and `num_labels`.

    Raises:
        ValueError: if the problem type is none of `PROBLEM_TYPES`.
    """
    default = "regression" if config.num_labels == 1 else "single_label_classification"
    problem_type: str = config.problem_type or default
    if problem_type not in PROBLEM_TYPES:
        raise ValueError(f"problem_type is {problem_type!r}: choose one of {', '.join(PROBLEM_TYPES)}")
    return problem_type


def _check_shapes(predictions: Tensor, labels: Tensor) -> None:
    if predictions.shape != labels.shape:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit predictions of shape {tuple(predictions.shape)}: "
            "one label for each predicted value is needed"
        )


def _errors(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return where labels were measured, and the error there."""
    _check_shapes(predictions, labels)
    measured = is_measured(labels)
    # NaN must not enter the arithmetic: 0 * NaN is NaN, in the value and in the gradient.
    return measured, predictions.float() - torch.where(measured, labels.float(), 0.0)


def _mean(values: Tensor, counted: Tensor, num_items: Tensor | int | None) -> Tensor:
    total = torch.where(counted, values, 0.0).sum()
    count = counted.sum() if num_items is None else torch.as_tensor(num_items, device=total.device)
    return total / count.clamp(min=1)
