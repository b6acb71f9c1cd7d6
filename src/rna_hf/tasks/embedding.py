"""Embeddings: the base model's states, of an RNA or of each of its nucleotides, whatever head a checkpoint has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..options import check_choices, option
from .base import Kind, Prediction, Row, Task

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.base import RnaConfig

POOLINGS = ("mean", "none", "cls")


@dataclass(frozen=True)
class EmbeddingPrediction(Prediction):
    """The states of a base model, in a column `embedding`: H numbers, or L rows of H with `pooling` "none".

    States are those of the RNA's own nucleotides, without special tokens and padding. A model that shortens a sequence
    to positions of its own (`config.num_positions`) has a state for each of these instead: they are averaged, and there
    are none for nucleotides.

    With a `window`, RNAs that are longer are read in windows of that many nucleotides, each `overlap` nucleotides into
    the one before, the last one at the 3' end. A nucleotide that several windows hold gets its state from the one in
    which it lies farthest from the cuts; the mean is that of these states. Shorter RNAs are read whole.

    Attributes:
        pooling: "mean" of all states, "none", or "cls", the state of the token at the start.
        layer: 0 for the embedding of the letters, 1 for the state after the first layer, ...; -1 for the last one.
        window: longest stretch that is read at once, nucleotides; 0: every RNA whole.
        overlap: nucleotides that neighbouring windows share at least.
        has_positions: whether the model has positions of its own; set by `for_checkpoint`.
    """

    summary = "states of the base model, for each RNA or each nucleotide"
    columns_in_words = "`embedding`: a vector, or one for each nucleotide"
    unit = "states of the base model"
    file_stem = "embeddings"
    is_lean = True
    can_flip = False

    pooling: str = option("mean", "of the states: mean, none (a vector for each nucleotide) or cls", choices=POOLINGS)
    layer: int = option(-1, "0 for the embedding of the letters, 1, 2, ... for layers, -1 for the last", metavar="N")
    window: int = option(0, "read longer RNAs in windows of this many nucleotides; 0 for none", metavar="NT")
    overlap: int = option(0, "nucleotides that neighbouring windows share", metavar="NT")
    has_positions: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("window", "overlap"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} must be a number of nucleotides, got {value!r}")
        if self.overlap and self.overlap >= self.window:
            needs = f"be smaller than the window, {self.window}" if self.window else "have a window: give one"
            raise ValueError(f"overlap is {self.overlap}, and has to {needs}")
        if self.window and self.pooling == "cls":
            raise ValueError("pooling cls is the state of one token, and each window has one of its own; use mean")
        if not isinstance(self.layer, int) or isinstance(self.layer, bool):
            raise ValueError(f"layer must be a whole number, got {self.layer!r}")

    @classmethod
    def run_options_left_out(cls) -> set[str]:
        return super().run_options_left_out() | {"keep_columns"}

    def for_checkpoint(self, config: Any, tokenizer: Any) -> EmbeddingPrediction:
        has_positions = config.num_positions(config.min_sequence_length + 1) != config.min_sequence_length + 1
        if has_positions and self.pooling != "mean":
            raise ValueError(
                f"pooling {self.pooling} is not for this model, which has states for stretches of an RNA, not for "
                "nucleotides; use mean"
            )
        if has_positions and self.layer != -1:
            raise ValueError("layer is not for this model, whose layers have positions of their own; leave it out")
        if self.window and has_positions:
            raise ValueError("window is not for this model, which reads RNAs of any length whole; leave it out")
        if 0 < self.window < config.min_sequence_length:
            raise ValueError(
                f"window is {self.window}, and this model reads no less than {config.min_sequence_length} nt"
            )
        if self.pooling == "cls" and getattr(tokenizer, "bos_token_id", None) is None:
            raise ValueError("pooling cls needs a token at the start, which this checkpoint has not; use mean")
        if not has_positions and not -1 <= self.layer <= config.num_hidden_layers:
            count = config.num_hidden_layers
            raise ValueError(f"layer is {self.layer}, and this model has layers 0 to {count}; -1 is the last one")
        return replace(self, has_positions=has_positions)

    def read_length(self, length: int, config: Any) -> int:
        return min(length, self.window) if self.window else length

    def cuts(self, length: int) -> list[tuple[int, int]]:
        """Return the windows in which an RNA is read, start and end of each; see the base class."""
        if not 0 < self.window < length:
            return [(0, length)]
        starts = [*range(0, length - self.window, self.window - self.overlap), length - self.window]
        return [(start, start + self.window) for start in starts]

    def join(self, parts: list[np.ndarray], cuts: list[tuple[int, int]]) -> np.ndarray:
        """Put the states of windows together, halfway through what two of them share; see the base class."""
        if len(parts) == 1:
            return parts[0]
        pieces, begin = [], 0
        for index, ((start, end), states) in enumerate(zip(cuts, parts, strict=True)):
            stop = end if index + 1 == len(cuts) else (end + cuts[index + 1][0]) // 2
            pieces.append(states[begin - start : stop - start])
            begin = stop
        return np.concatenate(pieces)

    def columns(self, config: Any) -> dict[str, Kind]:
        return {"embedding": "matrix" if self.pooling == "none" else "numbers"}

    def forward(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None) -> Any:
        wants_states = self.layer not in (-1, model.config.num_hidden_layers) if not self.has_positions else False
        outputs = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=wants_states)
        return outputs.hidden_states[self.layer] if wants_states else outputs.last_hidden_state

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return for each sequence (H,), or (L, H) with `pooling` "none" or a `window`; see the base class."""
        states = outputs.float().cpu()
        if self.pooling == "none" or self.window:
            return [states[index][keep[index]].numpy() for index in range(len(keep))]
        if self.pooling == "cls":
            # The token at the start stands before the first nucleotide, wherever the padding is.
            return [states[index, int(keep[index].int().argmax()) - 1].numpy() for index in range(len(keep))]
        if self.has_positions:
            # A row's own positions come first, and what is none of them is 0.
            return [states[index].double().numpy() for index in range(len(keep))]
        return [states[index][keep[index]].double().mean(0).float().numpy() for index in range(len(keep))]

    def rows(self, values: np.ndarray, sequence: str, config: RnaConfig) -> list[Row]:
        if self.has_positions:
            values = values[: config.num_positions(len(sequence))].mean(0).astype(np.float32)
        elif self.window and self.pooling == "mean":
            values = values.mean(0, dtype=np.float64).astype(np.float32)
        return [{"embedding": list(values) if self.pooling == "none" else values}]

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Return the embedding as lists."""
        return {"embedding": np.asarray(rows[0]["embedding"]).tolist()}


@dataclass(frozen=True)
class BaseModelTask(Task):
    """A task for the base model of any checkpoint, whatever its head."""

    takes_any_head: bool = True

    def auto_class(self) -> Any:
        from transformers import AutoModel

        return AutoModel


EMBEDDING = BaseModelTask(
    name="embed", head="", prediction=EmbeddingPrediction(), default_checkpoint="ribonanzanet-mini"
)
