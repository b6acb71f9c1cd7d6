from .configuration_ribonanzanet import RibonanzaNetConfig
from .modeling_ribonanzanet import (
    RibonanzaNetForContactPrediction,
    RibonanzaNetForDegradation,
    RibonanzaNetForMaskedLM,
    RibonanzaNetForReactivity,
    RibonanzaNetForSecondaryStructure,
    RibonanzaNetForSequenceClassification,
    RibonanzaNetForSequenceDropout,
    RibonanzaNetForTertiaryStructure,
    RibonanzaNetForTokenClassification,
    RibonanzaNetModel,
    RibonanzaNetPreTrainedModel,
)

__all__ = [
    "RibonanzaNetConfig",
    "RibonanzaNetForContactPrediction",
    "RibonanzaNetForDegradation",
    "RibonanzaNetForMaskedLM",
    "RibonanzaNetForReactivity",
    "RibonanzaNetForSecondaryStructure",
    "RibonanzaNetForSequenceClassification",
    "RibonanzaNetForSequenceDropout",
    "RibonanzaNetForTertiaryStructure",
    "RibonanzaNetForTokenClassification",
    "RibonanzaNetModel",
    "RibonanzaNetPreTrainedModel",
]
