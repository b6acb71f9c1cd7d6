"""Opens this checkpoint with transformers' Auto classes. The model itself: pip install rna-hf."""

from rna_hf.models.rnatracker import (
    RnaTrackerConfig,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
)

__all__ = [
    "RnaTrackerConfig",
    "RnaTrackerForSequenceClassification",
    "RnaTrackerModel",
]
