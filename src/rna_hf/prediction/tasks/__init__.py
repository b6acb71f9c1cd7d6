"""What can be predicted: a `PredictionTask` for each kind, by its name on the command line."""

from .base import Kind, PredictionTask, Row
from .degradation import DegradationTask
from .dropout import SequenceDropoutTask
from .reactivity import REACTIVITY_UNIT, ReactivityTask
from .secondary_structure import SecondaryStructureTask
from .tertiary_structure import DEFAULT_SAMPLES, MAX_SAMPLES, TertiaryStructureTask

TASKS: dict[str, PredictionTask] = {
    task.name: task
    for task in (
        ReactivityTask(),
        DegradationTask(),
        SequenceDropoutTask(),
        SecondaryStructureTask(),
        TertiaryStructureTask(),
    )
}

__all__ = [
    "DEFAULT_SAMPLES",
    "MAX_SAMPLES",
    "REACTIVITY_UNIT",
    "TASKS",
    "Kind",
    "PredictionTask",
    "Row",
]
