"""Prediction for many sequences: `predict` and the kinds of prediction that it knows."""

from ..data.run_folder import FORMATS
from .predictor import make_batches
from .run import DEFAULT_BATCH_TOKENS, DEFAULT_PLOT_ROWS, DTYPES, predict
from .tasks import DEFAULT_SAMPLES, MAX_SAMPLES, REACTIVITY_UNIT, TASKS, PredictionTask, Row

__all__ = [
    "DEFAULT_BATCH_TOKENS",
    "DEFAULT_PLOT_ROWS",
    "DEFAULT_SAMPLES",
    "DTYPES",
    "FORMATS",
    "MAX_SAMPLES",
    "REACTIVITY_UNIT",
    "TASKS",
    "PredictionTask",
    "Row",
    "make_batches",
    "predict",
]
