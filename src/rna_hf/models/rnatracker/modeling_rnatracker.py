"""RNATracker: convolutions, a recurrent layer and attention that predict where in the cell an mRNA is found.

Source: Yan et al. 2019, "Prediction of mRNA subcellular localization using deep recurrent neural networks", in the
PyTorch re-implementation brianchiu123/RNATracker. With `mask_padding=False` every state equals that implementation's.
"""

import math
import warnings

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from ...layers.plain import floating_dtype, is_plain, may_decide
from ...outputs import PooledModelOutput
from ..base import UnknownNucleotidesWarning
from ..heads import LocalisationHead, SequenceClassificationHead
from ..pretrained_mixin import RnaPreTrainedMixin
from .configuration_rnatracker import NUM_CHANNELS, RnaTrackerConfig


def _move_to_front(channels: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor | list[int]]:
    """Close the gaps that padding leaves.

    The pools take every third position, so that a sequence has to begin where its row does to be read as if alone.

    Args:
        channels: (B, 4, L).
        attention_mask: (B, L), 0 at padding.

    Returns:
        (B, 4, longest), each row with its own positions first, and their number for each row. Where the mask's values
        are not to be asked for, L positions, and the numbers as a tensor.
    """
    is_padding = attention_mask == 0
    if not may_decide(attention_mask):
        counts = (~is_padding).sum(1)
        # Where each position goes; ONNX has no stable sort.
        places = torch.where(is_padding, counts[:, None] + is_padding.cumsum(1), (~is_padding).cumsum(1)) - 1
        return torch.zeros_like(channels).scatter(2, places[:, None].expand_as(channels), channels), counts
    lengths: list[int] = (~is_padding).sum(1).tolist()
    if min(lengths) == is_padding.shape[1]:
        return channels, lengths
    order = is_padding.byte().argsort(dim=1, stable=True)[:, : max(lengths)]
    return channels.gather(2, order[:, None].expand(-1, channels.shape[1], -1)), lengths


def _warn_about_unknown(input_ids: Tensor, attention_mask: Tensor | None, config: RnaTrackerConfig) -> None:
    """Warn once of the sequence with the largest share of unknown nucleotides, if there is one with too many."""
    is_unknown = input_ids >= NUM_CHANNELS
    if config.pad_token_id is not None:
        is_unknown &= input_ids != config.pad_token_id
    if attention_mask is not None:
        is_unknown &= attention_mask != 0
    if not is_unknown.any():
        return
    is_nucleotide = is_unknown | (input_ids < NUM_CHANNELS)
    if attention_mask is not None:
        is_nucleotide &= attention_mask != 0
    shares = is_unknown.sum(1) / is_nucleotide.sum(1).clamp(min=1)
    share, row = (value.item() for value in shares.max(0))
    if share > config.max_unknown_share:
        number = int((shares > config.max_unknown_share).sum())
        warnings.warn(
            f"row {row} of the batch (0-based) has {share:.1%} unknown nucleotides (N), which the model reads as "
            f"nothing: take its prediction with care ({number} of {len(shares)} rows have more than "
            f"{config.max_unknown_share:.0%})",
            UnknownNucleotidesWarning,
            stacklevel=2,
        )


def _run_in_steps(gru: nn.GRU, inputs: Tensor) -> Tensor:
    """Run a recurrent layer over (B, P, H) in a form that an exported program keeps for any P; return (B, P, width)."""
    from torch._higher_order_ops import scan

    input_weight, weight, input_bias, bias = gru.all_weights[0]
    projected = nn.functional.linear(inputs, input_weight, input_bias).transpose(0, 1)

    def step(state: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        reset, update, new = gates.chunk(3, dim=-1)
        own_reset, own_update, own_new = nn.functional.linear(state, weight, bias).chunk(3, dim=-1)
        candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
        state = candidate + torch.sigmoid(update + own_update) * (state - candidate)
        return state, state.clone()  # two outputs of a scan may not be one tensor

    start = inputs.new_zeros(inputs.shape[0], gru.hidden_size)
    states: Tensor = scan(step, start, projected, dim=0)[1]
    return states.transpose(0, 1)


class RnaTrackerConvBlock(GradientCheckpointingLayer):
    """Convolution, ReLU, maximum of neighbouring positions, dropout. Mirrors the original's `conv_block1` and 2."""

    def __init__(self, config: RnaTrackerConfig, in_channels: int):
        super().__init__()
        # Without a bias, positions without channels stay without up to the recurrent layer.
        self.conv = nn.Conv1d(in_channels, config.hidden_size, config.kernel_size, bias=False)
        self.pool_size = config.pool_size
        self.pool = nn.MaxPool1d(config.pool_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Return (B, (L - kernel + 1) // pool, H) of (B, L, C)."""
        # The same as the pool of the ReLU, with fewer values to compute the ReLU of.
        convolved = self.conv(hidden_states.transpose(1, 2))
        if torch.compiler.is_exporting():  # the pool of one dimension would fix the length
            pooled = nn.functional.max_pool2d(convolved[:, :, None], (1, self.pool_size))[:, :, 0]
        else:
            pooled = self.pool(convolved)
        return self.dropout(nn.functional.relu(pooled)).transpose(1, 2)


class RnaTrackerAttentionPooling(nn.Module):
    """The mean of the pooled positions' states, weighted by a score of each. Mirrors the original's `attention`."""

    def __init__(self, config: RnaTrackerConfig):
        super().__init__()
        self.proj = nn.Linear(2 * config.gru_hidden_size, config.attention_size)
        self.score = nn.Linear(config.attention_size, 1, bias=False)

    def forward(self, hidden_states: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (B, N) of states (B, P, N) and the weights (B, P), in float32, which sum to 1.

        Args:
            hidden_states: (B, P, N).
            positions: (B, 1), number of positions of each row that get a weight, the first ones.
        """
        scores = self.score(torch.tanh(self.proj(hidden_states)))[..., 0].float()
        is_missing = torch.arange(scores.shape[1], device=scores.device) >= positions
        weights = scores.masked_fill(is_missing, -torch.inf).softmax(-1)
        return torch.bmm(weights[:, None].to(hidden_states.dtype), hidden_states)[:, 0], weights


class RnaTrackerPreTrainedModel(RnaPreTrainedMixin, PreTrainedModel):
    """Weights, initialisation and capabilities that all RNATracker models share."""

    config: RnaTrackerConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["RnaTrackerConvBlock"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as the original does, that is with torch's defaults."""
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            bound = 1 / math.sqrt(module.weight[0].numel())
        elif isinstance(module, nn.GRU):
            bound = 1 / math.sqrt(module.hidden_size)
        else:
            return
        for parameter in module.parameters(recurse=False):
            init.uniform_(parameter, -bound, bound)


class RnaTrackerModel(RnaTrackerPreTrainedModel):
    """RNATracker without a head: a state for each pooled position, and one for the whole sequence."""

    def __init__(self, config: RnaTrackerConfig):
        super().__init__(config)
        widths = [NUM_CHANNELS] + [config.hidden_size] * (config.num_conv_layers - 1)
        self.blocks = nn.ModuleList(RnaTrackerConvBlock(config, width) for width in widths)
        self.forward_gru = nn.GRU(config.hidden_size, config.gru_hidden_size, batch_first=True)
        self.backward_gru = nn.GRU(config.hidden_size, config.gru_hidden_size, batch_first=True)
        self.attention = RnaTrackerAttentionPooling(config)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> PooledModelOutput:
        """Run the model.

        In evaluation mode, a sequence of which more than 1 % are unknown nucleotides (N) brings an
        `UnknownNucleotidesWarning`.

        Args:
            input_ids: (B, L), nucleotides as ids of the `rnatracker` alphabet.
            attention_mask: (B, L), non-zero at nucleotides and 0 at padding, of any dtype; read, never written to.
                None means that nothing is padded.
            inputs_embeds: (B, L, 4), in place of `input_ids`: the channels G, A, U and C, one of them 1 at a
                nucleotide; for gradients with respect to the input.
            **kwargs: `output_attentions` also returns the weight of each pooled position, `output_hidden_states` the
                states after each convolution and after the recurrent layer; by default as the configuration says.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, if shapes don't fit, or if a
                sequence is shorter than `config.min_sequence_length` (with `mask_padding=False`, with its padding).
        """
        wants_weights, wants_states = (
            getattr(self.config, name) if kwargs.get(name) is None else kwargs[name]
            for name in ("output_attentions", "output_hidden_states")
        )
        channels, lengths = self._read(input_ids, attention_mask, inputs_embeds)
        positions = self._count_positions(lengths, channels.device)
        if self.gradient_checkpointing and self.training:
            # The reentrant kind has gradients only where an input does.
            channels.requires_grad_()

        hidden_states = channels.transpose(1, 2)
        all_hidden_states: tuple[Tensor, ...] = ()
        for block in self.blocks:
            hidden_states = block(hidden_states)
            if wants_states:
                all_hidden_states += (hidden_states,)
        recurrent = self._run_gru(hidden_states, positions)
        last_hidden_state = nn.functional.relu(recurrent)
        pooled, weights = self.attention(last_hidden_state, positions)
        return PooledModelOutput(
            last_hidden_state=last_hidden_state,
            pooler_output=pooled,
            hidden_states=(*all_hidden_states, recurrent) if wants_states else None,
            attentions=weights if wants_weights else None,
        )

    def _read(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None
    ) -> tuple[Tensor, Tensor | list[int]]:
        """Check the inputs; return their channels (B, 4, L) and how many of the L positions count, row by row."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if input_ids is not None and input_ids.dim() != 2:
            raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: (batch, length) is needed")
        if inputs_embeds is not None and (inputs_embeds.dim() != 3 or inputs_embeds.shape[2] != NUM_CHANNELS):
            raise ValueError(
                f"inputs_embeds has shape {tuple(inputs_embeds.shape)}: (batch, length, {NUM_CHANNELS}) is needed"
            )
        if input_ids is not None:
            ids = torch.arange(NUM_CHANNELS, device=input_ids.device)
            channels = input_ids[:, None] == ids[:, None]
        else:
            channels = inputs_embeds.transpose(1, 2)  # type: ignore[union-attr]  # not None, as checked above
        # Not the model's own `dtype`: a quantised model may have no parameter left, an adapter one of its own.
        channels = channels.to(floating_dtype(self.blocks, torch.get_default_dtype()))
        shape = (channels.shape[0], channels.shape[2])
        if 0 in shape:
            raise ValueError(f"the inputs are empty, of shape {shape}: at least one nucleotide is needed")
        if attention_mask is not None and tuple(attention_mask.shape) != shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}: {shape} is needed, "
                "one entry for each input position"
            )
        if input_ids is not None and not self.training and may_decide(input_ids):
            _warn_about_unknown(input_ids, attention_mask, self.config)
        if attention_mask is not None and self.config.mask_padding:
            channels, lengths = _move_to_front(channels, attention_mask)
        elif may_decide(channels):
            lengths = [shape[1]] * shape[0]
        else:
            lengths = torch.full(shape[:1], shape[1], device=channels.device)
        if attention_mask is not None and not self.config.mask_padding:
            channels = channels * (attention_mask != 0)[:, None]
        if isinstance(lengths, list):
            self._check_lengths(lengths)
        return channels, lengths

    def _count_positions(self, lengths: Tensor | list[int], device: torch.device) -> Tensor:
        """Return how many pooled positions rows of these lengths have, (B, 1)."""
        if isinstance(lengths, list):
            return torch.tensor([[self.config.num_positions(length)] for length in lengths], device=device)
        window, stride = self.config.window_size, self.config.window_stride
        return ((lengths[:, None] - window).div(stride, rounding_mode="floor") + 1).clamp(min=0)

    def _check_lengths(self, lengths: list[int]) -> None:
        """Refuse rows that are too short for a single pooled position."""
        shortest = self.config.min_sequence_length
        if min(lengths) >= shortest:
            return
        row = lengths.index(min(lengths))
        remedy = "leave it out" if self.config.mask_padding else f"pad the batch to {shortest} positions or more"
        raise ValueError(
            f"row {row} of the batch (0-based) has {lengths[row]} nucleotides, and the shortest that this model reads "
            f"has {shortest}: {remedy}"
        )

    def _run_gru(self, hidden_states: Tensor, positions: Tensor) -> Tensor:
        """Run the recurrent layer in both directions over each row's own positions.

        Packed sequences would do the same, but on a CPU their gradient takes time with the square of the length.

        Args:
            hidden_states: (B, P, H).
            positions: (B, 1), number of positions of each row, the first ones.

        Returns:
            (B, P, N), both directions side by side; 0 at positions that are none of the row's own.
        """
        places = torch.arange(hidden_states.shape[1], device=positions.device)
        # Back to front: applied twice, it changes nothing.
        reverse = torch.where(places < positions, positions - 1 - places, places)[..., None]
        inputs = hidden_states, hidden_states.gather(1, reverse.expand_as(hidden_states))
        grus = self.forward_gru, self.backward_gru
        if torch.compiler.is_exporting():
            forward, backward = (_run_in_steps(gru, part) for gru, part in zip(grus, inputs))
        elif all(is_plain(gru, hidden_states, (nn.GRU,)) for gru in grus):
            forward, backward = self._run_joined(*inputs)
        else:
            # Where they are spread over devices, each leaves its states on its own.
            forward, backward = (gru(part)[0].to(hidden_states.device) for gru, part in zip(grus, inputs))
        states = torch.cat([forward, backward.gather(1, reverse.expand_as(backward))], dim=-1)
        return states.masked_fill((places >= positions)[..., None], 0.0)

    def _run_joined(self, forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
        """Run both directions (B, P, H) as one layer of twice the width: half as many steps."""
        both = torch.cat([forward, backward], dim=-1)
        # The weights from one direction to the other are 0.
        weights = [self._join(name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
        start = both.new_zeros(1, len(both), weights[1].shape[1])
        first, second = torch.gru(both, start, weights, True, 1, 0.0, self.training, False, True)[0].chunk(2, dim=-1)
        return first, second

    def _join(self, name: str) -> Tensor:
        """Put a parameter of both directions side by side, gate by gate: matrices block-diagonal, biases in a row."""
        parts = [getattr(gru, name).unflatten(0, (3, -1)) for gru in (self.forward_gru, self.backward_gru)]
        if parts[0].dim() == 2:
            return torch.cat(parts, dim=1).flatten()
        (first, second), empty = parts, torch.zeros_like(parts[0])
        rows = [torch.cat([first, empty], dim=-1), torch.cat([empty, second], dim=-1)]
        return torch.cat(rows, dim=1).flatten(0, 1)


class RnaTrackerForLocalisation(LocalisationHead, RnaTrackerPreTrainedModel):
    """RNATracker with a linear head for the shares of an mRNA that are found in each of several compartments."""

    trunk_class = RnaTrackerModel


class RnaTrackerForSequenceClassification(SequenceClassificationHead, RnaTrackerPreTrainedModel):
    """RNATracker with a head for one set of labels a sequence."""

    trunk_class = RnaTrackerModel
