"""What counts as measured is the same for arrays and tensors, and for the collators that make them."""

import numpy as np
import pytest
import torch

from rna_hf import losses
from rna_hf.data.collators import DataCollatorForCoordinates, DataCollatorForNucleotides
from rna_hf.measured import IGNORED_LABEL, is_measured, is_resolved
from rna_hf.tasks.scores import regression_metrics
from rna_hf.tokenization import RnaTokenizerFast

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_numbers(dtype):
    labels = torch.tensor([0.0, NAN, -100.0, INF, -INF, -1.0, 100.0], dtype=getattr(torch, dtype))
    expected = [True, False, False, False, False, True, True]
    assert is_measured(labels).tolist() == expected
    if dtype != "bfloat16":
        assert is_measured(labels.numpy()).tolist() == expected
        assert is_measured(labels.numpy()).dtype == bool


def test_classes():
    classes = torch.tensor([0, -100, 3])
    assert is_measured(classes).tolist() == is_measured(classes.numpy()).tolist() == [True, False, True]


def test_positions():
    rows = [[1.0, 2, 3], [-100, 2, 3], [-100, -100, -100], [NAN, 2, 3], [NAN, NAN, NAN], [1, INF, 3], [NAN, -100, -100]]
    expected = [True, True, False, False, False, False, False]
    coordinates = torch.tensor([rows])
    assert is_resolved(coordinates).tolist() == is_resolved(coordinates.numpy()).tolist() == [expected]


def test_losses_and_metrics_leave_out_the_same():
    labels = np.array([0.5, NAN, -100.0, INF, -INF, 0.25], dtype=np.float32)
    predictions = np.array([0.25, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=np.float32)
    metrics = regression_metrics(predictions, labels, clip=None)
    loss = losses.masked_mae(torch.from_numpy(predictions), torch.from_numpy(labels))
    assert metrics["count"] == 2
    assert metrics["mae"] == loss.item() == 0.25


def test_collators_say_missing_in_the_way_that_the_trainer_counts():
    tokenizer = RnaTokenizerFast(alphabet="ribonanzanet")
    example = {"sequence": "GACU", "labels": [[0.5], [NAN], [INF], [IGNORED_LABEL]]}
    labels = DataCollatorForNucleotides(tokenizer)([example])["labels"]
    assert labels[0, :, 0].tolist() == [0.5, -100, -100, -100]
    assert ((labels != IGNORED_LABEL) == is_measured(labels)).all()
    coordinates = [[1.0, 2, 3], [NAN, 2, 3], [-100, 2, 3], [NAN, NAN, NAN]]
    labels = DataCollatorForCoordinates(tokenizer)([{"sequence": "GACU", "coordinates": coordinates}])["labels"]
    assert labels[0].tolist() == [[1, 2, 3], [-100] * 3, [-100, 2, 3], [-100] * 3]
