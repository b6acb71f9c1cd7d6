"""The only file that writes to transformers' Auto classes and to its pipeline registry."""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .auto import (
    AutoModelForContactPrediction,
    AutoModelForDegradation,
    AutoModelForLocalisation,
    AutoModelForReactivity,
    AutoModelForSecondaryStructure,
    AutoModelForSequenceDropout,
    AutoModelForTertiaryStructure,
)
from .models.ribonanzanet import (
    RibonanzaNetConfig,
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
)
from .models.rnatracker import (
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
)
from .pipelines import (
    DegradationPipeline,
    LocalisationPipeline,
    ReactivityPipeline,
    SecondaryStructurePipeline,
    SequenceDropoutPipeline,
    TertiaryStructurePipeline,
)
from .tokenization import RnaTokenizerFast


def register() -> None:
    """Make every model, tokenizer and pipeline of this package known to transformers. Repeating it changes nothing."""
    for config_class, model_classes in (
        (
            RibonanzaNetConfig,
            {
                AutoModel: RibonanzaNetModel,
                AutoModelForContactPrediction: RibonanzaNetForContactPrediction,
                AutoModelForDegradation: RibonanzaNetForDegradation,
                AutoModelForMaskedLM: RibonanzaNetForMaskedLM,
                AutoModelForReactivity: RibonanzaNetForReactivity,
                AutoModelForSecondaryStructure: RibonanzaNetForSecondaryStructure,
                AutoModelForSequenceClassification: RibonanzaNetForSequenceClassification,
                AutoModelForSequenceDropout: RibonanzaNetForSequenceDropout,
                AutoModelForTertiaryStructure: RibonanzaNetForTertiaryStructure,
                AutoModelForTokenClassification: RibonanzaNetForTokenClassification,
            },
        ),
        (
            RnaTrackerConfig,
            {
                AutoModel: RnaTrackerModel,
                AutoModelForLocalisation: RnaTrackerForLocalisation,
                AutoModelForSequenceClassification: RnaTrackerForSequenceClassification,
            },
        ),
    ):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoTokenizer.register(config_class, tokenizer_class=RnaTokenizerFast, exist_ok=True)
        for auto_class, model_class in model_classes.items():
            auto_class.register(config_class, model_class, exist_ok=True)

    for pipeline_class in (
        DegradationPipeline,
        LocalisationPipeline,
        ReactivityPipeline,
        SecondaryStructurePipeline,
        SequenceDropoutPipeline,
        TertiaryStructurePipeline,
    ):
        task = pipeline_class.registration()
        if task["task"] not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(**task)
