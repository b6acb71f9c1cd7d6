"""The collator for float labels: what counts, what is padding, what is refused."""

import numpy as np
import pytest
import torch

from rna_hf import RnaTokenizerFast
from rna_hf.data.collators import DataCollatorForReactivity

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
