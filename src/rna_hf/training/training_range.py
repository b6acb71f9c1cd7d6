"""What the RNAs of a training were like, so that a model can say which others it was not made for."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..measured import is_measured
from ..tasks import Training


def range_of(dataset: Any, training: Training, crop: int = 0) -> dict[str, int]:
    """Return what `describe_range` does, of a data set with a task's columns."""
    has_numbers = training.labels_of == "nucleotides" and not training.has_classes and "labels" in training.columns
    return describe_range(dataset["sequence"], dataset["labels"] if has_numbers else None, crop)


def describe_range(
    sequences: Sequence[str], labels: Iterable[np.ndarray] | None = None, crop: int = 0
) -> dict[str, int]:
    """Return the fields of `RnaConfig` that say what a model was trained on.

    Args:
        sequences: of the training.
        labels: (L,) or (L, N) for each of them, a number or N for each nucleotide, NaN or -100 where nothing was
            measured; None where nucleotides have no numbers of their own.
        crop: nucleotides to which longer RNAs were cut; 0 for none.

    Returns:
        `training_min_length`, `training_max_length`, `unmeasured_5prime` and `unmeasured_3prime`, all in nucleotides.
        An RNA of which nothing was measured says nothing about the ends.
    """
    lengths = [min(len(sequence), crop or len(sequence)) for sequence in sequences]
    found = (_unmeasured_ends(np.asarray(values, dtype=float)) for values in labels or ())
    ends = [end for end in found if end is not None]
    first, last = np.min(ends, axis=0) if ends else (0, 0)
    return {
        "training_min_length": min(lengths),
        "training_max_length": max(lengths),
        "unmeasured_5prime": int(first),
        "unmeasured_3prime": int(last),
    }


def _unmeasured_ends(values: np.ndarray) -> tuple[int, int] | None:
    """Return how many nucleotides at each end of an RNA have no label; None if all have none."""
    measured = np.flatnonzero(is_measured(values.reshape(len(values), -1)).any(-1))
    return None if not len(measured) else (int(measured[0]), len(values) - 1 - int(measured[-1]))
