"""Prediction for many sequences: `predict` and the kinds of prediction that it knows."""

from ..data.run_folder import FORMATS
from .predictor import is_padding_masked, make_batches
from .run import DEFAULT_BATCH_TOKENS, DEFAULT_PLOT_ROWS, DTYPES, predict
from .tasks import (
    DEFAULT_SAMPLES,
    DEFAULT_WINDOWS,
    MAX_SAMPLES,
    MAX_WINDOWS,
    REACTIVITY_UNIT,
    TASKS,
    PredictionTask,
    Row,
)

__all__ = [
    "DEFAULT_BATCH_TOKENS",
    "DEFAULT_PLOT_ROWS",
    "DEFAULT_SAMPLES",
    "DEFAULT_WINDOWS",
    "DTYPES",
    "FORMATS",
    "MAX_SAMPLES",
    "MAX_WINDOWS",
    "REACTIVITY_UNIT",
    "TASKS",
    "PredictionTask",
    "Row",
    "is_padding_masked",
    "make_batches",
    "predict",
]
