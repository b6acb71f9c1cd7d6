"""What the models return: one dataclass per kind of head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class PairTrackModelOutput(ModelOutput):
    """Output of a base model with a sequence track and a pair track.

    Attributes:
        last_hidden_state: (B, L, H), sequence state after the last layer.
        hidden_states: on request, the embedding and the sequence state after each layer, each (B, L, H).
        pair_states: on request, the initial pair state and the one after each layer, each (B, L, L, C).
        attentions: on request and with eager attention only, the weights of each layer, each (B, heads, L, L).
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ReactivityOutput(ModelOutput):
    """Output of a reactivity head.

    Attributes:
        loss: scalar, when labels were given.
        logits: (B, L, channels), predicted reactivity in the units of the training labels (for RibonanzaNet:
            normalised so that 1 is the 90th percentile of the library).
        hidden_states: see `PairTrackModelOutput`.
        pair_states: see `PairTrackModelOutput`.
        attentions: see `PairTrackModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
