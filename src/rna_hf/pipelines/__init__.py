"""Pipelines: a string in, plain Python values with named units out."""

from .degradation import DegradationPipeline
from .reactivity import ReactivityPipeline
from .secondary_structure import SecondaryStructurePipeline
from .sequence_dropout import SequenceDropoutPipeline
from .tertiary_structure import TertiaryStructurePipeline

__all__ = [
    "DegradationPipeline",
    "ReactivityPipeline",
    "SecondaryStructurePipeline",
    "SequenceDropoutPipeline",
    "TertiaryStructurePipeline",
]
