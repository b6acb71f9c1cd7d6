"""What counts as measured: the one definition that collators, losses and metrics share.

A label is missing where it is NaN, infinite or -100. All three are the same to a loss and to a metric. Data sets say
NaN; collators turn whatever is missing into -100, since transformers' `Trainer` counts items as `labels != -100`.
"""

import math
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Labels = TypeVar("Labels", np.ndarray[Any, Any], Tensor)

IGNORED_LABEL = -100.0
"""Stands for "not measured" in a batch."""


def is_measured(labels: "Labels") -> "Labels":
    """Tell measured labels from missing ones.

    Args:
        labels: array or tensor of any shape, numbers or class indices.

    Returns:
        Booleans of the same kind and shape: False at NaN, infinity and -100.
    """
    return (abs(labels) < math.inf) & (labels != IGNORED_LABEL)


def is_resolved(coordinates: "Labels") -> "Labels":
    """Tell nucleotides with a measured position from those without.

    Args:
        coordinates: array or tensor (..., 3), angstrom. A single coordinate may well be -100: only three of them say
            that the nucleotide is missing, or one that is NaN or infinite.

    Returns:
        Booleans (...) of the same kind.
    """
    return (abs(coordinates) < math.inf).all(-1) & (coordinates != IGNORED_LABEL).any(-1)
