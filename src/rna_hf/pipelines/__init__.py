"""Pipelines: a string in, plain Python values with named units out."""

from .degradation import DegradationPipeline
from .localisation import LocalisationPipeline
from .reactivity import ReactivityPipeline
from .secondary_structure import SecondaryStructurePipeline
from .sequence_dropout import SequenceDropoutPipeline
from .tertiary_structure import TertiaryStructurePipeline

__all__ = [
    "DegradationPipeline",
    "LocalisationPipeline",
    "ReactivityPipeline",
    "SecondaryStructurePipeline",
    "SequenceDropoutPipeline",
    "TertiaryStructurePipeline",
]
