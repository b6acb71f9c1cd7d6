"""RibonanzaNet: a sequence track and a pair track that predict chemical reactivity from an RNA sequence.

Source: He et al. 2024, "Ribonanza: deep learning of RNA structure through dual crowdsourcing", and the authors' file
`Network.py` (class `RibonanzaNet`). With the default configuration every state equals the original's, its handling of
padding included; the `fix_*` flags of the configuration put right what the original gets wrong.
"""

import math
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ...layers.attention import cancel_mixed_logits, eager_attention_forward, mask_padded_keys
from ...layers.distance_geometry import embed_distances
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
from ...losses import (
    coordinate_loss,
    distance_loss,
    ignore_padding,
    is_measured,
    masked_bce,
    masked_cross_entropy,
    masked_mae,
    masked_mse,
    mcrmse,
    problem_type_of,
    task_loss,
)
from ...outputs import (
    DegradationOutput,
    PairTrackModelOutput,
    ReactivityOutput,
    SecondaryStructureOutput,
    SequenceDropoutOutput,
    TertiaryStructureOutput,
)
from ..helix_prior import HelixPrior, helix_prior
from .configuration_ribonanzanet import RibonanzaNetConfig


def _is_all_kept(attention_mask: Tensor) -> bool:
    """Tell whether a mask hides nothing, where to ask costs little: a GPU would have to wait, a compiler to guess."""
    if attention_mask.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return bool(attention_mask.all())


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
    has it and as distributed training needs.
    """
    return sum((0 * parameter.flatten()[0] for parameter in module.parameters() if parameter.requires_grad), 0.0)


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
        shape = (*hidden_states.shape[:-1], self.num_heads, self.head_dim)
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
        attended = self.out_proj(attended.reshape(hidden_states.shape))
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
        pair_states = self.outer_product.add_to(pair_states, hidden_states, in_place=workspace is not None)
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

        The last layer's pair state feeds nothing but those who ask for it: without `output_pair_states` that layer
        hands on the pair state as it came in.
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

        if output_pair_states or not self.is_last:
            pair_states = self.pair_update(hidden_states, pair_states, padding, workspace)
        if self.is_last and self.training:
            # Also where the pair state was asked for: no loss needs to use it.
            hidden_states = hidden_states + zero_gradient_anchor(self.pair_update)
        return hidden_states, pair_states


class RibonanzaNetPreTrainedModel(PreTrainedModel):
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
        if isinstance(module, RibonanzaNetCorrection):
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

    def _run(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        output_pair_states: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the base model below a head and return its `PairTrackModelOutput`.

        Nothing is kept for a backward pass where all weights of the base model are frozen.
        """
        has_gradient = inputs_embeds is not None or any(weight.requires_grad for weight in self.model.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and has_gradient):
            return self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                output_pair_states=output_pair_states,
                return_dict=True,
                **kwargs,
            )

    def _nucleotides(self, states: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """Return where nucleotides are, (B, L): not at padding, nor at <bos> and <eos>."""
        keep = states.new_ones(states.shape[:2], dtype=torch.bool) if attention_mask is None else attention_mask != 0
        for token in (self.config.bos_token_id, self.config.eos_token_id):
            if input_ids is not None and token is not None:
                keep = keep & (input_ids != token)
        return keep


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
        pair_states = self.relative_position(length).expand(batch, -1, -1, -1)
        pair_states = self.outer_product.add_to(pair_states, hidden_states)
        all_pair_states: tuple[Tensor, ...] = (pair_states,)
        workspace = None if output_pair_states or torch.is_grad_enabled() else Workspace()
        for layer in self.layers:
            hidden_states, pair_states = layer(
                hidden_states, pair_states, padding, output_pair_states or output_last_pair_state, workspace, **kwargs
            )
            if output_pair_states:
                all_pair_states += (pair_states,)
        return PairTrackModelOutput(
            last_hidden_state=hidden_states,
            pair_states=all_pair_states if output_pair_states else None,
            last_pair_state=pair_states if output_last_pair_state else None,
        )


def symmetrise(pair_states: Tensor) -> Tensor:
    """Return a pair state (B, L, L, C) plus its transpose."""
    return pair_states + pair_states.transpose(1, 2)


def mean_over(states: Tensor, keep: Tensor) -> Tensor:
    """Return the mean (B, N) of states (B, L, N) over the positions where keep (B, L) is True; 0 without any."""
    weights = keep.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def shared_outputs(outputs: Any) -> dict[str, Any]:
    """Return what each head hands on from the base model's `PairTrackModelOutput`."""
    return {name: getattr(outputs, name) for name in ("hidden_states", "pair_states", "attentions")}


class RibonanzaNetForReactivity(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a linear head for the chemical reactivity of each nucleotide, one value per channel."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        self.head = nn.Linear(config.hidden_size, len(config.channels))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        signal_to_noise: Tensor | None = None,
        output_pair_states: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ReactivityOutput:
        """Predict reactivity.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L, channels), measured reactivity; NaN or -100 where not measured. Padding never counts.
            signal_to_noise: (B, channels) or (B,), of each profile; those under `config.min_signal_to_noise` and
                those that are NaN don't count in the loss.
            output_pair_states: see `RibonanzaNetModel.forward`.
            **kwargs: `num_items_in_batch` is the number of measured values over all accumulated batches, as the Trainer
                counts them with `DataCollatorForReactivity`; by default the loss is the mean over this batch.

        Returns:
            `ReactivityOutput`; the loss is the mean absolute error on labels clipped to `config.label_range`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, output_pair_states, **kwargs)
        logits = self.head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self._loss(logits, labels, attention_mask, signal_to_noise, num_items)
        return ReactivityOutput(loss=loss, logits=logits, **shared_outputs(outputs))

    def _loss(
        self,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        signal_to_noise: Tensor | None,
        num_items: Tensor | int | None,
    ) -> Tensor:
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}: {tuple(logits.shape)} is needed, that is a value for each "
                f"nucleotide and each of the channels {self.config.channels}"
            )
        counted = is_measured(labels)
        if attention_mask is not None:
            counted = counted & (attention_mask != 0)[..., None]
        if signal_to_noise is not None:
            if signal_to_noise.shape not in ((len(labels),), (len(labels), labels.shape[2])):
                raise ValueError(
                    f"signal_to_noise has shape {tuple(signal_to_noise.shape)}: ({len(labels)},) or "
                    f"({len(labels)}, {labels.shape[2]}) is needed, one number for each profile"
                )
            per_profile = signal_to_noise if signal_to_noise.dim() == 2 else signal_to_noise[:, None]
            counted = counted & (per_profile >= self.config.min_signal_to_noise)[:, None, :]
        if self.config.label_range is not None:
            labels = labels.clamp(*self.config.label_range)
        return masked_mae(logits, labels.masked_fill(~counted, torch.nan), num_items)


class RibonanzaNetForDegradation(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a linear head for reactivity and degradation rates of each nucleotide.

    Source: the original's fine-tune `Deg`; targets of the OpenVaccine competition (Wayment-Steele et al. 2022).
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        self.head = nn.Linear(config.hidden_size, len(config.degradation_targets))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_pair_states: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DegradationOutput:
        """Predict degradation.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L, targets), NaN or -100 where not measured. Padding never counts.
            output_pair_states: see `RibonanzaNetModel.forward`.
            **kwargs: see `RibonanzaNetForReactivity.forward`.

        Returns:
            `DegradationOutput`; the loss is `rna_hf.losses.mcrmse`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, output_pair_states, **kwargs)
        logits = self.head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = mcrmse(logits, ignore_padding(labels, attention_mask, logits.shape), num_items)
        return DegradationOutput(loss=loss, logits=logits, **shared_outputs(outputs))


class RibonanzaNetForSequenceDropout(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the number of reads that a sequence gets with each reagent.

    A sequence that gets few reads drops out of an experiment. Source: the original's fine-tune `Drop`: exp of the mean
    over nucleotides of a linear map. Here the mean is over the sequence's own nucleotides, never over padding.
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        self.head = nn.Linear(config.hidden_size, len(config.channels))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_pair_states: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceDropoutOutput:
        """Predict read counts.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, channels), numbers of reads, 0 or more; NaN or -100 where not counted.
            output_pair_states: see `RibonanzaNetModel.forward`.
            **kwargs: see `RibonanzaNetForReactivity.forward`.

        Returns:
            `SequenceDropoutOutput`; the loss is the mean squared error of log(1 + reads).

        Raises:
            ValueError: if a label is negative (and not -100).
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, output_pair_states, **kwargs)
        nucleotides = self._nucleotides(outputs.last_hidden_state, input_ids, attention_mask)
        logits = mean_over(self.head(outputs.last_hidden_state), nucleotides)
        loss = None
        if labels is not None:
            counted = is_measured(labels)
            if (labels[counted] < 0).any():
                raise ValueError(f"labels hold a negative number of reads ({labels[counted].min().item():g})")
            # log(1 + exp(logits)), without the overflow.
            log_labels = torch.where(counted, torch.where(counted, labels.float(), 0.0).log1p(), torch.nan)
            loss = masked_mse(nn.functional.softplus(logits.float()), log_labels, num_items)
        return SequenceDropoutOutput(
            loss=loss, logits=logits, read_counts=logits.float().exp(), **shared_outputs(outputs)
        )


class RibonanzaNetForSecondaryStructure(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the probability that two nucleotides pair, from the symmetrised last pair state.

    Source: the original's fine-tune `SS` (`ct_predictor`). `rna_hf.structure.decode_pairs` makes a structure of it.
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(config.pair_hidden_size, 1)
        if config.predict_reactivity:
            self.reactivity_head = nn.Linear(config.hidden_size, len(config.channels))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_pair_states: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SecondaryStructureOutput:
        """Predict which nucleotides pair.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L, L), 1 for a pair and 0 for none; NaN or -100 where unknown. Padding never counts.
            output_pair_states: see `RibonanzaNetModel.forward`.
            **kwargs: see `RibonanzaNetForReactivity.forward`.

        Returns:
            `SecondaryStructureOutput`; the loss is the binary cross-entropy over pairs.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(
            input_ids, attention_mask, inputs_embeds, output_pair_states, output_last_pair_state=True, **kwargs
        )
        logits = self.head(self.dropout(symmetrise(outputs.last_pair_state)))[..., 0]
        loss = None
        if labels is not None:
            loss = masked_bce(logits, ignore_padding(labels, attention_mask, logits.shape, 2), num_items)
        return SecondaryStructureOutput(
            loss=loss,
            logits=logits,
            reactivity=self.reactivity_head(outputs.last_hidden_state) if self.config.predict_reactivity else None,
            **shared_outputs(outputs),
        )


# Nucleotides of a stretch that moves together in a sampled structure.
SAMPLED_STRETCH = 9
# Part of the predicted scale with which distances are drawn. With more, the best of five samples is worse on held-out
# chains of the PDB; without any, the samples of an RNA whose helices are certain would be one.
SAMPLED_SPREAD = 0.3
# Pairs of nucleotides that the head for distances reads at a time.
DISTANCE_BLOCK = 2**17


class RibonanzaNetCorrection(nn.Linear):
    """A linear layer that begins at zero."""


class RibonanzaNetDistanceHead(nn.Module):
    """Corrects the distances, their scales and the handedness that the helices of a structure let expect.

    Its last layers begin at zero: untrained, it leaves what is expected as it is.
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.head_dropout)
        self.dense = nn.Linear(config.pair_hidden_size + 3, config.pair_hidden_size)
        self.distances = RibonanzaNetCorrection(config.pair_hidden_size, 2)
        self.turns = RibonanzaNetCorrection(config.hidden_size + 1, 1)

    def forward(self, hidden_states: Tensor, pair_states: Tensor, prior: HelixPrior) -> tuple[Tensor, Tensor, Tensor]:
        """Return distances (B, L, L) in angstrom, the logarithms of their scales (B, L, L) and the handedness (B, L).

        Args:
            hidden_states: (B, L, H).
            pair_states: (B, L, L, C), of the last layer.
            prior: what is expected.
        """
        length = hidden_states.shape[1]
        features = prior.features().to(pair_states.dtype)
        step = max(1, DISTANCE_BLOCK // (len(pair_states) * length))
        blocks = []
        for start in range(0, length, step):
            rows = slice(start, start + step)
            symmetric = pair_states[:, rows] + pair_states[:, :, rows].transpose(1, 2)
            inner = self.dense(torch.cat([self.dropout(symmetric), features[:, rows]], dim=-1))
            blocks.append(self.distances(nn.functional.gelu(inner)).float())
        ratios, log_scales = torch.cat(blocks, dim=1).unbind(-1)
        turns = self.turns(torch.cat([hidden_states, prior.turns[..., None].to(hidden_states.dtype)], dim=-1))
        return (
            prior.distances * ratios.clamp(-4, 4).exp(),
            (prior.log_scales + log_scales).clamp(-5, 2),
            (prior.turns.atanh() + turns[..., 0].float()).tanh(),
        )


class RibonanzaNetForTertiaryStructure(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head for the position of each nucleotide's atom C1'.

    `coordinate_head="sequence"` is the original's fine-tune `3D` (`xyz_predictor`), a linear map of the sequence state.
    With "pair" the model predicts all distances, how sure it is of each, and the handedness along the chain;
    `rna_hf.layers.distance_geometry` finds the trace that fits them best. It is found in evaluation mode only, since
    the loss does not need it. The model starts from helices in space: `head` is that of
    `RibonanzaNetForSecondaryStructure`, whose checkpoints fill it, and the helices of the structure decoded from it say
    what `distance_head` corrects. Decoding has no gradient, so training for 3D leaves `head` as it is.
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        if config.coordinate_head == "pair":
            self.head = nn.Linear(config.pair_hidden_size, 1)
            self.distance_head = RibonanzaNetDistanceHead(config)
        else:
            self.head = nn.Linear(config.hidden_size, 3)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_pair_states: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TertiaryStructureOutput:
        """Predict coordinates.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L, 3), angstrom; rows of NaN or -100 where not resolved. Padding never counts.
            output_pair_states: see `RibonanzaNetModel.forward`.
            **kwargs: see `RibonanzaNetForReactivity.forward`; `num_items_in_batch` counts three for a nucleotide.

        Returns:
            `TertiaryStructureOutput`; the loss is `rna_hf.losses.coordinate_loss`, with the pair state `distance_loss`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        reads_pairs = self.config.coordinate_head == "pair"
        outputs = self._run(
            input_ids, attention_mask, inputs_embeds, output_pair_states, output_last_pair_state=reads_pairs, **kwargs
        )
        states = outputs.last_hidden_state
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, (*states.shape[:2], 3))
        if not reads_pairs:
            coordinates = self.head(states)
            loss = None if labels is None else coordinate_loss(coordinates, labels, num_items)
            return TertiaryStructureOutput(loss=loss, coordinates=coordinates, **shared_outputs(outputs))

        keep = self._nucleotides(states, input_ids, attention_mask)
        distances, log_scales, turns, bodies = self._predict_distances(outputs, keep)
        coordinates = None if self.training else self._embed(distances, log_scales, turns, bodies, keep)
        return TertiaryStructureOutput(
            loss=None if labels is None else distance_loss(distances, log_scales, turns, labels, num_items),
            coordinates=coordinates,
            distances=distances,
            log_scales=log_scales,
            turns=turns,
            **shared_outputs(outputs),
        )

    @torch.inference_mode()
    def sample_coordinates(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, num_samples: int = 5, seed: int = 0
    ) -> Tensor:
        """Predict several different structures of each RNA.

        The first is the model's prediction. The others differ by what the model is unsure of: with the pair state,
        other secondary structures are drawn by the probabilities of pairs, and distances around the predicted ones, so
        that some come out more compact and others more open; without it, dropout stays on. What is drawn depends on the
        seed and the number of the sample alone, not on the batch.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            num_samples: S, at least 1.
            seed: of the draws.

        Returns:
            (B, S, L, 3), float32, angstrom; 0 at padding.

        Raises:
            ValueError: if the model is in training mode or `num_samples` is below 1.
        """
        if self.training:
            raise ValueError("sample_coordinates is for a model in evaluation mode: call model.eval() first")
        if num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}: at least 1 is needed")
        reads_pairs = self.config.coordinate_head == "pair"
        outputs = self._run(input_ids, attention_mask, None, output_last_pair_state=reads_pairs)
        keep = self._nucleotides(outputs.last_hidden_state, input_ids, attention_mask)
        samples = torch.zeros(len(keep), num_samples, keep.shape[1], 3, device=keep.device)
        for number in range(num_samples):
            if reads_pairs:
                drawn = seed + number if number else None
                distances, log_scales, turns, bodies = self._predict_distances(outputs, keep, drawn)
                if drawn is not None:
                    distances = self._redraw(distances, log_scales, keep, drawn)
                samples[:, number] = self._embed(distances, log_scales, turns, bodies, keep)
            elif number:
                samples[:, number] = self._predict_with_dropout(input_ids, attention_mask, keep, seed + number)
            else:
                samples[:, number] = self.head(outputs.last_hidden_state).float() * keep[..., None]
        return samples

    def _predict_distances(
        self, outputs: Any, keep: Tensor, seed: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor, list[list[tuple[Tensor, Tensor]]]]:
        """Return what `distance_head` makes of the helices decoded, or with a seed drawn, and these helices."""
        with torch.no_grad():
            pair_logits = self.head(symmetrise(outputs.last_pair_state))[..., 0]
            prior = helix_prior(pair_logits, keep, self.config.decoding, seed)
        return *self.distance_head(outputs.last_hidden_state, outputs.last_pair_state, prior), prior.bodies

    def _predict_with_dropout(
        self, input_ids: Tensor, attention_mask: Tensor | None, keep: Tensor, seed: int
    ) -> Tensor:
        """Predict RNA by RNA without padding, so that each gets the draws that it would get alone."""
        visible = torch.ones_like(keep) if attention_mask is None else attention_mask != 0
        coordinates = torch.zeros(*keep.shape, 3, device=keep.device)
        self.train()
        try:
            for index, own in enumerate(visible):
                with torch.random.fork_rng([own.device] if own.is_cuda else []):
                    torch.manual_seed(seed)
                    coordinates[index, own] = self(input_ids=input_ids[index : index + 1, own]).coordinates[0].float()
        finally:
            self.eval()
        return coordinates * keep[..., None]

    @staticmethod
    def _redraw(distances: Tensor, log_scales: Tensor, keep: Tensor, seed: int) -> Tensor:
        """Draw distances (B, L, L) around the predicted ones."""
        distances = distances.clone()
        for index, own in enumerate(keep):
            generator = torch.Generator().manual_seed(seed)
            # One number makes the whole more compact or more open, and one for each stretch of the chain that stretch.
            overall = torch.randn((), generator=generator)
            places = torch.randn(int(own.sum()) + SAMPLED_STRETCH - 1, generator=generator)
            places = places.unfold(0, SAMPLED_STRETCH, 1).sum(1) / math.sqrt(SAMPLED_STRETCH)
            draws = (overall + (places[:, None] + places) / 2).flatten().to(distances.device)
            square = own[:, None] & own
            distances[index, square] *= (SAMPLED_SPREAD * draws * log_scales[index, square].exp()).clamp(-1, 1).exp()
        return distances

    @staticmethod
    def _embed(
        distances: Tensor,
        log_scales: Tensor,
        turns: Tensor,
        bodies: list[list[tuple[Tensor, Tensor]]],
        keep: Tensor,
    ) -> Tensor:
        """Find each RNA's trace from its own distances; 0 at padding, <bos> and <eos>."""
        coordinates = distances.new_zeros(*keep.shape, 3)
        for index, own in enumerate(keep):
            square = own[:, None] & own
            length = int(own.sum())
            own_distances, own_scales = (part[index][square].view(length, length) for part in (distances, log_scales))
            weights = (own_distances * own_scales.exp()).pow(-2)
            coordinates[index, own] = embed_distances(own_distances, weights, turns[index, own], bodies[index])
        return coordinates


class _RibonanzaNetForLabels(RibonanzaNetPreTrainedModel):
    """What the general heads share: `num_labels` values and a loss by `problem_type`.

    Without a problem type in the configuration, it is "regression" for one label and "single_label_classification" for
    several; it is never guessed from a batch.
    """

    def __init__(self, config: RibonanzaNetConfig, in_features: int):
        super().__init__(config)
        self.num_labels = int(config.num_labels or 1)
        self.problem_type = problem_type_of(config)
        self.model = RibonanzaNetModel(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(in_features, self.num_labels)
        self.post_init()

    def _loss(self, logits: Tensor, labels: Tensor | None, num_items: Tensor | int | None) -> Tensor | None:
        if labels is None:
            return None
        return task_loss(logits, labels, self.problem_type, num_items)


class RibonanzaNetForSequenceClassification(_RibonanzaNetForLabels):
    """RibonanzaNet with a head for one set of labels a sequence, from the mean state of its nucleotides."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config, config.hidden_size)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        """Return logits (B, labels).

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B,) classes, or (B, labels) numbers, by `config.problem_type`; see `rna_hf.losses.task_loss`.
            **kwargs: see `RibonanzaNetForReactivity.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, **kwargs)
        nucleotides = self._nucleotides(outputs.last_hidden_state, input_ids, attention_mask)
        logits = self.head(self.dropout(mean_over(outputs.last_hidden_state, nucleotides)))
        if labels is not None and labels.shape == (len(logits),) and self.num_labels == 1:
            labels = labels[:, None]
        return SequenceClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class RibonanzaNetForTokenClassification(_RibonanzaNetForLabels):
    """RibonanzaNet with a head for a set of labels a nucleotide."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config, config.hidden_size)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Return logits (B, L, labels).

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L) classes, or (B, L, labels) numbers, by `config.problem_type`. Padding never counts.
            **kwargs: see `RibonanzaNetForReactivity.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.head(self.dropout(outputs.last_hidden_state))
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, logits.shape[: labels.dim()])
        return TokenClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class RibonanzaNetForContactPrediction(_RibonanzaNetForLabels):
    """RibonanzaNet with a head for a set of labels a pair of nucleotides, such as a contact in 3D or a distance."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config, config.pair_hidden_size)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Return logits (B, L, L, labels), symmetric in the two nucleotides.

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L, L) classes, or (B, L, L, labels) numbers, by `config.problem_type`. Padding never counts.
            **kwargs: see `RibonanzaNetForReactivity.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, output_last_pair_state=True, **kwargs)
        logits = self.head(self.dropout(symmetrise(outputs.last_pair_state)))
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, logits.shape[: labels.dim()], 2)
        return TokenClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class RibonanzaNetForMaskedLM(RibonanzaNetPreTrainedModel):
    """RibonanzaNet with a head that fills in masked nucleotides."""

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__(config)
        self.model = RibonanzaNetModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the head, whose rows are the vocabulary's."""
        return self.head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the head, as `resize_token_embeddings` does."""
        self.head = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        """Return logits (B, L, vocabulary).

        Args:
            input_ids: see `RibonanzaNetModel.forward`.
            attention_mask: see `RibonanzaNetModel.forward`.
            inputs_embeds: see `RibonanzaNetModel.forward`.
            labels: (B, L), ids of the original letters; -100 where not masked.
            **kwargs: see `RibonanzaNetForReactivity.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self._run(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.head(outputs.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else masked_cross_entropy(logits, labels, num_items),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
