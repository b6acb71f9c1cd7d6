"""Training batches of `ribonanzanet-mini`: a pure function of the recipe, the seed and the step number.

So a training that was stopped goes on with the batches that it would have seen, and worker processes need no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rna_hf.tokenization.alphabets import RIBONANZANET, byte_to_id_table

from .folding import fold
from .known_structures import KnownStructure
from .measured_data import CHANNELS, Profile

TRAINING_CHANNELS = (*CHANNELS, "unpaired_viennarna")
"""What the model predicts while it trains; the shipped checkpoint keeps the first two."""

PAIR_SOURCES = ("viennarna", "known")
"""Columns of the pair head: pairing probabilities of ViennaRNA, and pairs of reference structures."""

# Nucleotides that carry the design, from 0; what lies outside are the constant flanks and the barcode hairpin.
DESIGN_WINDOW = {"lib15k": (26, 130), "pk50": (26, 95)}
NUCLEOTIDES = np.array(list("ACGU"))
COMPLEMENT = {"A": "U", "C": "G", "G": "C", "U": "A"}
BYTE_TO_ID = byte_to_id_table(RIBONANZANET)
PAD_ID = RIBONANZANET.token_to_id[RIBONANZANET.pad_token]


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    Attributes:
        name: as printed in the log.
        steps: number of optimiser steps.
        fold: share of steps on generated and natural sequences with ViennaRNA's pairing probabilities.
        known: share of steps on reference structures; the rest are steps on measured profiles.
        fold_lengths: longest folded sequence at the stage's start and at its end, nucleotides.
        full_length: share of measured Ribonanza batches that keep flanks and barcode.
        learning_rates: at the stage's start and end, with a cosine between them.
        split: `development` or `final`, see `measured_data.split`.
        sources: weight of each measured source.
        pieces: of natural sequences to fold, the share that are pieces of transcripts and genomes.
        hairpins: share of folding steps on short hairpins.
    """

    name: str
    steps: int
    fold: float
    known: float
    fold_lengths: tuple[int, int]
    full_length: float
    learning_rates: tuple[float, float]
    split: str
    sources: dict[str, float]
    pieces: float = 0.0
    hairpins: float = 0.0


@dataclass
class Batch:
    """One step's input.

    Attributes:
        input_ids: (B, L).
        attention_mask: (B, L), or None when nothing is padded.
        labels: (B, L, len(TRAINING_CHANNELS)), NaN where not measured.
        weights: the same shape, weight of each label from its standard error.
        pairs: (B, L, L), pairing probability.
        pair_source: column of the pair head that `pairs` belongs to.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    labels: Tensor
    weights: Tensor
    pairs: Tensor
    pair_source: int


def encode(sequence: str) -> np.ndarray:
    """Return the ids of an ACGU sequence in the `ribonanzanet` alphabet."""
    return BYTE_TO_ID[np.frombuffer(sequence.encode("ascii"), np.uint8)].astype(np.int64)


def known_pairs(structure: str) -> np.ndarray:
    """Return the contact map (L, L) of a dot-bracket string of `().`."""
    pairs = np.zeros((len(structure), len(structure)), dtype=np.float32)
    opened = []
    for i, symbol in enumerate(structure):
        if symbol == "(":
            opened.append(i)
        elif symbol == ")":
            j = opened.pop()
            pairs[i, j] = pairs[j, i] = 1
    return pairs


def generate_sequence(rng: np.random.Generator, length: int) -> str:
    """Draw a random sequence; half of them get stems, since random RNA alone hardly folds."""
    strength = rng.beta(4, 4)
    weights = np.array([1 - strength, strength, strength, 1 - strength]) / 2
    letters = rng.choice(NUCLEOTIDES, size=length, p=weights)
    for _ in range(rng.integers(0, max(2, length // 20) + 1)):
        stem = int(rng.integers(3, 10))
        loop = int(rng.integers(3, max(4, length - 2 * stem)))
        if 2 * stem + loop > length:
            continue
        start = int(rng.integers(0, length - 2 * stem - loop + 1))
        other = start + stem + loop
        letters[other : other + stem] = [COMPLEMENT[x] for x in letters[start : start + stem][::-1]]
    return "".join(letters)


def generate_hairpin(rng: np.random.Generator, length: int) -> str:
    """Draw a hairpin of at least 8 nt: a stem of Watson-Crick pairs around a loop, in a few unpaired nucleotides."""
    loop = int(rng.integers(3, min(8, length - 4) + 1))
    stem = int(rng.integers(2, min(9, (length - loop) // 2) + 1))
    letters = rng.choice(NUCLEOTIDES, size=length)
    start = int(rng.integers(0, length - 2 * stem - loop + 1))
    other = start + stem + loop
    letters[other : other + stem] = [COMPLEMENT[x] for x in letters[start : start + stem][::-1]]
    return "".join(letters)


class TrainingBatches(Dataset):
    """The batch of each step, made on demand."""

    def __init__(
        self,
        stages: Sequence[Stage],
        profiles: dict[str, Sequence[Profile]],
        structures: Sequence[KnownStructure],
        seed: int,
        pair_budget: int,
        pieces: Sequence[str] = (),
    ):
        """Prepare the sampler.

        Args:
            stages: in order.
            profiles: training profiles of each split that a stage names.
            structures: reference structures.
            seed: of all random choices.
            pair_budget: B * L * L of a batch, which decides its cost.
            pieces: of natural sequences.
        """
        self.stages, self.seed, self.pair_budget = stages, seed, pair_budget
        self.ends = np.cumsum([stage.steps for stage in stages])
        self.profiles = {
            (split, source): sorted((p for p in records if p.source == source), key=lambda p: len(p.sequence))
            for split, records in profiles.items()
            for source in {p.source for p in records}
        }
        self.structures = sorted(structures, key=lambda s: len(s.sequence))
        self.natural = [s.sequence for s in self.structures]
        self.pieces = pieces

    def __len__(self) -> int:
        return int(self.ends[-1])

    def stage_of(self, step: int) -> tuple[Stage, float]:
        """Return a step's stage and how much of it is done, from 0 to 1."""
        index = int(np.searchsorted(self.ends, step, side="right"))
        stage = self.stages[index]
        return stage, (step - (self.ends[index] - stage.steps)) / max(1, stage.steps - 1)

    def learning_rate(self, step: int, warmup_start: int = 0, warmup: int = 300) -> float:
        """Return the learning rate of a step: a warm-up from `warmup_start`, a cosine between a stage's two rates."""
        stage, done = self.stage_of(step)
        first, last = stage.learning_rates
        return float(
            min(1.0, (step + 1 - warmup_start) / warmup) * (last + (first - last) * (1 + np.cos(np.pi * done)) / 2)
        )

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        stage, done = self.stage_of(step)
        kind = rng.random()
        if kind < stage.fold:
            return self._folded(rng, stage, done)
        if kind < stage.fold + stage.known:
            return self._known(rng)
        return self._measured(rng, stage)

    def _size(self, length: int) -> int:
        return int(np.clip(self.pair_budget // length**2, 1, 64))

    def _folded(self, rng: np.random.Generator, stage: Stage, done: float) -> Batch:
        longest = stage.fold_lengths[0] + (stage.fold_lengths[1] - stage.fold_lengths[0]) * done
        if stage.hairpins and rng.random() < stage.hairpins:
            length = int(rng.integers(8, 31))
            hairpins = [generate_hairpin(rng, length) for _ in range(self._size(length))]
            return self._collate_folded(hairpins)
        length = int(rng.integers(20, int(longest) + 1))
        sequences: list[str] = []
        while len(sequences) < self._size(length):
            pool = self.pieces if stage.pieces and rng.random() < stage.pieces else self.natural
            natural = pool[rng.integers(len(pool))] if rng.random() < 0.5 else ""
            if len(natural) >= length:
                start = rng.integers(len(natural) - length + 1)
                candidate = natural[start : start + length]
                if set(candidate) <= set("ACGU"):
                    sequences.append(candidate)
            else:
                sequences.append(generate_sequence(rng, length))
        return self._collate_folded(sequences)

    def _collate_folded(self, sequences: list[str]) -> Batch:
        labels = [np.full((len(s), len(TRAINING_CHANNELS)), np.nan, np.float32) for s in sequences]
        return self._collate(sequences, labels, labels, [fold(s) for s in sequences], 0)

    def _known(self, rng: np.random.Generator) -> Batch:
        anchor = rng.integers(len(self.structures))
        size = self._size(len(self.structures[anchor].sequence))
        chosen = [s for s in self.structures[anchor : anchor + size] if set(s.sequence) <= set("ACGU")]
        if not chosen:
            return self._known(rng)
        labels = [np.full((len(s.sequence), len(TRAINING_CHANNELS)), np.nan, np.float32) for s in chosen]
        return self._collate(
            [s.sequence for s in chosen], labels, labels, [known_pairs(s.structure) for s in chosen], 1
        )

    def _measured(self, rng: np.random.Generator, stage: Stage) -> Batch:
        names = sorted(stage.sources)
        weights = np.array([stage.sources[n] for n in names])
        source = names[rng.choice(len(names), p=weights / weights.sum())]
        records = self.profiles[stage.split, source]
        if source in DESIGN_WINDOW and rng.random() >= stage.full_length:
            first, last = DESIGN_WINDOW[source]
            window = (first - int(rng.integers(0, 9)), last + int(rng.integers(0, 13)))
            chosen = [records[i] for i in rng.integers(len(records), size=self._size(window[1] - window[0]))]
        else:
            anchor = int(rng.integers(len(records)))
            size = self._size(len(records[anchor].sequence))
            # Neighbours in length, not in the file: a file's neighbours are often variants of each other.
            first = max(0, min(anchor - 200, len(records) - 400))
            chosen = [records[min(first + i, len(records) - 1)] for i in rng.integers(400, size=size)]
            window = (0, max(len(p.sequence) for p in chosen))
        cut = slice(*window)
        sequences = [p.sequence[cut] for p in chosen]
        labels, label_weights = [], []
        for profile, sequence in zip(chosen, sequences):
            label = np.full((len(sequence), len(TRAINING_CHANNELS)), np.nan, np.float32)
            label[:, : len(CHANNELS)] = profile.reactivity[cut]
            weight = np.ones_like(label)
            weight[:, : len(CHANNELS)] = 1 / (1 + 2 * np.nan_to_num(profile.error[cut], nan=0.1).clip(0, 5))
            labels.append(label)
            label_weights.append(weight)
        return self._collate(sequences, labels, label_weights, [fold(s) for s in sequences], 0)

    @staticmethod
    def _collate(
        sequences: list[str],
        labels: list[np.ndarray],
        weights: list[np.ndarray],
        pairs: list[np.ndarray],
        pair_source: int,
    ) -> Batch:
        length = max(len(s) for s in sequences)
        shape = (len(sequences), length)
        ids, mask = np.full(shape, PAD_ID), np.zeros(shape, np.float32)
        all_labels = np.full((*shape, len(TRAINING_CHANNELS)), np.nan, np.float32)
        all_weights = np.ones_like(all_labels)
        all_pairs = np.zeros((*shape, length), np.float32)
        for row, sequence in enumerate(sequences):
            n = len(sequence)
            ids[row, :n], mask[row, :n] = encode(sequence), 1
            all_labels[row, :n], all_weights[row, :n] = labels[row], np.nan_to_num(weights[row], nan=1.0)
            if pair_source == 0:
                all_labels[row, :n, -1] = 1 - pairs[row].sum(axis=1)
            all_pairs[row, :n, :n] = pairs[row]
        padded = bool((mask == 0).any())
        return Batch(
            torch.from_numpy(ids),
            torch.from_numpy(mask) if padded else None,
            torch.from_numpy(all_labels),
            torch.from_numpy(all_weights),
            torch.from_numpy(all_pairs),
            pair_source,
        )
