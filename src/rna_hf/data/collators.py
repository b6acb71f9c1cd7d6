"""Collators: lists of examples into padded batches, with float labels per nucleotide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..losses import IGNORED_LABEL
from ..tokenization import encode_bulk


@dataclass
class DataCollatorForReactivity:
    """Tokenises sequences and pads their reactivity profiles, for `Trainer(data_collator=...)`.

    Each example has `sequence` (or `input_ids`), `labels` and, if known, `signal_to_noise`:

    - `labels`: L rows of C channels, NaN where not measured.
    - `signal_to_noise`: C values; a profile under `min_signal_to_noise` (or NaN) doesn't count.

    What doesn't count comes out as -100, padding and special tokens included. The Trainer counts items as
    `labels != -100`, so its loss is then the mean over measured values whatever the batch size and the number of
    accumulated batches. Keep `remove_unused_columns=False` in the training arguments when examples hold `sequence`.

    Args:
        tokenizer: an `RnaTokenizerFast`.
        min_signal_to_noise: as in `RibonanzaNetConfig`.

    Example:
        >>> collate = DataCollatorForReactivity(tokenizer)
        >>> batch = collate([{"sequence": "GAC", "labels": [[0.1, 0.2], [0.9, float("nan")], [0.3, 0.4]]}])
        >>> batch["labels"].shape
        torch.Size([1, 3, 2])
    """

    tokenizer: PreTrainedTokenizerBase
    min_signal_to_noise: float = 1.0

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, L), and `labels` (B, L, C) in float32."""
        if "sequence" in examples[0]:
            encoded = encode_bulk(self.tokenizer, [example["sequence"] for example in examples])
        else:
            ids = [torch.as_tensor(example["input_ids"]).tolist() for example in examples]
            # Not get_special_tokens_mask: <mask> hides a nucleotide and keeps its label. Padding is dropped and redone.
            pad_id = self.tokenizer.pad_token_id
            ids = [[token for token in row if token != pad_id] for row in ids]
            around = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
            special = [[int(token in around) for token in row] for row in ids]
            encoded = self.tokenizer.pad(
                {"input_ids": ids, "special_tokens_mask": special}, padding=True, return_tensors="pt"
            )
        input_ids, attention_mask = encoded["input_ids"], encoded["attention_mask"]
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        if "labels" not in examples[0]:
            return batch
        is_nucleotide = ((encoded["special_tokens_mask"] == 0) & (attention_mask != 0)).numpy()
        profiles = [self._profile(example, row) for row, example in enumerate(examples)]
        labels = np.full((*input_ids.shape, profiles[0].shape[1]), IGNORED_LABEL, dtype=np.float32)
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
        if example.get("signal_to_noise") is not None:
            ratio = np.broadcast_to(np.asarray(example["signal_to_noise"], dtype=np.float32), profile.shape[1:])
            profile[:, ~(ratio >= self.min_signal_to_noise)] = np.nan
        return np.where(np.isnan(profile), np.float32(IGNORED_LABEL), profile)
