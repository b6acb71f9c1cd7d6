"""What a task is: how it is predicted and how it is trained, under one name.

Nothing here, nor in the files beside this one, imports torch or transformers before a model is used: the command line
answers questions about tasks at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from ..data.checks import explain_unknown, unknown_share
from ..options import option_names

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor
    from transformers import BatchEncoding

    from ..models.base import RnaConfig
    from .scores import BatchMetrics

# What a column holds in a row: float32 numbers, mostly as many as the sequence is long; rows of such; one float32; a
# whole number; a string.
Kind = Literal["numbers", "matrix", "number", "index", "text"]
Row = dict[str, Any]

WARNING = "warning"
"""The column that says why a prediction is to be taken with care."""

# A sequence this many times longer than anything trained on gets a warning.
_LENGTH_FACTOR = 2


class Caution(NamedTuple):
    """Why a prediction is to be taken with care: the model was not made for such an RNA, or for this stretch of it.

    Attributes:
        reason: one phrase, the same for all RNAs of a model.
        start: first nucleotide of the stretch, 0-based; None for the whole RNA.
        end: of the stretch, not included; None for the whole RNA.
    """

    reason: str
    start: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        if self.start is None or self.end is None:
            return self.reason
        return f"nt {self.start + 1:,} to {self.end:,}: {self.reason}"


@dataclass(frozen=True)
class Prediction(ABC):
    """How a task is predicted: the columns and files that it makes, and how a model's output becomes rows.

    Fields of a subclass made by `rna_hf.options.option` are options that this task alone has.

    Attributes:
        summary: one line for `rna-hf predict --help`.
        notes: what `rna-hf predict TASK --help` says of the files, in lines of at most 120 letters.
        columns_in_words: what the columns beside `id` and `sequence` hold, for tables of the tasks.
        files_in_words: what stands beside the table.
        unit: of the predicted values, for the files' metadata.
        plot_file: name of the picture of the first RNAs; None if there is none.
        file_stem: name of the table's file without its suffix.
        is_lean: whether the table has `id` and the predicted columns alone.
        per_nucleotide: whether it has a value for each nucleotide, so that a table may have a row for each.
        can_flip: whether the prediction for the reversed sequence says something about the sequence itself.
        cpu_batch_sequences: most sequences of a batch on a CPU; None if only their nucleotides are limited.
    """

    summary: ClassVar[str]
    notes: ClassVar[str] = ""
    columns_in_words: ClassVar[str] = ""
    files_in_words: ClassVar[str] = ""
    unit: ClassVar[str]
    plot_file: ClassVar[str | None] = None
    file_stem: ClassVar[str] = "predictions"
    is_lean: ClassVar[bool] = False
    per_nucleotide: ClassVar[bool] = False
    can_flip: ClassVar[bool] = True
    cpu_batch_sequences: ClassVar[int | None] = None

    @classmethod
    def options(cls) -> list[str]:
        """Return the names of the options that this task alone has."""
        return option_names(cls)

    @classmethod
    def run_options_left_out(cls) -> set[str]:
        """Return the options of a run, see `rna_hf.prediction.RunOptions`, that mean nothing for this task."""
        means = {"flip_average": cls.can_flip, "plot_rows": bool(cls.plot_file), "wide": cls.per_nucleotide}
        return {name for name, means_something in means.items() if not means_something}

    def with_options(self, **options: Any) -> Prediction:
        """Return the same with other values of its own options.

        Raises:
            ValueError: a value is out of range.
        """
        return replace(self, **options)

    def for_checkpoint(self, config: Any, tokenizer: Any) -> Prediction:
        """Return the same with what it has to know of a checkpoint.

        Raises:
            ValueError: an option is not for this checkpoint.
        """
        return self

    @property
    def rows_per_sequence(self) -> int:
        """Number of rows for each sequence."""
        return 1

    @abstractmethod
    def columns(self, config: Any) -> dict[str, Kind]:
        """Return the predicted columns by name."""

    def plot_columns(self) -> dict[str, Kind]:
        """Return columns that rows have for the picture only, not for the file of predictions."""
        return {}

    def explain_length(self, length: int, config: RnaConfig) -> str | None:
        """Return why an RNA of this length, in nucleotides, is not for this model and these options, or None."""
        if length < config.min_sequence_length:
            return f"{length:,} nt are too short for this model, which reads {config.min_sequence_length:,} nt or more"
        return None

    def cautions(self, sequence: str, config: RnaConfig) -> list[Caution]:
        """Return why the prediction for an RNA, or for a stretch of it, is to be taken with care."""
        found = []
        length = self.read_length(len(sequence), config)
        shortest, longest = config.training_min_length, config.training_max_length
        if shortest is not None and len(sequence) < shortest:
            found.append(Caution(f"shorter than the {shortest:,} nt of the shortest RNA that the model was trained on"))
        if longest is not None and length > _LENGTH_FACTOR * longest:
            found.append(
                Caution(f"longer than {_LENGTH_FACTOR} x {longest:,} nt, the longest RNA that the model was trained on")
            )
        if unknown_share(self.part_read(sequence)) > config.max_unknown_share:
            found.append(Caution(explain_unknown(config.max_unknown_share)))
        return found

    def part_read(self, sequence: str) -> str:
        """Return the stretch of an RNA that the model is given."""
        return sequence

    def read_length(self, length: int, config: Any) -> int:
        """Return how many positions of the model's input an RNA of this length, in nucleotides, takes by itself."""
        return length

    def cuts(self, length: int) -> list[tuple[int, int]]:
        """Return the stretches in which the model is given an RNA of this length, start and end of each; usually one.

        All have as many nucleotides as `read_length` says.
        """
        return [(0, length)]

    def join(self, parts: list[np.ndarray], cuts: list[tuple[int, int]]) -> np.ndarray:
        """Turn the arrays of an RNA's `cuts` into that of the whole."""
        return parts[0]

    def encode(self, tokenizer: Any, sequences: Sequence[str], config: Any) -> BatchEncoding:
        """Tokenise a batch, see `rna_hf.tokenization.encode_bulk`."""
        from ..tokenization import encode_bulk

        return encode_bulk(tokenizer, sequences)

    def forward(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None) -> Any:
        """Run a model on a batch, (B, L) each, and return what `values` reads."""
        return model(input_ids=input_ids, attention_mask=attention_mask)

    @abstractmethod
    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return one float32 array for each sequence of a batch.

        Args:
            outputs: what `forward` returned.
            keep: (B, L), on the CPU, True at the sequence's own nucleotides, False at special tokens and padding.
        """

    def reverse(self, values: np.ndarray) -> np.ndarray:
        """Bring the array of a reversed sequence into the order of the sequence itself."""
        return values

    @abstractmethod
    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        """Turn a sequence's array into its rows: arrays and plain values under the names of the columns."""

    @abstractmethod
    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Turn a sequence's rows into what `pipeline(...)` returns: plain Python values by name.

        The docstring of a subclass's method says what they are; it becomes that of the pipeline.
        """

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        """Draw rows (with `id` and `sequence`) to a PNG, where there is a `plot_file`."""
        raise NotImplementedError(f"{type(self).__name__} has no picture")

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        """Return the names of the files that `write_files` makes for these RNAs."""
        return []

    def write_files(  # noqa: B027 - most tasks write none
        self, tables: Callable[[], Iterator[pa.Table]], config: Any, folder: Path
    ) -> None:
        """Write the files that stand beside that of predictions.

        Args:
            tables: gives all rows in input order, one part in memory at a time, each time that it is called.
            config: of the model.
            folder: to write to.
        """


def join_cautions(cautions: Sequence[Caution]) -> str | None:
    """Return the text of the column `warning`; None where there is nothing to be careful of."""
    return "; ".join(map(str, cautions)) or None


class ProfilePrediction(Prediction):
    """For models that give `logits`, (B, L, N): N numbers for each nucleotide, each of which is a column."""

    per_nucleotide = True

    @abstractmethod
    def labels(self, config: Any) -> dict[str, str]:
        """Return the names of the columns in the order of the logits, and what to call each in a picture."""

    def columns(self, config: Any) -> dict[str, Kind]:
        return dict.fromkeys(self.labels(config), "numbers")

    def cautions(self, sequence: str, config: RnaConfig) -> list[Caution]:
        found = super().cautions(sequence, config)
        length = len(sequence)
        start, end = min(config.unmeasured_5prime, length), max(length - config.unmeasured_3prime, 0)
        if start:
            reason = f"the first {config.unmeasured_5prime} nt were measured in no RNA of the training"
            found.append(Caution(reason, 0, start))
        if end < length:
            reason = f"the last {config.unmeasured_3prime} nt were measured in no RNA of the training"
            found.append(Caution(reason, end, length))
        return found

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        logits = outputs.logits.float().cpu()
        return [logits[index][keep[index]].numpy() for index in range(len(keep))]

    def reverse(self, values: np.ndarray) -> np.ndarray:
        return values[::-1]

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        return [{name: values[:, index] for index, name in enumerate(self.labels(config))}]


def keep_columns(dataset: Any) -> Any:
    """Return a data set as it is."""
    return dataset


@dataclass(frozen=True)
class Training:
    """How a task is trained.

    Attributes:
        labels_in_words: what an RNA's labels are, for tables of the tasks.
        collator: its collator's class as `module:class`; the class takes a tokenizer.
        metrics: makes its metrics from a configuration.
        best: the metric by which the best checkpoint is chosen.
        greater_is_better: of that metric.
        columns: that a data set must have.
        prepare: makes them of the columns that a reader gives.
        finish: changes labels that have been checked.
        label_names: field of the configuration that names the labels of an RNA or a nucleotide, where their number is
            fixed.
        labels_of: what has labels, a "sequence", its "nucleotides" or their "pairs"; where it is said, labels are
            checked before training, else by the collator alone.
        one_partner: of pairs: whether a nucleotide may be in one only.
        has_classes: whether labels may be classes, of which the configuration's `num_labels` says how many there are.
        lowest: the smallest label allowed.
    """

    labels_in_words: str
    collator: str
    metrics: Callable[[Any], BatchMetrics]
    best: str = "loss"
    greater_is_better: bool = False
    columns: tuple[str, ...] = ("sequence", "labels")
    prepare: Callable[[Any], Any] = keep_columns
    finish: Callable[[Any], Any] = keep_columns
    label_names: str | None = None
    labels_of: Literal["", "sequence", "nucleotides", "pairs"] = ""
    one_partner: bool = False
    has_classes: bool = False
    lowest: float = -math.inf

    def collator_class(self) -> Any:
        """Import the collator's class."""
        module, _, name = self.collator.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Task:
    """A task, and the one place that says how it is spelt.

    Attributes:
        name: on the command line, in recipes and in `predict(task=...)`.
        head: the noun in the names of its classes: `SequenceDropout` stands for `AutoModelForSequenceDropout`,
            `SequenceDropoutPipeline`, `pipeline("rna-sequence-dropout")` and the head classes of the architectures.
        prediction: how it is predicted; None where it is only trained.
        training: how it is trained; None where it is only predicted.
        default_checkpoint: name of the checkpoint that is used when none is named; None where there is none.
        takes_any_head: whether a checkpoint may have been saved with another head, whose base model is then used.
    """

    name: str
    head: str
    prediction: Prediction | None = None
    training: Training | None = None
    default_checkpoint: str | None = None
    takes_any_head: bool = False

    @property
    def pipeline_name(self) -> str:
        """The task's name for `pipeline(...)`."""
        return "rna" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in self.head)

    @property
    def pipeline_class_name(self) -> str:
        """Name of the pipeline's class."""
        return f"{self.head}Pipeline"

    @property
    def auto_class_name(self) -> str:
        """Name of the Auto class that opens its models."""
        return f"AutoModelFor{self.head}"

    def auto_class(self) -> Any:
        """Return the Auto class that opens its models."""
        from ..auto import auto_class

        return auto_class(self.head)
