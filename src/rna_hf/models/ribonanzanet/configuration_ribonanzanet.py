"""Configuration of RibonanzaNet."""

import dataclasses
import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from ...layers.pair import ATTENTION_VALUES
from ..base import RnaConfig

# Values held at the peak of a forward pass, per pair of nucleotides and channel of the pair state: without triangular
# attention (the state, and what a step makes of it) and with it; and per value of the biases that the latter holds at a
# time. What the blocks of the pair track and the libraries take is about the same for all sizes.
VALUES_PER_PAIR_CHANNEL = 3.2
VALUES_PER_ATTENDED_PAIR_CHANNEL = 7.0
VALUES_PER_BIAS = 1.5
FIXED_BYTES = 32_000_000
FIXED_BYTES_ATTENDED = 18_000_000


@strict
class RibonanzaNetConfig(RnaConfig):
    """Sizes and behaviour of a RibonanzaNet. The defaults are the released model's, quirks included.

    Source: He et al. 2024, "Ribonanza: deep learning of RNA structure through dual crowdsourcing"; original
    repository Shujun-He/RibonanzaNet.

    Args:
        vocab_size: rows of the embedding; the `ribonanzanet` alphabet has 9 (A C G U <pad> N <mask> <bos> <eos>).
        hidden_size: width of the sequence track.
        num_hidden_layers: number of layers.
        num_attention_heads: heads of the self-attention; must divide `hidden_size`.
        intermediate_size: inner width of the feed-forward block; 4 x `hidden_size` if None.
        pair_hidden_size: width of the pair track; a multiple of `num_triangle_attention_heads` with triangular
            attention.
        kernel_size: kernel of the convolution in each layer but the last, which has 1; odd.
        use_triangular_attention: adds row and column attention to the pair track.
        num_triangle_attention_heads: heads of each triangular attention.
        outer_product_size: width to which the sequence state is projected before the outer product.
        max_relative_position: offsets i - j are clipped to plus and minus this many nucleotides.
        hidden_dropout: probability of dropout on both tracks, attention weights excepted.
        attention_dropout: probability of dropping an attention weight; 0.1 in the original whatever its `dropout`.
        fix_attention_mask: False: padding leaks into nucleotides as in the original (see `padding_quirk`). True: each
            sequence gives the same output alone, padded and in any batch.
        fix_attention_residual: False: the original's attention path is applied twice, norm1(x + block(x)) with
            block(x) = norm(x + attention(x)). True: the block's own path alone.
        fix_pairwise_dropout: False: both triangle updates drop with a mask of shape (B, 1, L, C), as the original
            does. True: the ingoing one with (B, L, 1, C).
        padding_quirk: the original's behaviour to keep while `fix_attention_mask` is off: that with a "float" (or
            long) mask, in which the logit between a nucleotide and a pad becomes 0 and pads change sign in later
            layers, or that with a "bool" mask, in which nothing is masked after the first layer's input.
        pair_block_size: pairs of nucleotides that a step of the pair track takes at a time; None chooses from the
            sizes, 0 computes each step whole, in plain PyTorch. The numbers are the same.
        pair_kernels: what computes the forward of the pair track's steps: "torch"; "triton" (needs a CUDA device and
            `pip install 'rna-hf[triton]'`); or "auto", which is Triton on CUDA devices of compute capability 8.0 or
            more where it is installed. Without effect where `pair_block_size` is 0. The numbers are the same, but for
            rounding.
        channels: names of the values that the reactivity head predicts for each nucleotide, in order.
        label_range: reactivity labels are clipped to this range in the loss; None leaves them as they are.
        min_signal_to_noise: profiles under this signal-to-noise ratio don't count in the loss, where it is given.
        degradation_targets: names of the values that the degradation head predicts for each nucleotide, in order.
        predict_reactivity: the secondary structure head also predicts the reactivity of `channels`.
        pair_threshold: base pairs whose predicted probability is not above it are left out of a decoded structure, also
            of that which the 3D head starts from.
        pair_weight: how much base pairs count against unpaired nucleotides in decoding; see
            `rna_hf.structure.decode_pairs`.
        coordinate_head: what the 3D head reads: "sequence", the sequence state alone, as the original; or "pair", the
            pair state, from which it decodes helices and corrects the distances that they let expect. Start that from
            a checkpoint of the secondary structure head, whose weights decode them and are not trained for 3D.
        head_dropout: probability of dropout before the head, where the head reads the pair state or classifies.
        training_min_length: shortest sequence seen in training, nucleotides; used for a warning only.
        training_max_length: longest sequence seen in training, nucleotides; used for a warning only.
        unmeasured_5prime: nucleotides at the 5' end that were measured in no RNA of the training; for a warning only.
        unmeasured_3prime: the same at the 3' end.
        pad_token_id: id of padding; its embedding is zero and never trained.
        bos_token_id: id at the start of a sequence; None: not added, as in the original.
        eos_token_id: id at the end of a sequence; None: not added, as in the original.
    """

    model_type = "ribonanzanet"
    keys_to_ignore_at_inference = ["hidden_states", "pair_states", "attentions"]

    vocab_size: int = 9
    hidden_size: int = 256
    num_hidden_layers: int = 9
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    pair_hidden_size: int = 64
    kernel_size: int = 5
    use_triangular_attention: bool = False
    num_triangle_attention_heads: int = 4
    outer_product_size: int = 32
    max_relative_position: int = 8
    hidden_dropout: float | int = 0.05
    attention_dropout: float | int = 0.1
    fix_attention_mask: bool = False
    fix_attention_residual: bool = False
    fix_pairwise_dropout: bool = False
    padding_quirk: Literal["float", "bool"] = "float"
    pair_block_size: int | None = None
    pair_kernels: Literal["auto", "torch", "triton"] = "torch"
    channels: list[str] = dataclasses.field(default_factory=lambda: ["2A3", "DMS"])
    label_range: list[float | int] | None = dataclasses.field(default_factory=lambda: [0.0, 1.0])
    min_signal_to_noise: float | int = 1.0
    degradation_targets: list[str] = dataclasses.field(
        default_factory=lambda: ["reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C"]
    )
    predict_reactivity: bool = False
    pair_threshold: float | int = 0.5
    pair_weight: float | int = 1.0
    coordinate_head: Literal["sequence", "pair"] = "sequence"
    pad_token_id: int | None = 4

    def __post_init__(self, **kwargs: Any) -> None:
        if "pairwise_size" in kwargs:
            raise ValueError(
                "this configuration is in the format of the package multimolecule, whose weights have other names: "
                "convert the folder first (rna-hf convert ribonanzanet --checkpoint FOLDER --output NEW_FOLDER)"
            )
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        super().__post_init__(**kwargs)

    @property
    def decoding(self) -> dict[str, float]:
        """Options of `rna_hf.structure.decode_pairs`."""
        return {"threshold": self.pair_threshold, "pair_weight": self.pair_weight}

    @property
    def masks_padding(self) -> bool:
        """Whether a sequence gives the same output alone, padded and in any batch: not with the original's quirk."""
        return self.fix_attention_mask

    def forward_cost(self, batch: int, length: int, itemsize: int) -> int:
        """Bytes at the peak of a forward pass; see `RnaConfig.forward_cost`."""
        pairs = batch * length * length
        if not self.use_triangular_attention:
            # The bias of the attention has a value for each head.
            values = pairs * (self.pair_hidden_size * VALUES_PER_PAIR_CHANNEL + self.num_attention_heads)
            return FIXED_BYTES + int(values * itemsize)
        biases = pairs * self.num_triangle_attention_heads
        biases = min(biases * length, max(biases, ATTENTION_VALUES))
        values = pairs * self.pair_hidden_size * VALUES_PER_ATTENDED_PAIR_CHANNEL + biases * VALUES_PER_BIAS
        return FIXED_BYTES_ATTENDED + int(values * itemsize)

    def validate_sizes(self) -> None:
        """Refuse sizes that the layers can't be built with."""
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "pair_hidden_size",
            "kernel_size",
            "num_triangle_attention_heads",
            "outer_product_size",
            "max_relative_position",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.pair_block_size is not None and self.pair_block_size < 0:
            raise ValueError(
                f"pair_block_size is {self.pair_block_size}: give a number of pairs, 0 for no blocks, or None"
            )
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}: it must be odd, or the length would change")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.use_triangular_attention and self.pair_hidden_size % self.num_triangle_attention_heads:
            raise ValueError(
                f"pair_hidden_size {self.pair_hidden_size} is not a multiple of num_triangle_attention_heads "
                f"{self.num_triangle_attention_heads}, as triangular attention needs"
            )
        if self.pad_token_id is not None and not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"pad_token_id {self.pad_token_id} is outside of the vocabulary of {self.vocab_size}; "
                "choose an id below vocab_size, or None for no padding token"
            )

    def validate_rates(self) -> None:
        """Refuse probabilities outside of [0, 1)."""
        for name in ("hidden_dropout", "attention_dropout", "head_dropout", "pair_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0 and below 1")
        if not 0 < self.pair_weight < math.inf:
            raise ValueError(f"pair_weight is {self.pair_weight}: it must be above 0")

    def validate_channels(self) -> None:
        """Refuse nameless or repeated channels."""
        for field in ("channels", "degradation_targets"):
            names = getattr(self, field)
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{field} are {names}: name at least one, each only once")
        if self.label_range is not None and (len(self.label_range) != 2 or self.label_range[0] >= self.label_range[1]):
            raise ValueError(f"label_range is {self.label_range}: give [lowest, highest] or None")
