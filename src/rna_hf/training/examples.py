"""Examples of a training: cut, read backwards, and put into batches of similar length, anew in each epoch."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..tasks import Training


def columns_of_nucleotides(training: Training) -> tuple[str, ...]:
    """Return the columns of a task's examples that have an entry for each nucleotide."""
    return training.columns if training.labels_of == "nucleotides" else ("sequence",)


def truncated(
    example: dict[str, Any], length: int, keep: str, columns: Collection[str] = ("sequence",)
) -> dict[str, Any]:
    """Return the first nucleotides of an example, or the last, and what belongs to them.

    Args:
        example: with `sequence`.
        length: nucleotides to leave, at most.
        keep: "5prime" or "3prime".
        columns: that have an entry for each nucleotide.
    """
    start = max(len(example["sequence"]) - length, 0) if keep == "3prime" else 0
    return window(example, start, start + length, columns)


class Augmented:
    """A data set whose examples are cropped and, with some probability, read backwards, labels included.

    What happens to an example depends on the seed, the epoch and its place alone, so a resumed run sees the same. It
    also gets a `seed` from these, for a collator that draws.

    Args:
        dataset: the examples.
        columns: that have an entry for each nucleotide.
        reverse_probability: of reading an example backwards.
        crop: nucleotides of a window of longer RNAs; 0 for whole RNAs.
        seed: see above.
    """

    def __init__(
        self,
        dataset: Any,
        columns: Collection[str] = ("sequence",),
        reverse_probability: float = 0.0,
        crop: int = 0,
        seed: int = 0,
    ):
        self._dataset = dataset
        self._columns = columns
        self._reverse_probability = reverse_probability
        self._crop = crop
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int | str) -> Any:
        """Return an example as the present epoch has it, or a column of the data set itself."""
        if isinstance(index, str):
            return self._dataset[index]
        example = dict(self._dataset[int(index)])
        generator = random.Random(f"{self._seed} {self.epoch} {int(index)}")
        length = len(example["sequence"])
        if self._crop and length > self._crop:
            start = generator.randrange(length - self._crop + 1)
            example = window(example, start, start + self._crop, self._columns)
        if generator.random() < self._reverse_probability:
            example = turned(example, self._columns)
        return example | {"seed": generator.getrandbits(32)}


class SimilarLengths(LengthGroupedSampler):
    """Puts examples of similar length into a batch, in an order that depends on the seed and the epoch alone.

    Args:
        dataset: `Augmented`, or a `datasets.Dataset` whose order is the same in each epoch.
        batch_size: examples in a batch.
        seed: which of the many such orders.
    """

    def __init__(self, dataset: Any, batch_size: int, seed: int):
        self._dataset = dataset
        self._seed = seed
        lengths = [len(sequence) for sequence in dataset["sequence"]]
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(random.Random(f"{self._seed} {getattr(self._dataset, 'epoch', 0)}").getrandbits(32))
        return super().__iter__()


def window(example: dict[str, Any], start: int, stop: int, columns: Collection[str]) -> dict[str, Any]:
    """Return the nucleotides from start to stop (0-based, without stop), and what belongs to them."""
    cut = example | {name: example[name][start:stop] for name in columns if name in example}
    if "pairs" in example:
        inside = [(i, j) for i, j in example["pairs"] if start <= i < stop and start <= j < stop]
        cut["pairs"] = [[i - start, j - start] for i, j in inside]
    return cut


def turned(example: dict[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return an example read from its 3' end."""
    last = len(example["sequence"]) - 1
    back = example | {name: example[name][::-1] for name in columns if name in example}
    if "pairs" in example:
        back["pairs"] = [[last - j, last - i] for i, j in example["pairs"]]
    return back
