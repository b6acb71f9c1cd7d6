"""PlantRNA-FM: an encoder in the manner of ESM-2 over the nucleotides of an RNA.

Source: Yu et al. 2024 for PlantRNA-FM; Lin et al. 2023 for ESM-2: pre-norm layers, rotary positions (Su et al. 2021),
token dropout, and a masked-language head whose last matrix is the embedding.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ...layers.attention import eager_attention_forward
from ...layers.pair import OuterProductMean, RelativePosition
from ...layers.plain import is_watched, may_decide
from ..heads import (
    ContactPredictionHead,
    Head,
    MaskedLMHead,
    SecondaryStructureHead,
    SequenceClassificationHead,
    TokenClassificationHead,
    find_nucleotides,
    mean_over,
)
from ..pretrained_mixin import RnaPreTrainedMixin
from .configuration_plantrna_fm import PlantRnaFmConfig
from .published_plantrna_fm import check_shapes, find_published, read_published

# Positions that absolute embeddings keep for padding and the id before it, as ESM numbers them.
RESERVED_POSITIONS = 2


def rotary_frequencies(head_size: int, device: torch.device | None = None) -> Tensor:
    """Return by how much each pair of channels turns from one position to the next, (D / 2,), in radians."""
    exponents = torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size
    return 1.0 / 10000.0**exponents


def rotary_angles(positions: Tensor, head_size: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (..., D) of the angles by which channels turn at positions (...), in float32.

    Source: Su et al. 2021, equation 34, with channels i and i + D / 2 as a pair.
    """
    angles = positions[..., None].float() * rotary_frequencies(head_size, positions.device)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def turn(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the channels of queries or keys (B, heads, L, D) by their positions' angles (1, L, D)."""
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-second, first], dim=-1) * sine


class PlantRnaFmAttention(nn.Module):
    """Self-attention of nucleotides; positions turn queries and keys."""

    is_causal = False

    def __init__(self, config: PlantRnaFmConfig):
        super().__init__()
        self.config = config
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        lengths: list[int] | None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attended states (B, L, H) and, with eager attention, the weights (B, heads, L, L).

        Args:
            hidden_states: (B, L, H); with `lengths` (1, N, H), the sequences of a batch one after the other.
            angles: of the positions, for rotary ones; see `rotary_angles`.
            mask: (B, 1, 1, L), added to the logits; None where nothing is padded.
            lengths: of the sequences one after the other, which sum to N; each attends to itself alone.
        """
        shape = (*hidden_states.shape[:-1], -1, self.config.head_size)
        query, key, value = (
            proj(hidden_states).view(shape).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        query = query / math.sqrt(self.config.head_size)  # before the turn, as ESM-2 does: rounded alike
        if angles is not None:
            cosine, sine = (part.to(query.dtype) for part in angles)
            query, key = turn(query, cosine, sine), turn(key, cosine, sine)
        weights = None
        if lengths is None:
            attended, weights = self._attend(query, key, value, mask, **kwargs)
        else:
            parts = zip(*(part.split(lengths, dim=2) for part in (query, key, value)))
            attended = torch.cat([self._attend(q, k, v, None, **kwargs)[0] for q, k, v in parts], dim=1)
        return self.out_proj(attended.flatten(2)), weights

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Any:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        return attend(
            self,
            query,
            key,
            value,
            mask,
            scaling=1.0,
            dropout=self.config.attention_dropout if self.training else 0.0,
            **kwargs,
        )


class PlantRnaFmLayer(GradientCheckpointingLayer):
    """Attention and feed-forward block, each behind a layer norm and beside a residual."""

    def __init__(self, config: PlantRnaFmConfig):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = PlantRnaFmAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        lengths: list[int] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Tensor:
        """Return the new states (B, L, H); see `PlantRnaFmAttention.forward`."""
        attended, _ = self.attention(self.attention_norm(hidden_states), angles, mask, lengths, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        inner = nn.functional.gelu(self.up_proj(self.feed_forward_norm(hidden_states)))
        return hidden_states + self.dropout(self.down_proj(inner))


class PlantRnaFmPairFeatures(nn.Module):
    """A state for each pair of nucleotides, from their own states: outer product, offset and convolutions.

    A convolution sees neighbouring pairs, that is the stem that a base pair would be part of.
    """

    def __init__(self, config: PlantRnaFmConfig):
        super().__init__()
        size = config.pair_hidden_size
        self.outer_product = OuterProductMean(config.hidden_size, size, size)
        self.relative_position = RelativePosition(size, config.max_relative_position)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.num_pair_layers))
        self.convs = nn.ModuleList(nn.Conv2d(size, size, 3, padding=1) for _ in range(config.num_pair_layers))

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return (B, L, L, C) of (B, L, H); padding is as good as nothing."""
        length = hidden_states.shape[1]
        pair_states = self.relative_position(length, hidden_states.device, hidden_states.dtype)
        pair_states = self.outer_product(hidden_states, pair_states.expand(hidden_states.shape[0], -1, -1, -1))
        keep = None
        if attention_mask is not None:
            keep = (attention_mask != 0).to(hidden_states.dtype)
            keep = keep[:, :, None, None] * keep[:, None, :, None]
        for norm, conv in zip(self.norms, self.convs):
            inner = nn.functional.gelu(norm(pair_states))
            if keep is not None:
                inner = inner * keep
            pair_states = pair_states + conv(inner.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return pair_states


class PlantRnaFmLMHead(nn.Module):
    """The head of a masked language model: a layer of its own, then the embedding's matrix."""

    def __init__(self, config: PlantRnaFmConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Return logits (B, L, vocabulary) of (B, L, H)."""
        return self.decoder(self.norm(nn.functional.gelu(self.dense(hidden_states))))


class PlantRnaFmPreTrainedModel(RnaPreTrainedMixin, PreTrainedModel):
    """Weights, initialisation and capabilities that all PlantRNA-FM models share."""

    config: PlantRnaFmConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["PlantRnaFmLayer"]
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = False
    _can_record_outputs = {"hidden_states": PlantRnaFmLayer, "attentions": PlantRnaFmAttention}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a model as transformers does, also from a folder as PlantRNA-FM or OmniGenome were published.

        Raises:
            ValueError: see `RnaPreTrainedMixin.from_pretrained`; or the folder is of that layout and can't be read.
        """
        folder = find_published(pretrained_model_name_or_path, kwargs)
        if folder is None:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        config, weights = read_published(folder, kwargs.pop("config", None))
        with torch.device("meta"):
            whole = PlantRnaFmForMaskedLM(config)
        check_shapes(weights, {name: tensor.shape for name, tensor in whole.state_dict().items()}, folder)
        return super().from_pretrained(None, *args, config=config, state_dict=weights, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as ESM-2 does: normal weights, biases of 0, norms of 1."""
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding, OuterProductMean)):
            init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Embedding):
                if module.padding_idx is not None:
                    init.zeros_(module.weight[module.padding_idx])
            elif module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, PlantRnaFmModel) and module.config.has_contact_head:
            init.zeros_(module.contact_weight)
            init.zeros_(module.contact_bias)


class PlantRnaFmModel(PlantRnaFmPreTrainedModel):
    """PlantRNA-FM without a head: a state for each nucleotide and special token."""

    contact_weight: Tensor
    contact_bias: Tensor

    def __init__(self, config: PlantRnaFmConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.embed_positions = None
        if config.position_embedding == "absolute":
            self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.embedding_norm = None
        if config.embedding_norm:
            self.embedding_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(PlantRnaFmLayer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if config.has_contact_head:
            maps = config.num_hidden_layers * config.num_attention_heads
            self.register_buffer("contact_weight", torch.zeros(1, maps))
            self.register_buffer("contact_bias", torch.zeros(1))
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Run the model.

        Where sequences are padded and nobody asks for the states between the layers, these run on the nucleotides of
        all sequences one after the other, without the padding between them: the numbers are the same.

        Args:
            input_ids: (B, L), ids of the `plantrna_fm` alphabet, L at least 1.
            attention_mask: (B, L), non-zero at tokens and 0 at padding, of any dtype; read, never written to. None
                means that nothing is padded.
            inputs_embeds: (B, L, H), in place of `input_ids`; token dropout then zeroes nothing.
            **kwargs: `output_hidden_states` and, with eager attention, `output_attentions`.

        Returns:
            `last_hidden_state` (B, L, H), 0 at padding, and `pooler_output` (B, H), its mean over the
            nucleotides, without special tokens and padding.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, if shapes don't fit, if
                attention weights are asked of an attention implementation that has none, or if a sequence is longer
                than absolute positions reach.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if input_ids is not None and input_ids.dim() != 2:
            raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: (batch, length) is needed")
        shape = tuple((input_ids if input_ids is not None else inputs_embeds).shape[:2])  # type: ignore[union-attr]
        if shape[1] == 0:
            raise ValueError("the sequences are empty: at least one nucleotide is needed")
        if attention_mask is not None and tuple(attention_mask.shape) != shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}: {shape} is needed, "
                "one entry for each input position"
            )
        wants_weights, wants_states = (
            getattr(self.config, name) if kwargs.get(name) is None else kwargs[name]
            for name in ("output_attentions", "output_hidden_states")
        )
        if wants_weights and self.config._attn_implementation != "eager":
            raise ValueError(
                f"attention weights are not available with {self.config._attn_implementation!r} attention: "
                'load the model with attn_implementation="eager"'
            )
        keep = None if attention_mask is None else attention_mask != 0
        if keep is not None and may_decide(keep) and bool(keep.all()):
            keep = None
        hidden_states = self._embed(input_ids, inputs_embeds, keep)
        if keep is not None and not (wants_weights or wants_states) and may_decide(keep) and not is_watched(self):
            last_hidden_state = self._run_packed(hidden_states, keep, **kwargs)
        else:
            last_hidden_state = self._run_padded(hidden_states, keep, **kwargs)
        nucleotides = find_nucleotides(self.config, last_hidden_state, input_ids, attention_mask)
        return BaseModelOutputWithPooling(
            last_hidden_state=last_hidden_state, pooler_output=mean_over(last_hidden_state, nucleotides)
        )

    @torch.no_grad()
    def predict_contacts(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the probability of a contact of each two tokens, (B, L - 2, L - 2), as ESM-2 does.

        Source: Rao et al. 2021, "Transformer protein language models are unsupervised structure learners": logistic
        regression on symmetrised attention weights, corrected for the average product. Needs eager attention and
        `config.has_contact_head`.

        Args:
            input_ids: (B, L), with the token at the start of each sequence and that at its end.
            attention_mask: (B, L), non-zero at tokens and 0 at padding.

        Raises:
            ValueError: there is no such head, or no attention weights.
        """
        if not self.config.has_contact_head:
            raise ValueError("this checkpoint has no contact head (has_contact_head is False)")
        keep = torch.ones_like(input_ids) if attention_mask is None else (attention_mask != 0).to(input_ids.dtype)
        keep = keep * (input_ids != self.config.eos_token_id)
        maps = torch.stack(self(input_ids, attention_mask, output_attentions=True).attentions, dim=1).flatten(1, 2)
        maps = (maps * keep[:, None, None] * keep[:, None, :, None])[..., 1:-1, 1:-1]
        maps = maps + maps.transpose(-1, -2)
        sums = maps.sum(-1, keepdim=True)
        maps = maps - sums * sums.transpose(-1, -2) / maps.sum((-1, -2), keepdim=True)
        logits = nn.functional.linear(maps.permute(0, 2, 3, 1), self.contact_weight, self.contact_bias)
        return logits[..., 0].sigmoid()

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None, keep: Tensor | None) -> Tensor:
        """Return the embeddings (B, L, H), 0 at padding."""
        states = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if self.config.token_dropout and input_ids is not None:
            # Source: ESM-2; as in training, where a share of all tokens is masked, by and large.
            is_masked = input_ids == self.config.dropped_token_id
            tokens = states.new_full((), states.shape[1]) if keep is None else keep.sum(1).to(states.dtype)
            seen = (1 - is_masked.sum(1).to(states.dtype) / tokens).clamp(min=torch.finfo(states.dtype).eps)
            states = states.masked_fill(is_masked[..., None], 0.0)
            states = states * (1 - self.config.masked_share) / seen[:, None, None]
        if self.embed_positions is not None:
            states = states + self.embed_positions(self._number(states, keep))
        if self.embedding_norm is not None:
            states = self.embedding_norm(states)
        if keep is not None:
            states = states * keep[..., None]
        return self.dropout(states)

    def _number(self, states: Tensor, keep: Tensor | None) -> Tensor:
        """Return the rows of absolute position embeddings, (B, L)."""
        if keep is None:
            keep = states.new_ones(states.shape[:2], dtype=torch.bool)
        longest = self.config.max_position_embeddings - RESERVED_POSITIONS
        lengths = keep.sum(1)
        if may_decide(lengths) and int(lengths.max()) > longest:
            raise ValueError(
                f"row {int(lengths.argmax())} of the batch (0-based) has {int(lengths.max())} tokens, and this model "
                f"has positions for {longest}: cut longer sequences into windows"
            )
        return keep.cumsum(1) * keep + (RESERVED_POSITIONS - 1)

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.config.position_embedding != "rotary":
            return None
        return rotary_angles(positions[None], self.config.head_size)

    def _run_padded(self, hidden_states: Tensor, keep: Tensor | None, **kwargs: Any) -> Tensor:
        angles = self._angles(torch.arange(hidden_states.shape[1], device=hidden_states.device))
        mask = None
        if keep is not None:
            mask = torch.zeros(keep.shape, dtype=hidden_states.dtype, device=keep.device)
            mask = mask.masked_fill(~keep, torch.finfo(mask.dtype).min)[:, None, None]
        for layer in self.layers:
            hidden_states = layer(hidden_states, angles, mask, **kwargs)
        hidden_states = self.final_norm(hidden_states)
        return hidden_states if keep is None else hidden_states * keep[..., None]

    def _run_packed(self, hidden_states: Tensor, keep: Tensor, **kwargs: Any) -> Tensor:
        """Run the layers on the tokens that are no padding, one sequence after the other."""
        rows, columns = keep.nonzero(as_tuple=True)
        lengths = [length for length in keep.sum(1).tolist() if length]
        positions = torch.cat([torch.arange(length, device=keep.device) for length in lengths])
        angles = self._angles(positions)
        packed = hidden_states[rows, columns][None]
        for layer in self.layers:
            packed = layer(packed, angles, None, lengths, **kwargs)
        packed = self.final_norm(packed)[0]
        return packed.new_zeros(hidden_states.shape).index_put((rows, columns), packed)


class _PairHead(Head):
    """What the heads have in common that read a pair state: they make it themselves."""

    def add_head(self, config: Any) -> None:
        """Add the pair state's modules and the head."""
        super().add_head(config)
        self.pair_features = PlantRnaFmPairFeatures(config)

    def run_trunk(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None, **kwargs: Any
    ) -> Any:
        """Run the base model and return its output, with `last_pair_state`."""
        kwargs.pop("output_last_pair_state", None)
        outputs = super().run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        outputs.last_pair_state = self.pair_features(outputs.last_hidden_state, attention_mask)
        return outputs


class PlantRnaFmForMaskedLM(MaskedLMHead, PlantRnaFmPreTrainedModel):
    """PlantRNA-FM with a head that fills in masked nucleotides."""

    trunk_class = PlantRnaFmModel
    _tied_weights_keys = {"lm_head.decoder.weight": "model.embed_tokens.weight"}

    def add_head(self, config: Any) -> None:
        """Add the head, whose last matrix is the embedding."""
        self.lm_head = PlantRnaFmLMHead(config)

    def get_output_embeddings(self) -> nn.Linear:
        """Return the last layer of the head, whose rows are the vocabulary's."""
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the last layer of the head, as `resize_token_embeddings` does."""
        self.lm_head.decoder = new_embeddings


class PlantRnaFmForSequenceClassification(SequenceClassificationHead, PlantRnaFmPreTrainedModel):
    """PlantRNA-FM with a head for one set of labels a sequence, from the mean state of its nucleotides."""

    trunk_class = PlantRnaFmModel


class PlantRnaFmForTokenClassification(TokenClassificationHead, PlantRnaFmPreTrainedModel):
    """PlantRNA-FM with a head for a set of labels a nucleotide."""

    trunk_class = PlantRnaFmModel


class PlantRnaFmForSecondaryStructure(_PairHead, SecondaryStructureHead, PlantRnaFmPreTrainedModel):
    """PlantRNA-FM with a head for the probability that two nucleotides pair."""

    trunk_class = PlantRnaFmModel


class PlantRnaFmForContactPrediction(_PairHead, ContactPredictionHead, PlantRnaFmPreTrainedModel):
    """PlantRNA-FM with a head for a set of labels a pair of nucleotides."""

    trunk_class = PlantRnaFmModel
