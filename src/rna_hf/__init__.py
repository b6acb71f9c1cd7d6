"""rna_hf: RNA models for Hugging Face Transformers.

Importing the package makes its models known to transformers' Auto classes and pipelines; nothing else happens.
"""

from typing import TYPE_CHECKING, Any

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
    RibonanzaNetPreTrainedModel,
)
from .models.rnatracker import (
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
    RnaTrackerPreTrainedModel,
)
from .pipelines import (
    DegradationPipeline,
    LocalisationPipeline,
    ReactivityPipeline,
    SecondaryStructurePipeline,
    SequenceDropoutPipeline,
    TertiaryStructurePipeline,
)
from .registration import register
from .tokenization import RnaTokenizerFast
from .version import __version__

if TYPE_CHECKING:
    from .models.ribonanzanet.convert_ribonanzanet import convert_ribonanzanet
    from .models.ribonanzanet.convert_ribonanzanet_to_original import convert_ribonanzanet_to_original
    from .models.rnatracker.convert_rnatracker import convert_rnatracker
    from .prediction import predict

__all__ = [
    "AutoModelForContactPrediction",
    "AutoModelForDegradation",
    "AutoModelForLocalisation",
    "AutoModelForReactivity",
    "AutoModelForSecondaryStructure",
    "AutoModelForSequenceDropout",
    "AutoModelForTertiaryStructure",
    "DegradationPipeline",
    "LocalisationPipeline",
    "ReactivityPipeline",
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
    "RnaTokenizerFast",
    "RnaTrackerConfig",
    "RnaTrackerForLocalisation",
    "RnaTrackerForSequenceClassification",
    "RnaTrackerModel",
    "RnaTrackerPreTrainedModel",
    "SecondaryStructurePipeline",
    "SequenceDropoutPipeline",
    "TertiaryStructurePipeline",
    "__version__",
    "convert_ribonanzanet",
    "convert_ribonanzanet_to_original",
    "convert_rnatracker",
    "predict",
]

register()


def __getattr__(name: str) -> Any:
    # Work on files needs more imports than opening a model: these wait until somebody asks for them.
    if name == "predict":
        from .prediction import predict

        return predict
    if name == "convert_ribonanzanet":
        from .models.ribonanzanet.convert_ribonanzanet import convert_ribonanzanet

        return convert_ribonanzanet
    if name == "convert_ribonanzanet_to_original":
        from .models.ribonanzanet.convert_ribonanzanet_to_original import convert_ribonanzanet_to_original

        return convert_ribonanzanet_to_original
    if name == "convert_rnatracker":
        from .models.rnatracker.convert_rnatracker import convert_rnatracker

        return convert_rnatracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
