"""Losses over measured values only, normalised by an explicit count of items."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED_LABEL = -100.0
"""Stands for "not measured" beside NaN. The Trainer counts items as `labels != -100`, so collators write this value."""


def is_measured(labels: Tensor) -> Tensor:
    """Return True where a float label was measured, that is where it is neither NaN nor -100."""
    return ~(labels.isnan() | (labels == IGNORED_LABEL))


def masked_mae(predictions: Tensor, labels: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Mean absolute error over measured values.

    Args:
        predictions: (B, L, C), any unit.
        labels: (B, L, C), the same unit; NaN or -100 where not measured.
        num_items: number of measured values over all accumulated batches; this batch's own count if omitted.

    Returns:
        Scalar in float32; zero, with a gradient path, when nothing was measured.
    """
    if predictions.shape != labels.shape:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit predictions of shape {tuple(predictions.shape)}: "
            "one label for each nucleotide and channel is needed"
        )
    measured = is_measured(labels)
    # NaN must not enter the arithmetic: 0 * NaN is NaN, in the value and in the gradient.
    error = (predictions.float() - torch.where(measured, labels.float(), 0.0)).abs()
    total = torch.where(measured, error, 0.0).sum()
    count = measured.sum() if num_items is None else torch.as_tensor(num_items, device=total.device)
    return total / count.clamp(min=1)
