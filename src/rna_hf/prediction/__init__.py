"""Prediction for many sequences: `predict` and `embed`, and the options of a run."""

from .options import DEFAULT_BATCH_TOKENS, DEFAULT_PLOT_ROWS, DTYPES, EmbeddingRunOptions, RunOptions
from .run import embed, predict

__all__ = [
    "DEFAULT_BATCH_TOKENS",
    "DEFAULT_PLOT_ROWS",
    "DTYPES",
    "EmbeddingRunOptions",
    "RunOptions",
    "embed",
    "predict",
]
