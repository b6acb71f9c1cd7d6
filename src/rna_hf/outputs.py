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
        pooler_output: (B, H), its mean over the nucleotides, without special tokens and padding.
        hidden_states: on request, the embedding and the sequence state after each layer, each (B, L, H).
        pair_states: on request, the initial pair state and the one after each layer, each (B, L, L, C).
        last_pair_state: on request, (B, L, L, C), pair state after the last layer.
        attentions: on request and with eager attention only, the weights of each layer, each (B, heads, L, L).
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    last_pair_state: Tensor | None = None


@dataclass
class PooledModelOutput(ModelOutput):
    """Output of a base model that shortens a sequence to P positions and weighs them into one state.

    Attributes:
        last_hidden_state: (B, P, N), the positions' states; 0 where a row has fewer.
        pooler_output: (B, N), the sequence's state: their mean, weighted by `attentions`.
        hidden_states: on request, the states after each layer, each (B, positions of that layer, width); those that
            see padding mean nothing.
        attentions: on request, (B, P), float32: the weight of each position, which sum to 1 in a row; 0 where a row has
            fewer.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: Tensor | None = None


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


@dataclass
class DegradationOutput(ModelOutput):
    """Output of a degradation head.

    Attributes:
        loss: scalar, when labels were given.
        logits: (B, L, targets), in the units of the training labels (for OpenVaccine: reactivity, and degradation rates
            normalised as in the competition).
        hidden_states: see `PairTrackModelOutput`.
        pair_states: see `PairTrackModelOutput`.
        attentions: see `PairTrackModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SequenceDropoutOutput(ModelOutput):
    """Output of a sequence dropout head.

    Attributes:
        loss: scalar, when labels were given.
        logits: (B, channels), natural logarithm of the number of reads.
        read_counts: (B, channels), number of reads, above 0.
        hidden_states: see `PairTrackModelOutput`.
        pair_states: see `PairTrackModelOutput`.
        attentions: see `PairTrackModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    read_counts: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SecondaryStructureOutput(ModelOutput):
    """Output of a secondary structure head.

    Attributes:
        loss: scalar, when labels were given.
        logits: (B, L, L), symmetric; the sigmoid is the probability that two nucleotides pair.
        reactivity: (B, L, channels), where the configuration asks for reactivity beside the structure.
        hidden_states: see `PairTrackModelOutput`.
        pair_states: see `PairTrackModelOutput`.
        attentions: see `PairTrackModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    reactivity: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TertiaryStructureOutput(ModelOutput):
    """Output of a 3D head.

    Attributes:
        loss: scalar, when labels were given.
        coordinates: (B, L, 3), position of each nucleotide's atom C1', angstrom, in a frame of no meaning;
            None in training mode where the head reads the pair state.
        distances: (B, L, L), between these atoms, angstrom, where the head reads the pair state.
        log_scales: (B, L, L), natural logarithm of the relative error to expect of a distance; as `distances`.
        turns: (B, L), handedness of the chain, -1..1, positive where it turns right; as `distances`.
        hidden_states: see `PairTrackModelOutput`.
        pair_states: see `PairTrackModelOutput`.
        attentions: see `PairTrackModelOutput`.
    """

    loss: Tensor | None = None
    coordinates: Tensor | None = None
    distances: Tensor | None = None
    log_scales: Tensor | None = None
    turns: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    pair_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class LocalisationOutput(ModelOutput):
    """Output of a localisation head.

    Attributes:
        loss: scalar, when labels were given.
        logits: (B, compartments), natural logarithms of the shares up to a constant a row; their softmax is the
            predicted distribution over the compartments.
        hidden_states: see `PooledModelOutput`.
        attentions: see `PooledModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: Tensor | None = None
