"""A loaded model that turns sequences into rows batch by batch, and the checks of a checkpoint before loading."""

import contextlib
import hashlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.batches import make_batches
from ..models.base import GOLDEN_FILE, RnaConfig, UnknownNucleotidesWarning
from ..safety import check_folder, read_json
from ..tasks import Prediction, Row, Task

# Letters of a sequence in a message.
_SHOWN_LETTERS = 40
# What PyTorch and, where it has no room for its kernels, oneDNN say.
_OUT_OF_MEMORY = ("allocate memory", "could not create a primitive")
# Up to this length (nucleotides) a batch is limited by its tokens; beyond, also by what a model's memory grows with.
LINEAR_LENGTH = 256


@dataclass
class Predictor:
    """A loaded model and its tokenizer that turn sequences into rows.

    Attributes:
        prediction: of the task, with its options.
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        name: of the checkpoint, for messages.
        batch_tokens: limit of the `batch_cost` of a batch.
        flip_average: average with the prediction for the reversed sequence.
        batch_sequences: limit of the sequences in a batch; None if there is no other limit.
    """

    prediction: Prediction
    model: Any
    tokenizer: Any
    name: str
    batch_tokens: int = sys.maxsize
    flip_average: bool = False
    batch_sequences: int | None = None

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    def _cost(self, batch: int, length: int) -> float:
        if self.batch_sequences is not None and batch > self.batch_sequences:
            return math.inf
        return batch_cost(batch, length, self.config)

    def predict(
        self,
        sequences: Sequence[str],
        report: Callable[[int], Any] = lambda count: None,
        names: Sequence[str] | None = None,
    ) -> list[list[Row]]:
        """Predict sequences that can be used; each comes out as if it were alone.

        Args:
            sequences: of letters that the tokenizer reads, not too short or long for the task.
            report: called with the number of sequences done since the last call.
            names: of the sequences, for messages; by default what they begin with.

        Returns:
            The rows of each sequence, with the task's columns.

        Raises:
            FloatingPointError: a prediction is not finite.
            MemoryError: memory ran out.
            ValueError: a prediction cannot be used.
        """
        results: list[list[Row]] = [[] for _ in sequences]
        for batch in self.batches(sequences):
            for index, rows in zip(batch, self.predict_batch(sequences, batch, names)):
                results[index] = rows
            report(len(batch))
        return results

    def batches(self, sequences: Sequence[str]) -> list[list[int]]:
        """Return the indices of the sequences that each batch of `predict` has, in its order."""
        lengths = [self.prediction.read_length(len(sequence), self.config) for sequence in sequences]
        return make_batches(lengths, self.batch_tokens, self.config.masks_padding, self._cost)

    def predict_batch(
        self, sequences: Sequence[str], batch: Sequence[int], names: Sequence[str] | None = None
    ) -> list[list[Row]]:
        """Predict the sequences of a batch at once; otherwise as `predict`.

        Args:
            sequences: those that `batches` was given.
            batch: one that it returned.
            names: of the sequences, for messages; by default what they begin with.
        """
        chosen = [sequences[index] for index in batch]
        with warnings.catch_warnings():
            # Who calls this has warned already, with the sequences' names.
            warnings.simplefilter("ignore", UnknownNucleotidesWarning)
            predictions = self._run(chosen)
            if self.flip_average:
                flipped = self._run([sequence[::-1] for sequence in chosen])
                reverse = self.prediction.reverse
                predictions = [(one + reverse(other)) / 2 for one, other in zip(predictions, flipped)]
        return [
            self._rows(sequences[index], values, names[index] if names else sequences[index][:_SHOWN_LETTERS])
            for index, values in zip(batch, predictions)
        ]

    def _run(self, sequences: list[str]) -> list[np.ndarray]:
        """Return the array of each sequence; those that are read in stretches take no more memory than if they were
        as short."""
        cuts = [self.prediction.cuts(len(sequence)) for sequence in sequences]
        pieces = [sequence[start:end] for sequence, ends in zip(sequences, cuts) for start, end in ends]
        arrays = []
        for first in range(0, len(pieces), len(sequences)):
            arrays += self._forward(pieces[first : first + len(sequences)])
        found = iter(arrays)
        return [self.prediction.join([next(found) for _ in ends], ends) for ends in cuts]

    def _rows(self, sequence: str, values: np.ndarray, name: str) -> list[Row]:
        if not np.isfinite(values).all():
            raise FloatingPointError(
                f"the prediction for {name!r} is not finite in {str(self.model.dtype).removeprefix('torch.')}; "
                "use --dtype float32, and check the checkpoint if that does not help"
            )
        try:
            return self.prediction.rows(values, sequence, self.config)
        except ValueError as error:
            raise ValueError(f"the prediction for {name!r} cannot be used: {error}") from error

    def _forward(self, sequences: list[str]) -> list[np.ndarray]:
        device = self.model.device
        encoded = self.prediction.encode(self.tokenizer, sequences, self.config)
        keep = encoded["special_tokens_mask"] == 0
        for sequence, count in zip(map(self.prediction.part_read, sequences), keep.sum(1).tolist()):
            if count != len(sequence):
                raise ValueError(
                    f"the tokenizer of {self.name!r} makes {count} tokens of {len(sequence)} nt; "
                    "prediction per nucleotide needs one token for each"
                )
        mask = encoded["attention_mask"]
        # Without padding no mask is given: the same numbers with less work.
        mask = None if bool(mask.all()) else mask.to(device)
        try:
            with torch.inference_mode():
                outputs = self.prediction.forward(self.model, encoded["input_ids"].to(device), mask)
            return self.prediction.values(outputs, keep)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
                raise MemoryError(
                    f"out of memory on {device} with {len(sequences)} x {keep.shape[1]:,} nt; "
                    "lower --batch-tokens, or use --dtype bfloat16"
                ) from error
            raise


def batch_cost(batch: int, length: int, config: RnaConfig) -> float:
    """Return what a batch counts for `batch_tokens`: its tokens, padding included, weighted by `token_weight`."""
    return batch * length * token_weight(length, config)


def token_weight(length: int, config: RnaConfig) -> float:
    """Return how many tokens of `LINEAR_LENGTH` a token of a sequence of this length takes the memory of, at least 1.

    That is 1 for a model whose memory grows with the length, and length / `LINEAR_LENGTH` beyond it for one whose
    memory grows with the square.
    """
    if length <= LINEAR_LENGTH:
        return 1.0
    # What one more sequence adds: what a pass takes in any case says nothing about batches.
    cost, usual = (config.forward_cost(2, n, 4) - config.forward_cost(1, n, 4) for n in (length, LINEAR_LENGTH))
    # Rounded, since bytes are whole numbers.
    return max(1.0, round((cost / length) / (usual / LINEAR_LENGTH), 4))


def load_model(checkpoint: Path, task: Task, config: Any, dtype: str, device: torch.device) -> Any:
    """Load a checkpoint's model for a task.

    Raises:
        ValueError: the checkpoint cannot be loaded or lacks weights of the task's model.
    """
    with explain_checkpoint(checkpoint):
        model, report = task.auto_class().from_pretrained(
            checkpoint, dtype=getattr(torch, dtype), output_loading_info=True, ignore_mismatched_sizes=True
        )
    for name, saved, wanted in sorted(report["mismatched_keys"]):
        raise ValueError(
            f"checkpoint {checkpoint.name!r}: {name} has shape {list(saved)}, config.json asks for {list(wanted)}"
        )
    missing = sorted(report["missing_keys"])
    if missing:
        saved_from = (config.architectures or ["another class"])[0]
        raise ValueError(
            f"checkpoint {checkpoint.name!r} lacks weights of {type(model).__name__} ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): it was saved from {saved_from}"
        )
    return model.eval().to(device)


def load_config(checkpoint: Path, task: Task) -> Any:
    """Read a checkpoint's configuration and refuse one that the task cannot use.

    Raises:
        ValueError: the configuration cannot be read, is of another architecture or of another head.
    """
    from transformers import AutoConfig

    check_folder(checkpoint)
    raw = read_json(checkpoint / "config.json", checkpoint)
    if task.takes_any_head:
        with explain_checkpoint(checkpoint):
            config = AutoConfig.from_pretrained(checkpoint)
        if not isinstance(config, RnaConfig):
            raise ValueError(f"checkpoint {checkpoint.name!r} is of another package (model_type {config.model_type!r})")
        return config
    mapping = task.auto_class()._model_mapping
    accepted = {config_class.model_type: mapping[config_class] for config_class in mapping.keys()}  # noqa: SIM118
    model_type = raw.get("model_type")
    saved_from = (raw.get("architectures") or [None])[0]
    if model_type not in accepted:
        raise ValueError(
            f"checkpoint {checkpoint.name!r} is of another architecture (model_type {model_type!r}"
            f"{f', saved from {saved_from}' if saved_from else ''}); "
            f"`predict {task.name}` takes {', '.join(sorted(accepted))}"
        )
    with explain_checkpoint(checkpoint):
        config = AutoConfig.from_pretrained(checkpoint)
    if saved_from is not None and saved_from != accepted[model_type].__name__:
        raise ValueError(
            f"checkpoint {checkpoint.name!r} was saved from {saved_from}; "
            f"`predict {task.name}` needs {accepted[model_type].__name__}"
        )
    return config


def load_tokenizer(checkpoint: Path) -> Any:
    """Open a checkpoint's tokenizer.

    Raises:
        ValueError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with explain_checkpoint(checkpoint):
        return AutoTokenizer.from_pretrained(checkpoint)


def hash_checkpoint(folder: Path) -> str:
    """Return the SHA-256 of the files of a checkpoint that its predictions depend on."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".py") and path.name != GOLDEN_FILE:
            with open(path, "rb") as file:
                digest.update(
                    f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode(errors="surrogateescape")
                )
    return digest.hexdigest()


@contextlib.contextmanager
def explain_checkpoint(checkpoint: Path) -> Iterator[None]:
    """Put the checkpoint's name and one line around whatever loading raises."""
    try:
        yield
    except Exception as error:  # transformers, tokenizers and safetensors raise many kinds
        reason = " ".join(str(error).split())[:300]
        if not _is_unicode(os.fspath(checkpoint)):
            reason += "; the folder's name is not in UTF-8, which safetensors asks for: rename it"
        raise ValueError(f"checkpoint {checkpoint.name!r} cannot be loaded: {reason}") from error


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
