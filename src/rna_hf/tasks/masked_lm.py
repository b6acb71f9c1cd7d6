"""Masked language modelling: nucleotides that were hidden."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measured import is_measured
from .base import Task, Training
from .scores import BatchMetrics


class MaskedLMMetrics(BatchMetrics):
    """Part of the hidden nucleotides that are named right, and the perplexity: exp of their mean cross-entropy."""

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[float, float, int]:
        hidden = is_measured(labels)
        values, labels = values[hidden].astype(np.float64), labels[hidden].astype(np.int64)
        entropy = np.logaddexp.reduce(values, axis=-1) - values[np.arange(len(labels)), labels]
        return float((values.argmax(-1) == labels).sum()), float(entropy.sum()), len(labels)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        right, entropy, count = np.array(batches).sum(0)
        return {"accuracy": float(right / count), "perplexity": float(np.exp(entropy / count))}


MASKED_LM = Task(
    name="masked-lm",
    head="MaskedLM",
    training=Training(
        "none; a FASTA file will do",
        "rna_hf.data.collators:DataCollatorForMaskedNucleotides",
        MaskedLMMetrics,
        columns=("sequence",),
    ),
)
