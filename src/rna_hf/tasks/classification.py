"""Labels of your own: of whole sequences, of nucleotides, or of pairs of nucleotides."""

from __future__ import annotations

import numpy as np

from .base import Task, Training
from .scores import ClassMetrics, PairMetrics


class ContactMetrics(PairMetrics):
    """Those of `PairMetrics`, for pairs of nucleotides whose likelier class of two is 1."""

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return super().reduce(values[..., 1] - values[..., 0], labels)


SEQUENCE_CLASSIFICATION = Task(
    name="sequence-classification",
    head="SequenceClassification",
    training=Training(
        "`labels`: a class, or numbers",
        "rna_hf.data.collators:DataCollatorForSequences",
        ClassMetrics,
        labels_of="sequence",
        has_classes=True,
    ),
)

TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    head="TokenClassification",
    training=Training(
        "`labels`: a class for each nucleotide, or rows of numbers",
        "rna_hf.data.collators:DataCollatorForTokens",
        ClassMetrics,
        labels_of="nucleotides",
        has_classes=True,
    ),
)

CONTACT_PREDICTION = Task(
    name="contact-prediction",
    head="ContactPrediction",
    training=Training(
        "`pairs`: 0-based `[i, j]`",
        "rna_hf.data.collators:DataCollatorForContacts",
        ContactMetrics,
        best="f1",
        greater_is_better=True,
        columns=("sequence", "pairs"),
        labels_of="pairs",
    ),
)
