"""A loaded model that turns sequences into rows batch by batch, and the checks of a checkpoint before loading."""

import contextlib
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.sources import SequenceRecord
from ..memory import has_pair_states
from ..models.rnatracker import UnknownNucleotidesWarning
from .tasks import PredictionTask, Row

# Up to this length (nucleotides) a batch is limited by its tokens; beyond, by its pair states, where a model has them,
# which grow with the square of the length.
LINEAR_LENGTH = 256


@dataclass
class Predictor:
    """A loaded model and tokenizer that turn a chunk of records into rows."""

    task: PredictionTask
    checkpoint: Path
    config: Any
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    batch_tokens: int
    flip_average: bool

    @classmethod
    def load(
        cls,
        task: PredictionTask,
        checkpoint: Path,
        config: Any,
        tokenizer: Any,
        device: torch.device,
        dtype: str,
        batch_tokens: int,
        flip_average: bool,
    ) -> "Predictor":
        """Load a checkpoint's model; the options are those of `predict`.

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
        model = model.eval().to(device)
        return cls(task, checkpoint, config, model, tokenizer, device, dtype, batch_tokens, flip_average)

    def run(self, chunk: list[SequenceRecord], report: Callable[[int], Any]) -> list[Row]:
        """Predict a chunk; rows come in the chunk's order, with `id`, `sequence` and the task's columns.

        Args:
            chunk: usable records.
            report: called with the number of sequences done since the last call.
        """
        results: list[list[Row]] = [[] for _ in chunk]
        lengths = [self.task.read_length(len(record.sequence), self.config) for record in chunk]
        pads, linear_length = is_padding_masked(self.config), find_linear_length(self.config)
        with warnings.catch_warnings():
            # `predict` has warned already, with the ids.
            warnings.simplefilter("ignore", UnknownNucleotidesWarning)
            for batch in make_batches(lengths, self.batch_tokens, pads, linear_length):
                sequences = [chunk[index].sequence for index in batch]
                predictions = self._forward(sequences)
                if self.flip_average:
                    flipped = self._forward([sequence[::-1] for sequence in sequences])
                    reverse = self.task.reverse
                    predictions = [(one + reverse(other)) / 2 for one, other in zip(predictions, flipped)]
                for index, values in zip(batch, predictions):
                    results[index] = self._rows(chunk[index], values)
                report(len(batch))
        return [row for rows in results for row in rows]

    def _rows(self, record: SequenceRecord, values: np.ndarray) -> list[Row]:
        if not np.isfinite(values).all():
            raise FloatingPointError(
                f"the prediction for {record.id!r} is not finite in {self.dtype}; "
                "use --dtype float32, and check the checkpoint if that does not help"
            )
        try:
            rows = self.task.rows(values, record.sequence, self.config)
        except ValueError as error:
            raise ValueError(f"the prediction for {record.id!r} cannot be used: {error}") from error
        return [{"id": record.id, "sequence": record.sequence, **row} for row in rows]

    def _forward(self, sequences: list[str]) -> list[np.ndarray]:
        device = self.device
        encoded = self.task.encode(self.tokenizer, sequences, self.config)
        keep = encoded["special_tokens_mask"] == 0
        for sequence, count in zip(map(self.task.part_read, sequences), keep.sum(1).tolist()):
            if count != len(sequence):
                raise ValueError(
                    f"the tokenizer of {self.checkpoint.name!r} makes {count} tokens of {len(sequence)} nt; "
                    "prediction per nucleotide needs one token for each"
                )
        mask = encoded["attention_mask"]
        # Without padding no mask is given: the same numbers with less work.
        mask = None if bool(mask.all()) else mask.to(device)
        try:
            with torch.inference_mode():
                outputs = self.task.forward(self.model, encoded["input_ids"].to(device), mask)
            return self.task.values(outputs, keep)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise MemoryError(
                    f"out of memory on {device} with {len(sequences)} x {keep.shape[1]:,} nt; "
                    "lower --batch-tokens, or use --dtype bfloat16"
                ) from error
            raise


def is_padding_masked(config: Any) -> bool:
    """Tell whether a model predicts for a padded sequence what it predicts for it alone."""
    return getattr(config, "fix_attention_mask", True) and getattr(config, "mask_padding", True)


def find_linear_length(config: Any) -> float:
    """Return the length, in nucleotides, up to which a model's cost grows with the length and not with its square."""
    return LINEAR_LENGTH if has_pair_states(config) else math.inf


def make_batches(
    lengths: Sequence[int], batch_tokens: int, pads: bool, linear_length: float = LINEAR_LENGTH
) -> list[list[int]]:
    """Group sequences of similar length; the result depends on the arguments alone.

    Args:
        lengths: of the sequences, in nucleotides.
        batch_tokens: B * L * max(1, L / linear_length) stays within it, L the longest of the batch; one sequence always
            fits.
        pads: whether sequences of different length may share a batch. Not for a model whose padding changes the
            predictions (see `is_padding_masked`): there each sequence comes out as if it were alone.
        linear_length: see `find_linear_length`.

    Returns:
        Indices of the sequences of each batch, longest batch first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if batches:
            longest = lengths[batches[-1][0]]
            cost = (len(batches[-1]) + 1) * longest * max(1.0, longest / linear_length)
            if cost <= batch_tokens and (pads or lengths[index] == longest):
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def load_config(checkpoint: Path, task: PredictionTask) -> Any:
    """Read a checkpoint's configuration and refuse one that the task cannot use.

    Raises:
        ValueError: the configuration cannot be read, is of another architecture or of another head.
    """
    from transformers import AutoConfig

    try:
        raw = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"checkpoint {checkpoint.name!r}: config.json is not readable JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ValueError(
            f"checkpoint {checkpoint.name!r}: config.json must hold a JSON object, not {type(raw).__name__}"
        )
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
    if saved_from is not None and saved_from != accepted[model_type].__name__:
        raise ValueError(
            f"checkpoint {checkpoint.name!r} was saved from {saved_from}; "
            f"`predict {task.name}` needs {accepted[model_type].__name__}"
        )
    with explain_checkpoint(checkpoint):
        return AutoConfig.from_pretrained(checkpoint)


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
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".py"):
            with open(path, "rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def explain_checkpoint(checkpoint: Path) -> Iterator[None]:
    """Put the checkpoint's name and one line around whatever loading raises."""
    try:
        yield
    except Exception as error:  # transformers, tokenizers and safetensors raise many kinds
        reason = " ".join(str(error).split())
        raise ValueError(f"checkpoint {checkpoint.name!r} cannot be loaded: {reason[:300]}") from error
