"""Configuration of RNATracker."""

import dataclasses

import numpy as np
from huggingface_hub.dataclasses import strict

from ..base import RnaConfig

NUM_CHANNELS = 4
"""The first ids of the `rnatracker` alphabet are the channels G, A, U and C, the original's order."""

# Values held at the peak of a forward pass, per nucleotide and channel of the convolutions, beside the channels of the
# nucleotides themselves; and what the libraries take, whatever the length.
VALUES_PER_CHANNEL = 2.2
FIXED_BYTES = 8_000_000

# What stands beside the compartments in a row of predictions, or in what its picture is drawn from.
RESERVED_NAMES = ("id", "sequence", "attention", "windows", "strongest")


@strict
class RnaTrackerConfig(RnaConfig):
    """Sizes and behaviour of an RNATracker. The sizes are the original's; padding is masked, which it isn't there.

    Source: Yan et al. 2019, "Prediction of mRNA subcellular localization using deep recurrent neural networks", in the
    PyTorch re-implementation brianchiu123/RNATracker.

    Args:
        vocab_size: number of tokens; the `rnatracker` alphabet has 6 (G A U C <pad> N). Ids 0 to 3 are the channels
            that the first convolution reads, each other id is a position without any.
        hidden_size: channels that each convolution gives.
        kernel_size: of each convolution, positions; there is no padding at its ends.
        pool_size: positions that become one after each convolution; a rest shorter than that is dropped.
        num_conv_layers: number of convolutions, each with its pool.
        gru_hidden_size: width of the recurrent layer in each of its two directions.
        attention_size: inner width of the attention that weighs the pooled positions.
        hidden_dropout: probability of dropout after each pool.
        mask_padding: True: padding is never seen; each sequence gives the same output alone, padded on either side and
            in any batch. False: padding is read as positions without channels, as in the original, in which up to
            99.9 % of the attention of a short transcript falls on its padding.
        compartments: names of the places whose shares the localisation head predicts, in order; none of
            `RESERVED_NAMES`.
        head_dropout: probability of dropout before a head that classifies.
        training_min_length: shortest sequence seen in training, nucleotides; used for a warning only.
        training_max_length: longest sequence seen in training, nucleotides; used for a warning only.
        unmeasured_5prime: nucleotides at the 5' end that were measured in no RNA of the training; for a warning only.
        unmeasured_3prime: the same at the 3' end.
        pad_token_id: id of padding.
    """

    model_type = "rnatracker"
    keys_to_ignore_at_inference = ["hidden_states", "attentions"]

    vocab_size: int = 6
    hidden_size: int = 32
    kernel_size: int = 10
    pool_size: int = 3
    num_conv_layers: int = 2
    gru_hidden_size: int = 32
    attention_size: int = 50
    hidden_dropout: float | int = 0.25
    mask_padding: bool = True
    compartments: list[str] = dataclasses.field(default_factory=lambda: ["Cytosol", "Insoluble", "Membrane", "Nuclear"])
    pad_token_id: int | None = 4

    @property
    def window_size(self) -> int:
        """Nucleotides that a pooled position sees before the recurrent layer: 45 by default."""
        size = 1
        for _ in range(self.num_conv_layers):
            size = size * self.pool_size + self.kernel_size - 1
        return size

    @property
    def window_stride(self) -> int:
        """Nucleotides from one pooled position's window to the next one's: 9 by default."""
        return self.pool_size**self.num_conv_layers

    @property
    def min_sequence_length(self) -> int:
        """Nucleotides of the shortest sequence that can be read, which gives one pooled position: 45 by default."""
        return self.window_size

    @property
    def masks_padding(self) -> bool:
        """Whether a sequence gives the same output alone, padded and in any batch."""
        return self.mask_padding

    @property
    def state_size(self) -> int:
        """Width of the pooled state: both directions of the recurrent layer."""
        return 2 * self.gru_hidden_size

    @property
    def max_unknown_share(self) -> float:
        """Part of a sequence that may be unknown nucleotides (N) without a warning."""
        return 0.01

    def forward_cost(self, batch: int, length: int, itemsize: int) -> int:
        """Bytes at the peak of a forward pass; see `RnaConfig.forward_cost`."""
        return FIXED_BYTES + int(batch * length * (self.hidden_size * VALUES_PER_CHANNEL + NUM_CHANNELS) * itemsize)

    def attention_windows(
        self, length: int, padded_length: int | None = None, padding_side: str = "left"
    ) -> np.ndarray:
        """Return the stretch of a sequence that each attention weight stands for.

        It is what the convolutions see at that position; the recurrent layer carries more from both sides.

        Args:
            length: of the sequence as the model read it, nucleotides.
            padded_length: length of its row of the batch, for a model that reads padding (`mask_padding=False`); by
                default there is none. Without effect with `mask_padding`.
            padding_side: "left" or "right", where that padding is.

        Returns:
            (P, 2), int64: start and end of each window in nucleotides, 0-based, the end not included, cut off at the
            ends of the sequence; both are the same where a window holds padding only. `attentions[row, :P]` are the
            weights.

        Raises:
            ValueError: if the lengths or the side are impossible.

        Example:
            >>> RnaTrackerConfig().attention_windows(60).tolist()
            [[0, 45], [9, 54]]
        """
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side is {padding_side!r}: choose left or right")
        if self.mask_padding or padded_length is None:
            padded_length = length
        if length < 0 or padded_length < length:
            raise ValueError(f"a sequence of {length} nucleotides can't be part of a row of {padded_length}")
        before = padded_length - length if padding_side == "left" else 0
        starts = np.arange(self.num_positions(padded_length)) * self.window_stride - before
        return np.stack([starts, starts + self.window_size], axis=1).clip(0, length)

    def num_positions(self, length: int) -> int:
        """Return how many pooled positions a sequence of `length` nucleotides has; 0 below `min_sequence_length`."""
        return max(0, (length - self.window_size) // self.window_stride + 1)

    def validate_sizes(self) -> None:
        """Refuse sizes that the layers can't be built with."""
        for name in (
            "hidden_size",
            "kernel_size",
            "pool_size",
            "num_conv_layers",
            "gru_hidden_size",
            "attention_size",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.vocab_size < 4:
            raise ValueError(f"vocab_size is {self.vocab_size}: the nucleotides alone are 4")
        if self.pad_token_id is not None and not 4 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"pad_token_id is {self.pad_token_id}: choose an id from 4, behind the nucleotides, to "
                f"{self.vocab_size - 1}, below vocab_size, or None for no padding token"
            )

    def validate_rates(self) -> None:
        """Refuse probabilities outside of [0, 1)."""
        for name in ("hidden_dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0 and below 1")

    def validate_compartments(self) -> None:
        """Refuse a distribution over fewer than two places, repeated names, and those of other columns."""
        if len(self.compartments) < 2 or len(set(self.compartments)) != len(self.compartments):
            raise ValueError(f"compartments are {self.compartments}: name at least two, each only once")
        # Names of columns are read without regard to case.
        reserved = [name for name in self.compartments if name.lower() in RESERVED_NAMES]
        if reserved:
            raise ValueError(
                f"compartments hold {reserved[0]!r}, which is a column of another meaning beside theirs: rename it "
                f"(taken are {', '.join(RESERVED_NAMES)})"
            )
