"""The collator for float labels: what counts, what is padding, what is refused."""

import numpy as np
import pytest
import torch

from rna_hf import RnaTokenizerFast
from rna_hf.data.collators import (
    DataCollatorForCoordinates,
    DataCollatorForPairs,
    DataCollatorForReactivity,
    DataCollatorForSequences,
)

NAN = float("nan")


@pytest.fixture
def tokenizer():
    return RnaTokenizerFast(alphabet="ribonanzanet")


def test_unmeasured_and_padding_become_minus_100(tokenizer):
    batch = DataCollatorForReactivity(tokenizer)(
        [
            {"sequence": "GAC", "labels": [[0.1, 0.2], [0.9, NAN], [0.3, 0.4]]},
            {"sequence": "GACUU", "labels": np.full((5, 2), 0.5), "signal_to_noise": [2.0, 0.5]},
        ]
    )
    expected = torch.full((2, 5, 2), -100.0)
    expected[0, :3] = torch.tensor([[0.1, 0.2], [0.9, -100.0], [0.3, 0.4]])
    expected[1, :, 0] = 0.5
    assert torch.equal(batch["labels"], expected)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert (batch["labels"] != -100).sum() == 10


def test_ids_in_place_of_sequences_give_the_same_batch(tokenizer):
    labels = [[0.1, 0.2]] * 4
    collate = DataCollatorForReactivity(tokenizer)
    from_text = collate(
        [{"sequence": "AC<mask>U", "labels": labels}, {"sequence": "GGGGG", "labels": [*labels, [0, 0]]}]
    )
    ids = tokenizer("AC<mask>U", padding="max_length", max_length=8)["input_ids"]
    from_ids = collate(
        [{"input_ids": torch.tensor(ids), "labels": labels}, {"input_ids": [2] * 5, "labels": [*labels, [0, 0]]}]
    )
    assert all(torch.equal(from_text[name], from_ids[name]) for name in from_text)
    assert from_ids["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1] * 5]


def test_special_tokens_carry_no_label():
    tokenizer = RnaTokenizerFast(alphabet="ribonanzanet", bos_token=True, eos_token=True)
    batch = DataCollatorForReactivity(tokenizer)([{"sequence": "GA", "labels": [[0.1], [0.2]]}])
    assert batch["labels"][0, :, 0].tolist() == pytest.approx([-100, 0.1, 0.2, -100])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0.1, 0.2]] * 2, "3 nucleotides but 2 rows"),
        ([0.1, 0.2, 0.3], r"shape \(3,\)"),
        ([[0.1]] * 3, "1 label channels"),
    ],
)
def test_labels_that_do_not_fit(tokenizer, labels, message):
    fine = {"sequence": "GAC", "labels": [[0.1, 0.2]] * 3}
    with pytest.raises(ValueError, match=message):
        DataCollatorForReactivity(tokenizer)([fine, {"sequence": "GAC", "labels": labels}])


class TestPairs:
    def test_pairs_become_a_symmetric_matrix(self, tokenizer):
        collate = DataCollatorForPairs(tokenizer)
        batch = collate([{"sequence": "GAAC", "pairs": [[0, 3]]}, {"sequence": "GA", "pairs": []}])
        assert batch["labels"][0].tolist() == [[0, 0, 0, 1], [0] * 4, [0] * 4, [1, 0, 0, 0]]
        assert batch["labels"][1].tolist() == [[0, 0, -100, -100], [0, 0, -100, -100], [-100] * 4, [-100] * 4]

    def test_special_tokens_have_no_labels(self):
        tokenizer = RnaTokenizerFast(alphabet="ribonanzanet", bos_token=True, eos_token=True)
        labels = DataCollatorForPairs(tokenizer)([{"sequence": "GC", "pairs": [[0, 1]]}])["labels"][0]
        assert labels.tolist() == [[-100] * 4, [-100, 0, 1, -100], [-100, 1, 0, -100], [-100] * 4]

    @pytest.mark.parametrize(("pair", "outside"), [([0, 4], 4), ([-1, 2], -1)])
    def test_positions_outside_are_named(self, tokenizer, pair, outside):
        with pytest.raises(ValueError, match=f"example 0 of the batch pairs position {outside}, but has 4"):
            DataCollatorForPairs(tokenizer)([{"sequence": "GAAC", "pairs": [pair]}])


class TestCoordinates:
    def test_unresolved_is_minus_100_and_absurd_is_refused(self, tokenizer):
        places = np.full((2, 3), NAN)
        batch = DataCollatorForCoordinates(tokenizer)([{"sequence": "AC", "coordinates": places}])
        assert (batch["labels"] == -100).all()
        with pytest.raises(ValueError, match=r"1e\+18 angstrom: what is not resolved must be NaN"):
            DataCollatorForCoordinates(tokenizer)([{"sequence": "AC", "coordinates": np.full((2, 3), -1e18)}])
        with pytest.raises(ValueError, match="2 nucleotides but 3 rows"):
            DataCollatorForCoordinates(tokenizer)([{"sequence": "AC", "coordinates": np.zeros((3, 3))}])


def test_labels_of_sequences(tokenizer):
    collate = DataCollatorForSequences(tokenizer)
    classes = collate([{"sequence": "AC", "labels": 2}, {"sequence": "G", "labels": 0}])["labels"]
    assert classes.tolist() == [2, 0]
    assert classes.dtype == torch.long
    numbers = collate([{"sequence": "AC", "labels": [1.5, NAN]}, {"sequence": "G", "labels": [0.0, 3.0]}])["labels"]
    assert numbers.tolist() == [[1.5, -100.0], [0.0, 3.0]]
