"""The tasks: `TASKS` is the only list of them, by their name on the command line.

What a task touches is made from it: `rna-hf predict` and its options, the pipelines, the Auto classes, fine-tuning,
default checkpoints and the tables of the README. Importing this imports neither torch nor transformers.
"""

from .base import WARNING, Caution, Kind, Prediction, ProfilePrediction, Row, Task, Training, join_cautions
from .classification import CONTACT_PREDICTION, SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from .degradation import DEGRADATION
from .embedding import EMBEDDING
from .localisation import LOCALISATION
from .masked_lm import MASKED_LM
from .reactivity import REACTIVITY, REACTIVITY_UNIT
from .secondary_structure import SECONDARY_STRUCTURE
from .sequence_dropout import SEQUENCE_DROPOUT
from .tertiary_structure import TERTIARY_STRUCTURE

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        REACTIVITY,
        DEGRADATION,
        SEQUENCE_DROPOUT,
        SECONDARY_STRUCTURE,
        TERTIARY_STRUCTURE,
        LOCALISATION,
        SEQUENCE_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        CONTACT_PREDICTION,
        MASKED_LM,
    )
}


def predictions() -> dict[str, Prediction]:
    """Return how each task is predicted, for those that `rna-hf predict` knows."""
    return {name: task.prediction for name, task in TASKS.items() if task.prediction}


def trainings() -> dict[str, Training]:
    """Return how each task is trained, for those that `rna-hf finetune` knows."""
    return {name: task.training for name, task in TASKS.items() if task.training}


__all__ = [
    "EMBEDDING",
    "REACTIVITY_UNIT",
    "TASKS",
    "WARNING",
    "Caution",
    "Kind",
    "Prediction",
    "ProfilePrediction",
    "Row",
    "Task",
    "Training",
    "join_cautions",
    "predictions",
    "trainings",
]
