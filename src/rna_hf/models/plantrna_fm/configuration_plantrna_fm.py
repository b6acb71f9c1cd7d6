"""Configuration of PlantRNA-FM."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from ..base import RnaConfig

# Values held at the peak of a forward pass without gradients, per nucleotide and channel: the state, what a step makes
# of it and the inner ones; and what the libraries take, whatever the length.
VALUES_PER_CHANNEL = 9.0
FIXED_BYTES = 4_000_000
# And per pair of nucleotides and channel of the pair state, with the heads that make one.
VALUES_PER_PAIR_CHANNEL = 4.0
FIXED_PAIR_BYTES = 45_000_000
PAIR_HEADS = ("SecondaryStructure", "ContactPrediction")


@strict
class PlantRnaFmConfig(RnaConfig):
    """Sizes and behaviour of a PlantRNA-FM: an encoder in the manner of ESM-2, with rotary positions and pre-norm.

    Source: Yu et al. 2024, "An interpretable RNA foundation model for exploring functional RNA motifs in plants"
    (checkpoint yangheng/PlantRNA-FM); Lin et al. 2023 for ESM-2. Sizes of a published checkpoint come from its own
    configuration.

    Args:
        vocab_size: rows of the embedding; the `plantrna_fm` alphabet has 24.
        hidden_size: width.
        num_hidden_layers: number of layers.
        num_attention_heads: heads of the self-attention; must divide `hidden_size`, with an even quotient.
        intermediate_size: inner width of the feed-forward block.
        position_embedding: "rotary", for any length, or "absolute", for `max_position_embeddings` at most.
        max_position_embeddings: positions of absolute embeddings, of which two are for padding and the like; without
            effect with rotary ones.
        embedding_norm: a layer norm on the embeddings.
        layer_norm_eps: added to the variance of each layer norm.
        token_dropout: embeddings of masked nucleotides are zero, and the others are scaled as if each sequence had the
            share of them that training has.
        masked_share: that share: 15 % chosen, 80 % of them masked.
        fix_mask_token: True: token dropout zeroes `mask_token_id`. False: `published_mask_token_id`, as the published
            configuration has it, which is the letter U.
        published_mask_token_id: see `fix_mask_token`.
        hidden_dropout: probability of dropout of states.
        attention_dropout: probability of dropping an attention weight.
        head_dropout: probability of dropout before a head that classifies.
        has_contact_head: the base model holds ESM-2's logistic regression from attention weights to contacts, as
            published; see `PlantRnaFmModel.predict_contacts`. It is not trained.
        pair_hidden_size: width of the pair state of the heads that read one.
        num_pair_layers: residual convolutions on that pair state.
        max_relative_position: offsets i - j in that pair state are clipped to plus and minus this many nucleotides.
        pair_threshold: base pairs whose predicted probability is not above it are left out of a decoded structure.
        pair_weight: how much base pairs count against unpaired nucleotides in decoding; see
            `rna_hf.structure.decode_pairs`.
        initializer_range: standard deviation of fresh weights.
        training_min_length: shortest sequence seen in training, nucleotides; used for a warning only.
        training_max_length: longest sequence seen in training, nucleotides; used for a warning only.
        unmeasured_5prime: nucleotides at the 5' end that were measured in no RNA of the training; for a warning only.
        unmeasured_3prime: the same at the 3' end.
        pad_token_id: id of padding.
        mask_token_id: id of a masked nucleotide.
        bos_token_id: id at the start of a sequence.
        eos_token_id: id at the end of a sequence.
    """

    model_type = "plantrna_fm"
    keys_to_ignore_at_inference = ["hidden_states", "attentions"]

    vocab_size: int = 24
    hidden_size: int = 480
    num_hidden_layers: int = 12
    num_attention_heads: int = 24
    intermediate_size: int = 1920
    position_embedding: Literal["rotary", "absolute"] = "rotary"
    max_position_embeddings: int = 1026
    embedding_norm: bool = False
    layer_norm_eps: float = 1e-5
    token_dropout: bool = True
    masked_share: float = 0.12
    fix_mask_token: bool = True
    published_mask_token_id: int = 9
    hidden_dropout: float | int = 0.0
    attention_dropout: float | int = 0.0
    has_contact_head: bool = False
    pair_hidden_size: int = 32
    num_pair_layers: int = 2
    max_relative_position: int = 16
    pair_threshold: float | int = 0.5
    pair_weight: float | int = 1.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 1
    mask_token_id: int = 23
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2

    @property
    def predict_reactivity(self) -> bool:
        """Whether the head for secondary structure predicts reactivity too: not here."""
        return False

    @property
    def decoding(self) -> dict[str, float]:
        """Options of `rna_hf.structure.decode_pairs`."""
        return {"threshold": self.pair_threshold, "pair_weight": self.pair_weight}

    @property
    def dropped_token_id(self) -> int:
        """Id of the token whose embeddings token dropout sets to zero."""
        return self.mask_token_id if self.fix_mask_token else self.published_mask_token_id

    @property
    def head_size(self) -> int:
        """Width of an attention head."""
        return self.hidden_size // self.num_attention_heads

    def forward_cost(self, batch: int, length: int, itemsize: int) -> int:
        """Bytes at the peak of a forward pass; see `RnaConfig.forward_cost`."""
        fixed = FIXED_BYTES
        values = batch * length * (self.hidden_size * VALUES_PER_CHANNEL + 2 * self.intermediate_size)
        if any(name.endswith(PAIR_HEADS) for name in self.architectures or ()):
            fixed += FIXED_PAIR_BYTES
            values += batch * length * length * self.pair_hidden_size * VALUES_PER_PAIR_CHANNEL
        return fixed + int(values * itemsize)

    def validate_sizes(self) -> None:
        """Refuse sizes that the layers can't be built with."""
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "pair_hidden_size",
            "max_relative_position",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.num_pair_layers < 0:
            raise ValueError(f"num_pair_layers is {self.num_pair_layers}: it must be at least 0")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.position_embedding == "rotary" and self.head_size % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} over num_attention_heads {self.num_attention_heads} is odd: rotary "
                "positions turn channels two by two"
            )
        for name in ("pad_token_id", "mask_token_id", "published_mask_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < self.vocab_size:
                raise ValueError(f"{name} {value} is outside of the vocabulary of {self.vocab_size}")

    def validate_rates(self) -> None:
        """Refuse probabilities outside of [0, 1)."""
        for name in ("hidden_dropout", "attention_dropout", "head_dropout", "masked_share", "pair_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0 and below 1")
