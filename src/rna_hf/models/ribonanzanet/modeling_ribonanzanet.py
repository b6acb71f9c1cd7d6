"""RibonanzaNet: a sequence track and a pair track that predict chemical reactivity from an RNA sequence.

Source: He et al. 2024, "Ribonanza: deep learning of RNA structure through dual crowdsourcing", and the authors' file
`Network.py` (class `RibonanzaNet`). With the default configuration every state equals the original's, its handling of
padding included; the `fix_*` flags of the configuration put right what the original gets wrong.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ...layers.attention import cancel_mixed_logits, eager_attention_forward, mask_padded_keys
from ...layers.pair import (
    OuterProductMean,
    PairTransition,
    RelativePosition,
    TriangleAttention,
    TriangleProjection,
    TriangleUpdate,
    shared_axis_dropout,
)
from ...layers.pair_blocks import Workspace, pair_bias, pair_transition, triangle_update
from ...layers.plain import is_hooked, is_watched, may_decide
from ...outputs import PairTrackModelOutput
from ..coordinate_heads import Correction, TertiaryStructureHead
from ..heads import (
    ContactPredictionHead,
    DegradationHead,
    MaskedLMHead,
    ReactivityHead,
    SecondaryStructureHead,
    SequenceClassificationHead,
    SequenceDropoutHead,
    TokenClassificationHead,
    find_nucleotides,
    mean_over,
)
from ..pretrained_mixin import RnaPreTrainedMixin
from .configuration_ribonanzanet import RibonanzaNetConfig


def _is_all_kept(attention_mask: Tensor) -> bool:
    """Tell whether a mask hides nothing, where to ask costs little: a GPU would have to wait, a compiler to guess."""
    return attention_mask.device.type == "cpu" and may_decide(attention_mask) and bool(attention_mask.all())


class RibonanzaNetPadding(NamedTuple):
    """What each block does about padding, each (B, L) or None for "nothing".

    Attributes:
        first_scale: multiplies the sequence state where the first layer begins.
        later_scale: multiplies it where each later layer begins.
        pair_scale: scales the factors of the triangle updates, once per pair index.
        attended_keys: 0 at keys that no query attends to.
        separate_kinds: 1 and 0; the logit between positions of different kinds becomes 0.
    """

    first_scale: Tensor | None = None
    later_scale: Tensor | None = None
    pair_scale: Tensor | None = None
    attended_keys: Tensor | None = None
    separate_kinds: Tensor | None = None

    @classmethod
    def from_mask(cls, config: RibonanzaNetConfig, attention_mask: Tensor | None, dtype: torch.dtype) -> Self:
        """Translate an attention mask (B, L), non-zero at nucleotides, into what the configuration asks for."""
        if attention_mask is None or _is_all_kept(attention_mask):
            return cls()
        keep = (attention_mask != 0).to(dtype)
        if config.fix_attention_mask:
            return cls(first_scale=keep, later_scale=keep, pair_scale=keep, attended_keys=keep)
        if config.padding_quirk == "float":
            # The original's attention overwrites its 1/0 mask with 1/-1, which all later blocks then multiply by.
            sign = 2 * keep - 1
            return cls(first_scale=keep, later_scale=sign, pair_scale=sign, separate_kinds=keep)
        # A bool mask turns all True in the first attention: nothing is masked from there on.
        return cls(first_scale=keep)


def zero_gradient_anchor(module: nn.Module) -> Tensor | float:
    """Return a zero that depends on every trainable parameter of a module without running it.

    Added to a state in training, it gives the unused parameters a gradient of 0 rather than None, as the original
    has it and as distributed training needs. Parameters that are elsewhere until their module is called, on the meta
    device, have no part in it.
    """
    trainable = (part for part in module.parameters() if part.requires_grad and part.device.type != "meta")
    # Of a tensor that several processes share, its own part is enough.
    local = (part.to_local() if hasattr(part, "to_local") else part for part in trainable)
    return sum((0 * part.flatten()[:1].sum() for part in local), 0.0)


class RibonanzaNetAttention(nn.Module):
    """Self-attention with a pair bias, its own residual and norm. Mirrors the original's `MultiHeadAttention`."""

    is_causal = False

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)

    def forward(
        self,
        hidden_states: Tensor,
        pair_bias: Tensor,
        padding: RibonanzaNetPadding,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[Tensor, Tensor | None]:
        """Return the block's state (B, L, H) and, with eager attention, the weights (B, heads, L, L).

        Args:
            hidden_states: (B, L, H).
            pair_bias: (B, heads, L, L), added to the logits.
            padding: what to do about padding.
        """
        # Tensor parallelism leaves each process some of the heads.
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(shape).transpose(1, 2)
        key = self.k_proj(hidden_states).view(shape).transpose(1, 2)
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        if padding.attended_keys is not None:
            pair_bias = mask_padded_keys(pair_bias, padding.attended_keys)
        if padding.separate_kinds is not None:
            query, key, pair_bias = cancel_mixed_logits(query, key, pair_bias, padding.separate_kinds)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        attended, weights = attend(
            self,
            query,
            key,
            value,
            pair_bias.to(query.dtype),
            scaling=1 / math.sqrt(self.head_dim),
            dropout=self.config.attention_dropout if self.training else 0.0,
            **kwargs,
        )
        attended = self.out_proj(attended.flatten(2))
        return self.norm(hidden_states + self.dropout(attended)), weights


class RibonanzaNetPairUpdate(nn.Module):
    """The pair track of one layer. Mirrors the second half of the original's `ConvTransformerEncoderLayer`."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__()
        self.config = config
        self.outer_product = OuterProductMean(config.hidden_size, config.pair_hidden_size, config.outer_product_size)
        self.triangle_outgoing = TriangleUpdate(config.pair_hidden_size, "outgoing")
        self.triangle_ingoing = TriangleUpdate(config.pair_hidden_size, "ingoing")
        if config.use_triangular_attention:
            self.triangle_row_attention = TriangleAttention(config, "row")
            self.triangle_column_attention = TriangleAttention(config, "column")
        self.transition = PairTransition(config.pair_hidden_size)

    def forward(
        self,
        hidden_states: Tensor,
        pair_states: Tensor,
        padding: RibonanzaNetPadding,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """Update (B, L, L, C) from itself and from the new sequence state (B, L, H).

        Args:
            hidden_states: (B, L, H).
            pair_states: (B, L, L, C).
            padding: what to do about padding.
            workspace: of a pass without gradients; `pair_states` is then written over.
        """
        size, kernels = self.config.pair_block_size, self.config.pair_kernels
        scale = padding.pair_scale
        pair_states = self.outer_product(hidden_states, pair_states, in_place=workspace is not None)
        pair_states = triangle_update(
            self.triangle_outgoing, pair_states, scale, self._dropout(pair_states, axis=1), size, workspace, kernels
        )
        ingoing_axis = 2 if self.config.fix_pairwise_dropout else 1
        pair_states = triangle_update(
            self.triangle_ingoing,
            pair_states,
            scale,
            self._dropout(pair_states, ingoing_axis),
            size,
            workspace,
            kernels,
        )
        if self.config.use_triangular_attention:
            for attention, axis in ((self.triangle_row_attention, 1), (self.triangle_column_attention, 2)):
                update = attention(pair_states, padding.attended_keys, padding.separate_kinds)
                dropout = self._dropout(pair_states, axis)
                pair_states = pair_states + (update if dropout is None else update * dropout)
        return pair_transition(self.transition, pair_states, size, workspace, kernels)

    def _dropout(self, pair_states: Tensor, axis: int) -> Tensor | None:
        return shared_axis_dropout(pair_states, self.config.hidden_dropout, axis, self.training)


class RibonanzaNetLayer(GradientCheckpointingLayer):
    """One layer: convolution, attention biased by the pair state, feed-forward, then the pair track.

    Mirrors the original's `ConvTransformerEncoderLayer`.
    """

    def __init__(self, config: RibonanzaNetConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.is_last = layer_idx == config.num_hidden_layers - 1
        kernel_size = 1 if self.is_last else config.kernel_size
        self.conv = nn.Conv1d(config.hidden_size, config.hidden_size, kernel_size, padding=kernel_size // 2)
        self.conv_norm = nn.LayerNorm(config.hidden_size)
        self.pair_norm = nn.LayerNorm(config.pair_hidden_size)
        self.pair_bias_proj = nn.Linear(config.pair_hidden_size, config.num_attention_heads, bias=False)
        self.attention = RibonanzaNetAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        inner_size = config.intermediate_size or 4 * config.hidden_size
        self.up_proj = nn.Linear(config.hidden_size, inner_size)
        self.down_proj = nn.Linear(inner_size, config.hidden_size)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.pair_update = RibonanzaNetPairUpdate(config)

    def forward(
        self,
        hidden_states: Tensor,
        pair_states: Tensor,
        padding: RibonanzaNetPadding,
        output_pair_states: bool = False,
        workspace: Workspace | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[Tensor, Tensor]:
        """Return the new sequence state (B, L, H) and pair state (B, L, L, C).

        With a `workspace`, the pair state that came in is written over.

        The last layer's pair state feeds nothing but those who ask for it: without `output_pair_states`, or a hook on
        the pair update or in it, that layer hands on the pair state as it came in.
        """
        scale = padding.first_scale if self.layer_idx == 0 else padding.later_scale
        if scale is not None:
            hidden_states = hidden_states * scale[..., None]
        convolved = self.conv(hidden_states.transpose(1, 2)).transpose(1, 2)
        hidden_states = self.conv_norm(hidden_states + convolved)

        bias = pair_bias(
            self.pair_norm, self.pair_bias_proj, pair_states, self.config.pair_block_size, self.config.pair_kernels
        )
        attended, _ = self.attention(hidden_states, bias, padding, **kwargs)
        if not self.config.fix_attention_residual:
            attended = self.attention_norm(hidden_states + self.dropout(attended))
        elif self.training:
            attended = attended + zero_gradient_anchor(self.attention_norm)
        hidden_states = attended

        inner = self.dropout(nn.functional.gelu(self.up_proj(hidden_states)))
        hidden_states = self.feed_forward_norm(hidden_states + self.dropout(self.down_proj(inner)))

        if output_pair_states or not self.is_last or is_hooked(self.pair_update):
            pair_states = self.pair_update(hidden_states, pair_states, padding, workspace)
        if self.is_last and self.training:
            # Also where the pair state was asked for: no loss needs to use it.
            hidden_states = hidden_states + zero_gradient_anchor(self.pair_update)
        return hidden_states, pair_states


class RibonanzaNetPreTrainedModel(RnaPreTrainedMixin, PreTrainedModel):
    """Weights, initialisation and capabilities that all RibonanzaNet models share."""

    config: RibonanzaNetConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["RibonanzaNetLayer"]
    # The pair bias rules out flash and flex attention: only what is right is claimed.
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = False
    _can_record_outputs = {"hidden_states": RibonanzaNetLayer, "attentions": RibonanzaNetAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as the original does: torch's defaults; gates of triangle updates weight 0 and bias 1."""
        if isinstance(module, Correction):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Conv1d, OuterProductMean)):
            first_gate = module.first_gate_row if isinstance(module, TriangleProjection) else None
            weight = nn.init.kaiming_uniform_(torch.empty(module.weight.shape), a=math.sqrt(5))
            bound = 1 / math.sqrt(weight[0].numel())
            bias = torch.empty(weight.shape[0]).uniform_(-bound, bound)
            if first_gate is not None:
                weight[first_gate:] = 0
                bias[first_gate:] = 1
            init.copy_(module.weight, weight)
            if module.bias is not None:
                init.copy_(module.bias, bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            weight = torch.randn(module.weight.shape)
            if module.padding_idx is not None:
                weight[module.padding_idx] = 0
            init.copy_(module.weight, weight)


class RibonanzaNetModel(RibonanzaNetPreTrainedModel):
    """RibonanzaNet without a head: the sequence state, and on request the pair state."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.outer_product = OuterProductMean(config.hidden_size, config.pair_hidden_size, config.outer_product_size)
        self.relative_position = RelativePosition(config.pair_hidden_size, config.max_relative_position)
        self.layers = nn.ModuleList(RibonanzaNetLayer(config, i) for i in range(config.num_hidden_layers))
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_pair_states: bool | None = None,
        output_last_pair_state: bool = False,
        **kwargs: Unpack[TransformersKwargs],
    ) -> PairTrackModelOutput:
        """Run the model.

        Args:
            input_ids: (B, L), nucleotides as ids of the `ribonanzanet` alphabet, L at least 1.
            attention_mask: (B, L), non-zero at nucleotides and 0 at padding, of any dtype; read, never written to.
                None means that nothing is padded.
            inputs_embeds: (B, L, H), in place of `input_ids`.
            output_pair_states: also return the initial pair state and the one after each layer.
            output_last_pair_state: also return the pair state after the last layer, which costs one more update of it
                but holds no other.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, if shapes don't fit, or if
                attention weights are asked of an attention implementation that has none.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if input_ids is not None:
            if input_ids.dim() != 2:
                raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: (batch, length) is needed")
            hidden_states = self.embed_tokens(input_ids)
        else:
            hidden_states = inputs_embeds
        batch, length = hidden_states.shape[:2]
        if length == 0:
            raise ValueError("the sequences are empty: at least one nucleotide is needed")
        if attention_mask is not None and attention_mask.shape != (batch, length):
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}: ({batch}, {length}) is needed, "
                "one entry for each input position"
            )
        if kwargs.get("output_attentions", self.config.output_attentions) and (
            self.config._attn_implementation != "eager"
        ):
            raise ValueError(
                f"attention weights are not available with {self.config._attn_implementation!r} attention: "
                'load the model with attn_implementation="eager"'
            )
        if output_pair_states is None:
            output_pair_states = getattr(self.config, "output_pair_states", False)

        padding = RibonanzaNetPadding.from_mask(self.config, attention_mask, hidden_states.dtype)
        pair_states = self.relative_position(length, hidden_states.device, hidden_states.dtype)
        pair_states = pair_states.expand(batch, -1, -1, -1)
        pair_states = self.outer_product(hidden_states, pair_states)
        all_pair_states: tuple[Tensor, ...] = (pair_states,)
        # Nothing is written over that a hook may have kept.
        keeps_states = output_pair_states or torch.is_grad_enabled() or is_watched(self)
        workspace = None if keeps_states else Workspace()
        for layer in self.layers:
            hidden_states, pair_states = layer(
                hidden_states, pair_states, padding, output_pair_states or output_last_pair_state, workspace, **kwargs
            )
            if output_pair_states:
                all_pair_states += (pair_states,)
        nucleotides = find_nucleotides(self.config, hidden_states, input_ids, attention_mask)
        return PairTrackModelOutput(
            last_hidden_state=hidden_states,
            pooler_output=mean_over(hidden_states, nucleotides),
            pair_states=all_pair_states if output_pair_states else None,
            last_pair_state=pair_states if output_last_pair_state else None,
        )


class RibonanzaNetForReactivity(ReactivityHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a linear head for the chemical reactivity of each nucleotide, one value per channel."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForDegradation(DegradationHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a linear head for reactivity and degradation rates of each nucleotide."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForSequenceDropout(SequenceDropoutHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the number of reads that a sequence gets with each reagent."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForSecondaryStructure(SecondaryStructureHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the probability that two nucleotides pair."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForTertiaryStructure(TertiaryStructureHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the position of each nucleotide's atom C1'."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForSequenceClassification(SequenceClassificationHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for one set of labels a sequence, from the mean state of its nucleotides."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForTokenClassification(TokenClassificationHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for a set of labels a nucleotide."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForContactPrediction(ContactPredictionHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for a set of labels a pair of nucleotides, such as a contact in 3D or a distance."""

    trunk_class = RibonanzaNetModel


class RibonanzaNetForMaskedLM(MaskedLMHead, RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head that fills in masked nucleotides."""

    trunk_class = RibonanzaNetModel
