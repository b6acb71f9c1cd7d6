"""Prediction for many sequences: `predict` and the kinds of prediction that it knows."""

from ..data.run_folder import FORMATS
from .predictor import make_batches
from .run import DEFAULT_BATCH_TOKENS, DEFAULT_PLOT_ROWS, DTYPES, predict
from .tasks import REACTIVITY_UNIT, TASKS, PredictionTask

__all__ = [
    "DEFAULT_BATCH_TOKENS",
    "DEFAULT_PLOT_ROWS",
    "DTYPES",
    "FORMATS",
    "REACTIVITY_UNIT",
    "TASKS",
    "PredictionTask",
    "make_batches",
    "predict",
]
