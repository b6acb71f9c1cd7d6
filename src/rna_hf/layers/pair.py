"""The pair track: blocks that read and write a state for each pair of nucleotides, (B, L, L, C).

The blocks are AlphaFold 2's (Jumper et al. 2021, supplement, algorithms 10 to 15) in the form that RibonanzaNet
(He et al. 2024, file `Network.py`) gave them. Throughout, i is the first and j the second pair index.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .attention import cancel_mixed_logits, eager_attention_forward, mask_padded_keys
from .plain import floating_dtype, is_autocast_on

# Values of the biases that a triangle attention holds at a time in inference.
ATTENTION_VALUES = 1 << 24


def shared_axis_dropout(pair_states: Tensor, p: float, axis: int, training: bool) -> Tensor | None:
    """Return the factors of a dropout that is shared along one pair axis: 0 or 1 / (1 - p); None if nothing is dropped.

    Args:
        pair_states: (B, L, L, C), for its shape, dtype and device.
        p: probability of dropping, 0 to 1.
        axis: 1 shares the factors along i ("row dropout", shape (B, 1, L, C)); 2 along j (shape (B, L, 1, C)).
        training: nothing is dropped when False.
    """
    if not training or p == 0:
        return None
    shape = list(pair_states.shape)
    shape[axis] = 1
    return nn.functional.dropout(pair_states.new_ones(shape), p=p)


class RelativePosition(nn.Module):
    """Linear embedding of the clipped offset i - j. Mirrors the original's `relpos`."""

    def __init__(self, pair_hidden_size: int, max_offset: int):
        super().__init__()
        self.max_offset = max_offset
        self.linear = nn.Linear(2 * max_offset + 1, pair_hidden_size)

    def forward(self, length: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Return (1, L, L, C) for a sequence of `length` nucleotides.

        Args:
            length: L.
            device: of the result; the weight's, if omitted.
            dtype: of the result where the linear layer has no parameter of its own, as after quantisation.
        """
        device = device or self.linear.weight.device
        # Autocast would make the state start in its type; all later sums keep the type of the weights.
        dtype = floating_dtype(self.linear, dtype or torch.get_default_dtype())
        position = torch.arange(length, device=device)
        bins = (position[:, None] - position[None, :]).clamp(-self.max_offset, self.max_offset) + self.max_offset
        one_hot = torch.eye(2 * self.max_offset + 1, device=device, dtype=dtype)
        return nn.functional.embedding(bins, self.linear(one_hot).to(device, dtype))[None]


class OuterProductMean(nn.Module):
    """Outer product of the sequence state with itself, projected to the pair width.

    Source: AlphaFold 2, algorithm 10; the original's `Outer_Product_Mean`, which despite its name takes no mean:
    out[i, j, p] = bias[p] + sum over c, d of weight[p, c * D + d] * z[j, c] * z[i, d], with z the projection to D.
    Computed as two matrix products; the (L, L, D * D) tensor of the equation is never made.
    """

    def __init__(self, hidden_size: int, pair_hidden_size: int, projection_size: int):
        super().__init__()
        self.down_proj = nn.Linear(hidden_size, projection_size)
        # Not an nn.Linear: its weight is used in two steps, so an adapter that wraps linear layers must not find it.
        self.weight = nn.Parameter(torch.empty(pair_hidden_size, projection_size * projection_size))
        self.bias = nn.Parameter(torch.empty(pair_hidden_size))

    def forward(self, hidden_states: Tensor, pair_states: Tensor | None = None, in_place: bool = False) -> Tensor:
        """Return the outer product of the sequence state, added to the pair state where there is one: (B, L, L, C).

        Args:
            hidden_states: (B, L, H).
            pair_states: (B, L, L, C).
            in_place: write the result over `pair_states`; without gradients only.
        """
        batch, length, _ = hidden_states.shape
        # Read once: a reparametrised weight is computed each time.
        weight, bias = self.weight, self.bias
        z = self.down_proj(hidden_states)
        pair_size, projection_size = weight.shape[0], z.shape[-1]
        if pair_states is None:
            pair_states, in_place = hidden_states.new_zeros(1).expand(batch, length, length, pair_size), False
        # weight_by_c[c, p * D + d]: the slow index c of the weight belongs to j, the fast index d to i.
        weight_by_c = weight.view(pair_size, projection_size, projection_size).transpose(0, 1)
        of_j = torch.matmul(z, weight_by_c.reshape(projection_size, pair_size * projection_size))
        of_j = of_j.view(batch, length * pair_size, projection_size)
        # The bias rides along as one more column of the product, so that the pair state is read and written once.
        z = nn.functional.pad(z, (0, 1), value=1.0)
        column = bias.to(of_j.dtype).repeat(length)[None, :, None].expand(batch, -1, -1)
        of_j = torch.cat([of_j, column], dim=-1).transpose(1, 2)
        if is_autocast_on(z.device):
            # A sum inside of the product would be rounded to the product's type.
            return pair_states + torch.bmm(z, of_j).view(pair_states.shape)
        pair_states = pair_states.reshape(batch, length, length * pair_size)
        update = pair_states.baddbmm_(z, of_j) if in_place else torch.baddbmm(pair_states, z, of_j)
        return update.view(batch, length, length, pair_size)


class TriangleProjection(nn.Linear):
    """The five linear maps of a triangle update as one product, stacked along the output axis.

    In order: left, right, gate of left, gate of right, gate of the result, each C wide. Fresh gates have weight 0 and
    bias 1 in the original, so that they start at sigmoid(1) whatever their input.
    """

    def __init__(self, pair_hidden_size: int):
        super().__init__(pair_hidden_size, 5 * pair_hidden_size)

    @property
    def first_gate_row(self) -> int:
        """Row of `weight` and `bias` where the gates begin."""
        return 2 * self.in_features


class TriangleUpdate(nn.Module):
    """Multiplicative update of each edge ij from the two other edges of every triangle ijk.

    Source: AlphaFold 2, algorithms 11 and 12; the original's `TriangleMultiplicativeModule`.
    outgoing: out[i, j] = sum over k of left[i, k] * right[j, k].
    ingoing: out[i, j] = sum over k of left[k, j] * right[k, i], as RibonanzaNet has it; algorithm 12 (and
    RibonanzaNet2) has left and right exchanged.
    """

    def __init__(self, pair_hidden_size: int, direction: Literal["outgoing", "ingoing"]):
        super().__init__()
        self.direction = direction
        self.norm = nn.LayerNorm(pair_hidden_size)
        self.in_proj = TriangleProjection(pair_hidden_size)
        self.out_norm = nn.LayerNorm(pair_hidden_size)
        self.out_proj = nn.Linear(pair_hidden_size, pair_hidden_size)

    def forward(self, pair_states: Tensor, scale: Tensor | None = None) -> Tensor:
        """Map (B, L, L, C) to (B, L, L, C).

        Args:
            pair_states: (B, L, L, C).
            scale: (B, L); left and right are multiplied by scale[i] * scale[j]. 1 at nucleotides and 0 at padding
                leaves padding out of the sum over k.
        """
        size = pair_states.shape[-1]
        factors, out_gate = self.in_proj(self.norm(pair_states)).split([4 * size, size], dim=-1)
        factors = nn.functional.glu(factors, dim=-1)
        if scale is not None:
            factors = factors * (scale[:, :, None] * scale[:, None, :])[..., None].to(factors.dtype)
        left, right = factors.permute(0, 3, 1, 2).chunk(2, dim=1)
        if self.direction == "outgoing":
            update = torch.matmul(left, right.transpose(-1, -2))
        else:
            update = torch.matmul(right.transpose(-1, -2), left)
        return self.out_proj(self.out_norm(update.permute(0, 2, 3, 1)) * out_gate.sigmoid())


class TriangleAttention(nn.Module):
    """Attention along one axis of the pair state, biased by the third edge of the triangle.

    Source: AlphaFold 2, algorithms 13 and 14; the original's `TriangleAttention`.
    row: inside row r, position i looks at j, with bias b[i, j] (the original's `triangle_attention_out`).
    column: inside column l, position i looks at j, also with bias b[i, j], where AlphaFold 2 has b[j, i]
    (the original's `triangle_attention_in`).
    """

    is_causal = False

    def __init__(self, config: Any, axis: Literal["row", "column"]):
        super().__init__()
        size = config.pair_hidden_size
        self.config = config
        self.axis = axis
        self.num_heads = config.num_triangle_attention_heads
        self.head_dim = size // self.num_heads
        self.norm = nn.LayerNorm(size)
        self.qkv_proj = nn.Linear(size, 3 * size, bias=False)
        self.bias_proj = nn.Linear(size, self.num_heads, bias=False)
        self.gate_proj = nn.Linear(size, size)
        self.out_proj = nn.Linear(size, size)

    def forward(
        self, pair_states: Tensor, attended_keys: Tensor | None = None, separate_kinds: Tensor | None = None
    ) -> Tensor:
        """Map (B, L, L, C) to (B, L, L, C).

        Args:
            pair_states: (B, L, L, C).
            attended_keys: (B, L), 0 at keys that nobody attends to.
            separate_kinds: (B, L), 1 and 0; the logit between two positions of different kinds becomes 0.
        """
        if self.axis == "column":
            pair_states = pair_states.transpose(1, 2)
        bias = self.bias_proj(self.norm(pair_states))
        # The bias is indexed [query, key] = [i, j] of the pair state for both kinds: undo the exchange for columns.
        bias = (bias if self.axis == "row" else bias.transpose(1, 2)).permute(0, 3, 1, 2)
        if attended_keys is not None:
            bias = mask_padded_keys(bias, attended_keys)
        # Every row brings a bias of L x L: without gradients, which keep them all, a few rows at a time are enough.
        length = pair_states.shape[1]
        step = length
        if not (torch.is_grad_enabled() or torch.compiler.is_compiling()):
            step = min(length, max(1, ATTENTION_VALUES // bias.numel()))
        update = torch.cat([self._attend(rows, bias, separate_kinds) for rows in pair_states.split(step, dim=1)], dim=1)
        return update.transpose(1, 2) if self.axis == "column" else update

    def _attend(self, pair_states: Tensor, bias: Tensor, separate_kinds: Tensor | None) -> Tensor:
        """Attend inside of some rows (B, R, L, C), all with their batch entry's bias (B, heads, L, L)."""
        batch, rows, length, size = pair_states.shape
        states = self.norm(pair_states)
        query, key, value = (
            self.qkv_proj(states)
            .view(batch * rows, length, 3, self.num_heads, self.head_dim)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        bias = bias.repeat_interleave(rows, dim=0)
        if separate_kinds is not None:
            query, key, bias = cancel_mixed_logits(query, key, bias, separate_kinds.repeat_interleave(rows, dim=0))
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        update, _ = attend(self, query, key, value, bias.to(query.dtype), scaling=self.head_dim**-0.5, dropout=0.0)
        update = update.reshape(batch, rows, length, size) * self.gate_proj(states).sigmoid()
        return self.out_proj(update)


class PairTransition(nn.Module):
    """Two-layer network applied to each pair. Source: AlphaFold 2, algorithm 15; the original's `pair_transition`."""

    def __init__(self, pair_hidden_size: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(pair_hidden_size)
        self.up_proj = nn.Linear(pair_hidden_size, expansion * pair_hidden_size)
        self.down_proj = nn.Linear(expansion * pair_hidden_size, pair_hidden_size)

    def forward(self, pair_states: Tensor) -> Tensor:
        """Map (B, L, L, C) to (B, L, L, C)."""
        return self.down_proj(nn.functional.relu(self.up_proj(self.norm(pair_states))))
