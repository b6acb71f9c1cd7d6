"""Collators of classes for nucleotides and pairs, and of hidden nucleotides."""

import numpy as np
import pytest
import torch

from rna_hf import RnaTokenizerFast
from rna_hf.data.collators import DataCollatorForContacts, DataCollatorForMaskedNucleotides, DataCollatorForTokens


@pytest.fixture
def tokenizer():
    return RnaTokenizerFast(alphabet="ribonanzanet")


def test_classes_of_nucleotides(tokenizer):
    tokenizer = RnaTokenizerFast(alphabet="ribonanzanet", bos_token=True)
    batch = DataCollatorForTokens(tokenizer)(
        [{"sequence": "GAC", "labels": [2, 0, -100]}, {"sequence": "GACU", "labels": [1, 1, 0, 2]}]
    )
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [[-100, 2, 0, -100, -100], [-100, 1, 1, 0, 2]]


def test_numbers_of_nucleotides_and_no_labels(tokenizer):
    collate = DataCollatorForTokens(tokenizer)
    batch = collate([{"sequence": "GA", "labels": [[0.5], [float("nan")]]}])
    assert batch["labels"].tolist() == [[[0.5], [-100.0]]]
    assert set(collate([{"sequence": "GA"}])) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0.5, 1.0], "labels of example 0 are float64: classes are integers"), ([1], "has 2 nucleotides but 1 rows")],
)
def test_classes_that_are_refused(labels, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        DataCollatorForTokens(tokenizer)([{"sequence": "GA", "labels": labels}])


def test_contacts_are_classes(tokenizer):
    batch = DataCollatorForContacts(tokenizer)(
        [{"sequence": "GAC", "pairs": [[0, 2]]}, {"sequence": "GA", "pairs": []}]
    )
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"][0].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert (batch["labels"][1, 2] == -100).all()
    assert (batch["labels"][1, :2, :2] == 0).all()


def test_nucleotides_are_hidden_by_the_rule(tokenizer):
    sequence = "".join(np.random.default_rng(0).choice(list("ACGU"), 20_000))
    whole = torch.tensor(tokenizer(sequence)["input_ids"])
    batch = DataCollatorForMaskedNucleotides(tokenizer)([{"sequence": sequence, "seed": 1}])
    ids, labels = batch["input_ids"][0], batch["labels"][0]
    chosen = labels != -100
    assert torch.equal(labels[chosen], whole[chosen])
    assert torch.equal(ids[~chosen], whole[~chosen])
    assert chosen.float().mean() == pytest.approx(0.15, abs=0.01)
    assert (ids[chosen] == tokenizer.mask_token_id).float().mean() == pytest.approx(0.8, abs=0.03)
    # A random nucleotide is the right one in a quarter of the cases.
    assert (ids[chosen] == whole[chosen]).float().mean() == pytest.approx(0.1 + 0.1 / 4, abs=0.03)
    assert set(ids.tolist()) <= {0, 1, 2, 3, tokenizer.mask_token_id}


def test_what_is_hidden_follows_from_the_seed_or_the_sequence(tokenizer):
    collate = DataCollatorForMaskedNucleotides(tokenizer)
    sequence = "GACUGGACUUAGCGAUCGAUUCGGA"

    def labels(*others, **example):
        return collate([{"sequence": sequence} | example, *others])["labels"][0, : len(sequence)].tolist()

    assert labels() == labels() == labels({"sequence": sequence * 2})
    assert labels(seed=1) == labels(seed=1)
    assert len({tuple(labels(seed=seed)) for seed in range(8)}) > 4


def test_padding_and_unknown_letters_are_not_hidden(tokenizer):
    batch = DataCollatorForMaskedNucleotides(tokenizer, probability=1.0)(
        [{"sequence": "GNA"}, {"sequence": "NN"}, {"sequence": "GACUG"}]
    )
    assert (batch["labels"] != -100).tolist() == [[1, 0, 1, 0, 0], [0] * 5, [1] * 5]
    fewest = DataCollatorForMaskedNucleotides(tokenizer, probability=0.0)([{"sequence": "GACU"}])
    assert (fewest["labels"] != -100).sum() == 1


def test_a_tokenizer_without_mask_is_refused():
    with pytest.raises(ValueError, match="no mask token; load it with mask_token=True"):
        DataCollatorForMaskedNucleotides(RnaTokenizerFast(mask_token=False))([{"sequence": "GACU"}])
