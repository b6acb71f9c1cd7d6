from .configuration_rnatracker import RnaTrackerConfig
from .modeling_rnatracker import (
    RnaTrackerForLocalisation,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
    RnaTrackerPreTrainedModel,
)

__all__ = [
    "RnaTrackerConfig",
    "RnaTrackerForLocalisation",
    "RnaTrackerForSequenceClassification",
    "RnaTrackerModel",
    "RnaTrackerPreTrainedModel",
]
