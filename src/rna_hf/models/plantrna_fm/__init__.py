from .configuration_plantrna_fm import PlantRnaFmConfig
from .modeling_plantrna_fm import (
    PlantRnaFmForContactPrediction,
    PlantRnaFmForMaskedLM,
    PlantRnaFmForSecondaryStructure,
    PlantRnaFmForSequenceClassification,
    PlantRnaFmForTokenClassification,
    PlantRnaFmModel,
    PlantRnaFmPreTrainedModel,
)

__all__ = [
    "PlantRnaFmConfig",
    "PlantRnaFmForContactPrediction",
    "PlantRnaFmForMaskedLM",
    "PlantRnaFmForSecondaryStructure",
    "PlantRnaFmForSequenceClassification",
    "PlantRnaFmForTokenClassification",
    "PlantRnaFmModel",
    "PlantRnaFmPreTrainedModel",
]
