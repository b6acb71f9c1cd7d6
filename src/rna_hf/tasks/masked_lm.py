"""Masked language modelling: nucleotides that were hidden."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Task, Training
from .scores import BatchMetrics, masked_token_scores, sum_masked_tokens


class MaskedLMMetrics(BatchMetrics):
    """Part of the hidden nucleotides that are named right, and the perplexity: exp of their mean cross-entropy."""

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[float, float, int]:
        return sum_masked_tokens(values, labels)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        return masked_token_scores(*np.array(batches).sum(0).tolist())


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
