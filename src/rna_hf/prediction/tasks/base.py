"""What the engine has to know about a kind of prediction, and what the kinds with a profile have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from torch import Tensor
from transformers import BatchEncoding

from ...tokenization import encode_bulk

if TYPE_CHECKING:
    import pyarrow as pa

# What a column holds in a row: float32 numbers, as many as the sequence is long; one float32; a whole number; a string.
Kind = Literal["numbers", "number", "index", "text"]
Row = dict[str, Any]


@dataclass(frozen=True)
class PredictionTask(ABC):
    """One kind of prediction: the models it takes, its columns, its files, and how an output becomes rows.

    Fields of a subclass are options that this kind alone has.

    Attributes:
        name: as on the command line.
        unit: of the predicted values, for the files' metadata.
        plot_file: name of the picture of the first RNAs; None if there is none.
        can_flip: whether the prediction for the reversed sequence says something about the sequence itself.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    plot_file: ClassVar[str | None] = None
    can_flip: ClassVar[bool] = True

    @classmethod
    def options(cls) -> list[str]:
        """Return the names of the options that this kind alone has."""
        return [field.name for field in fields(cls)]

    def with_options(self, **options: Any) -> "PredictionTask":
        """Return this task with other values of its own options.

        Raises:
            ValueError: a value is out of range.
        """
        return replace(self, **options)

    def for_checkpoint(self, config: Any, tokenizer: Any) -> "PredictionTask":
        """Return this task with what it has to know of a checkpoint.

        Raises:
            ValueError: an option is not for this checkpoint.
        """
        return self

    @property
    def rows_per_sequence(self) -> int:
        """Number of rows for each sequence."""
        return 1

    @abstractmethod
    def auto_class(self) -> Any:
        """Return the Auto class whose models are accepted."""

    @abstractmethod
    def columns(self, config: Any) -> dict[str, Kind]:
        """Return the predicted columns by name."""

    def plot_columns(self) -> dict[str, Kind]:
        """Return columns that rows have for the picture only, not for the file of predictions."""
        return {}

    def explain_length(self, length: int, config: Any) -> str | None:
        """Return why an RNA of this length, in nucleotides, is not for this model and these options, or None."""
        return None

    def part_read(self, sequence: str) -> str:
        """Return the stretch of an RNA that the model is given."""
        return sequence

    def read_length(self, length: int, config: Any) -> int:
        """Return how many positions of the model's input an RNA of this length, in nucleotides, takes by itself."""
        return length

    def encode(self, tokenizer: Any, sequences: Sequence[str], config: Any) -> BatchEncoding:
        """Tokenise a batch, see `rna_hf.tokenization.encode_bulk`."""
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

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        """Draw rows (with `id` and `sequence`) to a PNG, where there is a `plot_file`."""
        raise NotImplementedError(f"`predict {self.name}` has no picture")

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        """Return the names of the files that `write_files` makes for these RNAs."""
        return []

    def write_files(  # noqa: B027 - most kinds write none
        self, tables: Callable[[], Iterator["pa.Table"]], config: Any, folder: Path
    ) -> None:
        """Write the files that stand beside that of predictions.

        Args:
            tables: gives all rows in input order, one part in memory at a time, each time that it is called.
            config: of the model.
            folder: to write to.
        """


class ProfileTask(PredictionTask):
    """A kind whose models give `logits`, (B, L, N): N numbers for each nucleotide, each of which is a column."""

    @abstractmethod
    def labels(self, config: Any) -> dict[str, str]:
        """Return the names of the columns in the order of the logits, and what to call each in a picture."""

    def columns(self, config: Any) -> dict[str, Kind]:
        return dict.fromkeys(self.labels(config), "numbers")

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        logits = outputs.logits.float().cpu()
        return [logits[index][keep[index]].numpy() for index in range(len(keep))]

    def reverse(self, values: np.ndarray) -> np.ndarray:
        return values[::-1]

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        return [{name: values[:, index] for index, name in enumerate(self.labels(config))}]
