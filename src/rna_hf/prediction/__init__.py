"""Prediction for many sequences: `predict`, and the options of a run."""

from .options import DEFAULT_BATCH_TOKENS, DEFAULT_PLOT_ROWS, DTYPES, FORMATS, RunOptions
from .run import predict

__all__ = ["DEFAULT_BATCH_TOKENS", "DEFAULT_PLOT_ROWS", "DTYPES", "FORMATS", "RunOptions", "predict"]
