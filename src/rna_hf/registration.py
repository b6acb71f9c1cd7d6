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
from .pipelines import (
    DegradationPipeline,
    ReactivityPipeline,
    SecondaryStructurePipeline,
    SequenceDropoutPipeline,
    TertiaryStructurePipeline,
)
from .tokenization import RnaTokenizerFast


def register() -> None:
    """Make every model, tokenizer and pipeline of this package known to transformers. Repeating it changes nothing."""
    AutoConfig.register(RibonanzaNetConfig.model_type, RibonanzaNetConfig, exist_ok=True)
    AutoTokenizer.register(RibonanzaNetConfig, tokenizer_class=RnaTokenizerFast, exist_ok=True)
    AutoModel.register(RibonanzaNetConfig, RibonanzaNetModel, exist_ok=True)
    for auto_class, model_class in (
        (AutoModelForContactPrediction, RibonanzaNetForContactPrediction),
        (AutoModelForDegradation, RibonanzaNetForDegradation),
        (AutoModelForMaskedLM, RibonanzaNetForMaskedLM),
        (AutoModelForReactivity, RibonanzaNetForReactivity),
        (AutoModelForSecondaryStructure, RibonanzaNetForSecondaryStructure),
        (AutoModelForSequenceClassification, RibonanzaNetForSequenceClassification),
        (AutoModelForSequenceDropout, RibonanzaNetForSequenceDropout),
        (AutoModelForTertiaryStructure, RibonanzaNetForTertiaryStructure),
        (AutoModelForTokenClassification, RibonanzaNetForTokenClassification),
    ):
        auto_class.register(RibonanzaNetConfig, model_class, exist_ok=True)

    for pipeline_class in (
        DegradationPipeline,
        ReactivityPipeline,
        SecondaryStructurePipeline,
        SequenceDropoutPipeline,
        TertiaryStructurePipeline,
    ):
        task = pipeline_class.registration()
        if task["task"] not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(**task)
