"""What can be predicted: a `PredictionTask` for each kind, by its name on the command line."""

from .base import Kind, PredictionTask, Row
from .degradation import DegradationTask
from .dropout import SequenceDropoutTask
from .localisation import DEFAULT_WINDOWS, MAX_WINDOWS, LocalisationTask
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
        LocalisationTask(),
    )
}

__all__ = [
    "DEFAULT_SAMPLES",
    "DEFAULT_WINDOWS",
    "MAX_SAMPLES",
    "MAX_WINDOWS",
    "REACTIVITY_UNIT",
    "TASKS",
    "Kind",
    "PredictionTask",
    "Row",
]
