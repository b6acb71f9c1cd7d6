"""Collators: lists of examples into padded batches, with float labels per nucleotide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..measured import IGNORED_LABEL, is_measured, is_resolved
from ..structure.coordinates import MAX_COORDINATE
from ..tokenization import RnaTokenizerFast, encode_bulk, get_alphabet

SHARES_TOLERANCE = 1e-3
"""Shares of compartments may miss 1 together by this much; four of them rounded to 4 decimals miss it by 2e-4."""


@dataclass
class DataCollatorForNucleotides:
    """Tokenises sequences and pads labels that stand for nucleotides, for `Trainer(data_collator=...)`.

    Each example has `sequence` (or `input_ids`) and `labels`: L rows of C numbers, NaN where not measured.

    What doesn't count comes out as -100, padding and special tokens included. The Trainer counts items as
    `labels != -100`, so its loss is then the mean over measured values whatever the batch size and the number of
    accumulated batches. Keep `remove_unused_columns=False` in the training arguments when examples hold `sequence`.

    Args:
        tokenizer: an `RnaTokenizerFast`.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L, C) in float32."""
        batch, is_nucleotide = encode_examples(self.tokenizer, examples)
        if "labels" not in examples[0]:
            return batch
        profiles = [self._profile(example, row) for row, example in enumerate(examples)]
        labels = np.full((*is_nucleotide.shape, profiles[0].shape[1]), IGNORED_LABEL, dtype=np.float32)
        for row, profile in enumerate(profiles):
            if len(profile) != is_nucleotide[row].sum():
                raise ValueError(
                    f"example {row} of the batch has {is_nucleotide[row].sum()} nucleotides but {len(profile)} rows "
                    "of labels: one row for each nucleotide is needed"
                )
            if profile.shape[1] != labels.shape[2]:
                raise ValueError(
                    f"example {row} of the batch has {profile.shape[1]} label channels, the first has {labels.shape[2]}"
                )
            labels[row, is_nucleotide[row]] = profile
        return batch | {"labels": torch.from_numpy(labels)}

    def _profile(self, example: Mapping[str, Any], row: int) -> np.ndarray:
        """Return an example's labels (L, C), -100 where they don't count."""
        profile = np.array(example["labels"], dtype=np.float32)
        if profile.ndim != 2:
            raise ValueError(f"labels of example {row} have shape {profile.shape}: (nucleotides, channels) is needed")
        return np.where(is_measured(profile), profile, np.float32(IGNORED_LABEL))


@dataclass
class DataCollatorForReactivity(DataCollatorForNucleotides):
    """`DataCollatorForNucleotides` that leaves out noisy profiles.

    Beside `labels` an example may have `signal_to_noise`: C values; a profile under `min_signal_to_noise` (or NaN)
    doesn't count.

    Args:
        tokenizer: an `RnaTokenizerFast`.
        min_signal_to_noise: as in `RibonanzaNetConfig`.

    Example:
        >>> collate = DataCollatorForReactivity(tokenizer)
        >>> batch = collate([{"sequence": "GAC", "labels": [[0.1, 0.2], [0.9, float("nan")], [0.3, 0.4]]}])
        >>> batch["labels"].shape
        torch.Size([1, 3, 2])
    """

    min_signal_to_noise: float = 1.0

    def _profile(self, example: Mapping[str, Any], row: int) -> np.ndarray:
        profile = super()._profile(example, row)
        if example.get("signal_to_noise") is not None:
            ratio = np.broadcast_to(np.asarray(example["signal_to_noise"], dtype=np.float32), profile.shape[1:])
            profile[:, ~(ratio >= self.min_signal_to_noise)] = IGNORED_LABEL
        return profile


@dataclass
class DataCollatorForCoordinates(DataCollatorForNucleotides):
    """`DataCollatorForNucleotides` for `coordinates`: L rows of x, y, z, angstrom; NaN where not resolved.

    Args:
        tokenizer: an `RnaTokenizerFast`.
    """

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L, 3) in float32."""
        return super().__call__([{**example, "labels": example["coordinates"]} for example in examples])

    def _profile(self, example: Mapping[str, Any], row: int) -> np.ndarray:
        profile = super()._profile(example, row)
        if profile.shape[1] != 3:
            raise ValueError(f"example {row} has {profile.shape[1]} coordinates a nucleotide: x, y and z are needed")
        coordinates = np.array(example["labels"], dtype=np.float32)
        largest = np.nanmax(np.abs(coordinates), initial=0)
        if largest >= MAX_COORDINATE:
            raise ValueError(
                f"example {row} has a coordinate of {largest:g} angstrom: what is not resolved must be "
                "NaN (Kaggle's files say -1e18)"
            )
        # Half a position is none.
        profile[~is_resolved(coordinates)] = IGNORED_LABEL
        return profile


@dataclass
class DataCollatorForPairs:
    """Tokenises sequences and turns base pairs into a matrix of labels, for `Trainer(data_collator=...)`.

    Each example has `sequence` and `pairs`: 0-based [i, j] of nucleotides that pair.

    Args:
        tokenizer: an `RnaTokenizerFast`.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L, L): 1 for pairs, 0, -100 at padding."""
        batch, is_nucleotide = encode_examples(self.tokenizer, examples)
        if "pairs" not in examples[0]:
            return batch
        labels = np.full((*is_nucleotide.shape, is_nucleotide.shape[1]), IGNORED_LABEL, dtype=np.float32)
        for row, example in enumerate(examples):
            place = np.flatnonzero(is_nucleotide[row])
            own = np.zeros((len(place), len(place)), dtype=np.float32)
            pairs = np.asarray(example["pairs"], dtype=np.int64).reshape(-1, 2)
            outside = pairs[(pairs < 0) | (pairs >= len(place))]
            if len(outside):
                raise ValueError(
                    f"example {row} of the batch pairs position {outside[0]}, but has {len(place)} nucleotides "
                    "(positions count from 0)"
                )
            own[pairs[:, 0], pairs[:, 1]] = own[pairs[:, 1], pairs[:, 0]] = 1
            labels[row, place[:, None], place[None, :]] = own
        return batch | {"labels": torch.from_numpy(labels)}


@dataclass
class DataCollatorForSequences:
    """Tokenises sequences whose labels stand for the whole sequence, for `Trainer(data_collator=...)`.

    Each example has `sequence` and `labels`: one class (an integer) or C numbers, NaN where not measured.

    Args:
        tokenizer: an `RnaTokenizerFast`.
        pad_to_multiple_of: round L up to a multiple of this number of tokens; None for no more than the longest needs.
    """

    tokenizer: PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels`: (B,) integers or (B, C) in float32."""
        batch, _ = encode_examples(self.tokenizer, examples, self.pad_to_multiple_of)
        if "labels" not in examples[0]:
            return batch
        labels = np.array([example["labels"] for example in examples])
        if np.issubdtype(labels.dtype, np.integer):
            return batch | {"labels": torch.from_numpy(labels.astype(np.int64))}
        labels = np.where(is_measured(labels), labels, IGNORED_LABEL).astype(np.float32)
        return batch | {"labels": torch.from_numpy(labels)}


@dataclass
class DataCollatorForLocalisation(DataCollatorForSequences):
    """`DataCollatorForSequences` for shares: `labels` are C numbers of 0 or more, together 1; NaN where not measured.

    A sequence with a label that was not measured doesn't count at all.

    Args:
        tokenizer: an `RnaTokenizerFast`.
        pad_to_multiple_of: see `DataCollatorForSequences`.
    """

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, C) in float32, or a row of -100."""
        if "labels" not in examples[0]:
            return super().__call__(examples)
        labels = [self._shares(example, row) for row, example in enumerate(examples)]
        for row, shares in enumerate(labels):
            if len(shares) != len(labels[0]):
                raise ValueError(f"example {row} of the batch has {len(shares)} labels, the first has {len(labels[0])}")
        return super().__call__([{**example, "labels": shares} for example, shares in zip(examples, labels)])

    def _shares(self, example: Mapping[str, Any], row: int) -> np.ndarray:
        """Return an example's labels (C,), all NaN where one was not measured."""
        shares = np.array(example["labels"], dtype=np.float32)
        if shares.ndim != 1:
            raise ValueError(
                f"labels of example {row} have shape {shares.shape}: one share for each compartment is needed"
            )
        if not is_measured(shares).all():
            return np.full_like(shares, np.nan)
        if (shares < 0).any() or abs(shares.sum() - 1) > SHARES_TOLERANCE:
            raise ValueError(
                f"labels of example {row} of the batch are {shares.tolist()}: shares are needed, 0 or more and "
                "together 1; divide them by their sum"
            )
        return shares


@dataclass
class DataCollatorForTokens(DataCollatorForNucleotides):
    """`DataCollatorForNucleotides` for classes too: `labels` are L integers, -100 where unknown, or L rows of numbers.

    Args:
        tokenizer: an `RnaTokenizerFast`.
    """

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels`: (B, L) integers or (B, L, C) in float32."""
        if np.ndim(examples[0].get("labels", [[]])) != 1:
            return super().__call__(examples)
        labels = [np.asarray(example["labels"]) for example in examples]
        for row, classes in enumerate(labels):
            if len(classes) and not np.issubdtype(classes.dtype, np.integer):
                raise ValueError(
                    f"labels of example {row} are {classes.dtype}: classes are integers, -100 where unknown"
                )
        columns = [{**example, "labels": classes[:, None]} for example, classes in zip(examples, labels, strict=True)]
        batch = super().__call__(columns)
        return batch | {"labels": batch["labels"][..., 0].long()}


@dataclass
class DataCollatorForContacts(DataCollatorForPairs):
    """`DataCollatorForPairs` whose `labels` are classes: integers (B, L, L), 1 for the pairs given.

    Args:
        tokenizer: an `RnaTokenizerFast`.
    """

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L, L): 1 for pairs, 0, -100 at padding."""
        batch = super().__call__(examples)
        return batch | {"labels": batch["labels"].long()} if "labels" in batch else batch


@dataclass
class DataCollatorForMaskedNucleotides:
    """Tokenises sequences and hides nucleotides for a model to name, for `Trainer(data_collator=...)`.

    Of the nucleotides chosen, 80 % become the mask token, 10 % a random nucleotide, and 10 % stay as they are (Devlin
    et al. 2019, section 3.1); letters such as N are never chosen. Transformers' `DataCollatorForLanguageModeling` would
    draw its random tokens from padding and N as well, and others in each evaluation: here the choice is a function of
    the example's `seed`, an integer, and without one of its sequence.

    Args:
        tokenizer: an `RnaTokenizerFast` of single letters with a mask token.
        probability: of choosing a nucleotide; one at least is chosen in each sequence.
    """

    tokenizer: RnaTokenizerFast
    probability: float = 0.15

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L): ids that were hidden, else -100."""
        mask = self.tokenizer.mask_token_id
        if mask is None:
            raise ValueError("the tokenizer has no mask token; load it with mask_token=True")
        letters = np.array(
            self.tokenizer.convert_tokens_to_ids(list(get_alphabet(self.tokenizer.alphabet).nucleotides))
        )
        batch, is_nucleotide = encode_examples(self.tokenizer, examples)
        ids = batch["input_ids"].numpy().copy()
        labels = np.full_like(ids, int(IGNORED_LABEL))
        for row, example in enumerate(examples):
            places = np.flatnonzero(is_nucleotide[row] & np.isin(ids[row], letters))
            generator = np.random.default_rng(example.get("seed", crc32(ids[row, is_nucleotide[row]].tobytes())))
            draws = generator.random(len(places))
            chosen = places[draws <= max(self.probability, draws.min(initial=1.0))]
            labels[row, chosen] = ids[row, chosen]
            fate = generator.random(len(chosen))
            random_letters = generator.choice(letters, len(chosen))
            ids[row, chosen] = np.where(fate < 0.8, mask, np.where(fate < 0.9, random_letters, labels[row, chosen]))
        return batch | {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}


def encode_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Mapping[str, Any]], pad_to_multiple_of: int | None = None
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Tokenise and pad.

    Args:
        tokenizer: an `RnaTokenizerFast`.
        examples: each with `sequence` or `input_ids`.
        pad_to_multiple_of: round L up to a multiple of this number of tokens.

    Returns:
        `input_ids` and `attention_mask` (B, L), and where nucleotides stand, (B, L).
    """
    if "sequence" in examples[0]:
        sequences = [example["sequence"] for example in examples]
        encoded = encode_bulk(tokenizer, sequences, pad_to_multiple_of=pad_to_multiple_of)
    else:
        ids = [torch.as_tensor(example["input_ids"]).tolist() for example in examples]
        # Not get_special_tokens_mask: <mask> hides a nucleotide and keeps its label. Padding is dropped and redone.
        ids = [[token for token in row if token != tokenizer.pad_token_id] for row in ids]
        around = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        special = [[int(token in around) for token in row] for row in ids]
        encoded = tokenizer.pad(
            {"input_ids": ids, "special_tokens_mask": special},
            padding=True,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors="pt",
        )
    batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return batch, ((encoded["special_tokens_mask"] == 0) & (encoded["attention_mask"] != 0)).numpy()
