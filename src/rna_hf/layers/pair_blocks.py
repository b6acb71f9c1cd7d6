"""The pair track's steps in blocks of pairs, with a backward that computes each block again.

The pair state (B, L, L, C) is large and the work per value small, so what counts is how often it passes through memory.
Each step here reads it in blocks that stay in the processor's cache, keeps little but its input for the backward, and
holds at most the two factors of a triangle product beside the state. The modules in `pair.py` give the same numbers in
plain PyTorch; they say what is computed. Where Triton is in use, its kernels in `pair_triton.py` take each step's
forward whole; the backward goes by blocks all the same.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import layer_norm

from ..allocator import keep_freed_buffers
from .pair import PairTransition, TriangleProjection, TriangleUpdate
from .plain import is_plain
from .products import gate, gate_by_product, matmul, product, uses_onednn

# Bytes of a block's widest intermediate: what a processor's cache holds, but enough to outweigh the calls.
_BLOCK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}
# Layers that the steps in blocks know.
_PLAIN_LAYERS = (nn.Linear, nn.LayerNorm, TriangleProjection, TriangleUpdate, PairTransition)
# Bytes of a pair state up to which training keeps intermediates rather than compute them again.
_KEPT_BYTES = 12 << 20
# Bytes of a pair state up to which training keeps the factors of a triangle product, and the product.
_KEPT_FACTORS_BYTES = 64 << 20
# Bytes of one group of channels in a triangle product.
_PRODUCT_BYTES = 8 << 20
# Nucleotides from which one channel's matrices are worth a call of their own.
_LARGE_LENGTH = 384
# Values between two channels' matrices: at distances of powers of 2, all compete for the same lines of a cache.
_CHANNEL_GAP = 16


# What computes the forward of each step; see `kernels_for`.
PairKernels = Literal["auto", "torch", "triton"]


class TriangleWeights(NamedTuple):
    """Parameters of a triangle update; see `TriangleUpdate` for their names and shapes."""

    norm_weight: Tensor
    norm_bias: Tensor
    in_weight: Tensor
    in_bias: Tensor
    out_norm_weight: Tensor
    out_norm_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor


class _Block(NamedTuple):
    """A run of pairs that lie next to each other: whole batch entries, or rows of one.

    Attributes:
        batch: of the batch entries.
        rows: of the first pair index.
        pairs: of the pairs counted through, B * L * L in all.
    """

    batch: slice
    rows: slice
    pairs: slice


def _blocks(batch: int, length: int, block_size: int) -> Iterator[_Block]:
    entry = length * length
    if entry <= block_size:
        step = block_size // entry
        for first in range(0, batch, step):
            last = min(first + step, batch)
            yield _Block(slice(first, last), slice(0, length), slice(first * entry, last * entry))
        return
    step = max(1, block_size // length)
    for index in range(batch):
        for first in range(0, length, step):
            last = min(first + step, length)
            start = index * entry
            yield _Block(
                slice(index, index + 1), slice(first, last), slice(start + first * length, start + last * length)
            )


def pairs_per_block(pair_states: Tensor, width: int, override: int | None = None) -> int:
    """Return how many pairs a block holds.

    Args:
        pair_states: (B, L, L, C); its device and dtype decide.
        width: values per pair of the widest intermediate.
        override: a number of pairs to take instead.
    """
    if override:
        return override
    if pair_states.device.type == "cpu":
        keep_freed_buffers(torch.is_grad_enabled())
    size = _BLOCK_BYTES.get(pair_states.device.type, _BLOCK_BYTES["cuda"])
    if torch.is_grad_enabled():
        size *= 2  # more calls go with each block
    return max(256, size // (width * pair_states.element_size()))


class Workspace:
    """What the steps of one forward pass without gradients share: leave to write over the pair state, and a buffer.

    The buffer holds a triangle product's factors. For a fresh one in each layer the system would map its pages anew.
    """

    def __init__(self) -> None:
        self._buffer: Tensor | None = None

    def channels(self, number: int, like: Tensor, dtype: torch.dtype, kernels: ModuleType | None) -> Tensor:
        """Return memory for channels of (B, L, L), the same at each call where it is large enough.

        Args:
            number: of channels.
            like: (B, L, L, any), for its sizes and device.
            dtype: of the values.
            kernels: that will use it; they need channels without gaps.
        """
        pairs = math.prod(like.shape[:3])
        row = pairs + (_CHANNEL_GAP if kernels is None else 0)
        count = number * row
        buffer = self._buffer
        if buffer is None or buffer.numel() < count or buffer.dtype != dtype or buffer.device != like.device:
            self._buffer = buffer = like.new_empty(count, dtype=dtype)
        return buffer[:count].view(number, row)[:, :pairs].view(number, *like.shape[:3])


class _Autocast(NamedTuple):
    """The autocast state of a forward pass, for its backward."""

    device_type: str
    enabled: bool
    dtype: torch.dtype

    @classmethod
    def now(cls, tensor: Tensor) -> _Autocast:
        kind = tensor.device.type
        return cls(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))

    def product_dtype(self, states: Tensor) -> torch.dtype:
        """Return the type of a matrix product of states."""
        return self.dtype if self.enabled else states.dtype

    def again(self) -> torch.autocast:
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled, cache_enabled=False)


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def kernels_for(pair_states: Tensor, choice: PairKernels, num_heads: int = 1) -> ModuleType | None:
    """Return the module with the Triton kernels where they are to be used, None where PyTorch is.

    Args:
        pair_states: (B, L, L, C); PyTorch is used for sizes and types that the kernels can't do.
        choice: "auto": Triton on CUDA devices of compute capability 8.0 or more if it is installed; "torch": never;
            "triton": always.
        num_heads: of an attention bias.

    Raises:
        ImportError: for "triton", if the package is missing.
        ValueError: for "triton", if the pair state is not on a CUDA device and Triton's interpreter is off.
    """
    if choice == "torch":
        return None
    is_cuda = pair_states.device.type == "cuda"
    if choice == "auto" and not (
        is_cuda and _has_triton() and torch.cuda.get_device_capability(pair_states.device) >= (8, 0)
    ):
        return None
    if not _has_triton():
        raise ImportError("pair_kernels is 'triton', but the package triton is missing: pip install 'rna-hf[triton]'")
    from . import pair_triton

    if not is_cuda and not pair_triton.IS_INTERPRETED:
        raise ValueError(
            f"pair_kernels is 'triton', but the pair state is on {pair_states.device.type!r}: move the model to a CUDA "
            "device, choose pair_kernels='auto' or 'torch', or set TRITON_INTERPRET=1 before Python starts (for tests)"
        )
    dtype = _Autocast.now(pair_states).product_dtype(pair_states)
    return pair_triton if pair_triton.supports(pair_states, dtype, num_heads) else None


class _BlockGradients:
    """Runs a step's function on one block after the other, backwards, and sums the gradients of its weights."""

    def __init__(self, function: Callable[..., Tensor], weights: Sequence[Tensor]):
        self.function = function
        self.weights = [weight.detach().requires_grad_() for weight in weights]
        self.sums = [
            torch.zeros(w.shape, device=w.device, dtype=torch.promote_types(w.dtype, torch.float32)) for w in weights
        ]

    def of_block(self, inputs: Sequence[Tensor], constants: Sequence[Tensor | None], grad: Tensor) -> list[Tensor]:
        """Return the gradients of a block's inputs, given that of its output."""
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        with torch.enable_grad():
            output = self.function(*inputs, *constants, *self.weights)
            grads = torch.autograd.grad(output, [*inputs, *self.weights], grad.to(output.dtype))
        for total, part in zip(self.sums, grads[len(inputs) :]):
            total += part
        return list(grads[: len(inputs)])

    def of_weights(self) -> list[Tensor]:
        return [total.to(weight.dtype) for total, weight in zip(self.sums, self.weights)]


# -- Triangle update ---------------------------------------------------------------------------------------------------


def _triangle_factors(normed: Tensor, scale: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
    """Left and right factor, channels first (2 C, N), from normed states (N, C)."""
    size = normed.shape[-1]
    values = product(weight[: 2 * size], normed).add_(bias[: 2 * size, None])
    gates = product(weight[2 * size :], normed).add_(bias[2 * size :, None])
    factors = gate(values, gates)
    return factors if scale is None else factors * scale


def _triangle_output(
    update: Tensor,
    normed: Tensor,
    scale: Tensor | None,
    gate_weight: Tensor,
    gate_bias: Tensor,
    out_norm_weight: Tensor,
    out_norm_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
) -> Tensor:
    """What the states gain (N, C) from the triangle product, channels first (C, N), behind a gate."""
    update = layer_norm(update.t(), normed.shape[-1:], out_norm_weight, out_norm_bias)
    gained = product(gate_by_product(update, normed, gate_weight, gate_bias), out_weight, out_bias)
    return gained if scale is None else gained * scale


def _block_factors(
    states: Tensor, scale: Tensor | None, norm_weight: Tensor, norm_bias: Tensor, *weights: Tensor
) -> Tensor:
    """`_triangle_factors` from the states of a block."""
    return _triangle_factors(layer_norm(states, states.shape[-1:], norm_weight, norm_bias), scale, *weights)


def _block_output(
    update: Tensor, states: Tensor, scale: Tensor | None, norm_weight: Tensor, norm_bias: Tensor, *weights: Tensor
) -> Tensor:
    """`_triangle_output` from the states of a block."""
    return _triangle_output(update, layer_norm(states, states.shape[-1:], norm_weight, norm_bias), scale, *weights)


def _factor_weights(w: TriangleWeights) -> tuple[Tensor, ...]:
    size = w.in_weight.shape[1]
    return w.norm_weight, w.norm_bias, w.in_weight[: 4 * size], w.in_bias[: 4 * size]


def _output_weights(w: TriangleWeights) -> tuple[Tensor, ...]:
    size = w.in_weight.shape[1]
    return (w.norm_weight, w.norm_bias, w.in_weight[4 * size :], w.in_bias[4 * size :], *w[4:])


def _multiply(left: Tensor, right: Tensor, transposed: tuple[bool, bool], out: Tensor) -> None:
    """Multiply matrices (C, B, L, L) channel by channel into `out`, which may be `left` or `right`.

    Args:
        left: (C, B, L, L).
        right: (C, B, L, L).
        transposed: whether the left and the right matrices are taken transposed.
        out: (C, B, L, L).
    """
    channels, batch, length, _ = left.shape
    left, right = (x.transpose(-1, -2) if flip else x for x, flip in zip((left, right), transposed))
    if length >= _LARGE_LENGTH and not transposed[0] and left.dtype == torch.float32 and uses_onednn(left):
        for channel in range(channels):
            for entry in range(batch):
                out[channel, entry] = matmul(left[channel, entry], right[channel, entry])
        return
    group = max(1, _PRODUCT_BYTES // (length * length * left.element_size()))
    for entry in range(batch):
        for first in range(0, channels, group):
            part = slice(first, first + group)
            out[part, entry] = torch.bmm(left[part, entry], right[part, entry])


def _multiply_factors(left: Tensor, right: Tensor, direction: Literal["outgoing", "ingoing"], out: Tensor) -> None:
    """Triangle product of the factors (C, B, L, L) into `out`, which may be `left`."""
    if direction == "outgoing":
        _multiply(left, right, (False, True), out)  # sum over k of left[i, k] * right[j, k]
    else:
        _multiply(right, left, (True, False), out)  # sum over k of right[k, i] * left[k, j]


class _TriangleUpdate(torch.autograd.Function):
    """Triangle update with its residual. Keeps its input; the backward computes the factors again if they are large."""

    @staticmethod
    def forward(
        ctx: Any,
        pair_states: Tensor,
        scale: Tensor | None,
        dropout: Tensor | None,
        direction: Literal["outgoing", "ingoing"],
        block_size: int,
        workspace: Workspace | None,
        kernels: ModuleType | None,
        *weights: Tensor,
    ) -> Tensor:
        ctx.direction, ctx.block_size, ctx.kernels = direction, block_size, kernels
        ctx.autocast = _Autocast.now(pair_states)
        w = TriangleWeights(*weights)
        batch, length, _, size = pair_states.shape
        states = pair_states.reshape(-1, size)
        factors = _all_factors(pair_states, scale, w, block_size, kernels, workspace)
        left, right = factors.chunk(2)
        is_kept = workspace is None and any(ctx.needs_input_grad) and pair_states.nbytes <= _KEPT_FACTORS_BYTES
        of_product = Workspace().channels(size, pair_states, left.dtype, kernels) if is_kept else left
        _multiply_factors(left, right, direction, out=of_product)
        kept = (factors, of_product) if is_kept else (None, None)
        ctx.save_for_backward(pair_states, scale, dropout, *kept, *weights)
        update = of_product.view(size, -1)
        result = _result_like(pair_states, workspace)
        new_states = result.view(-1, size)
        if kernels is not None:
            kernels.triangle_output(update, states, dropout, length, *_output_weights(w), out=new_states)
        else:
            for block in _blocks(batch, length, block_size):
                part = block.pairs
                of_dropout = _dropout_of(dropout, block, length)
                gained = _block_output(update[:, part], states[part], of_dropout, *_output_weights(w))
                torch.add(states[part], gained, out=new_states[part])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (grad,) = grads
        pair_states, scale, dropout, factors, product_of_factors, *weights = ctx.saved_tensors
        w = TriangleWeights(*weights)
        batch, length, _, size = pair_states.shape
        states, grad = pair_states.reshape(-1, size), grad.reshape(-1, size)

        def new_channels(number: int) -> Tensor:
            return Workspace().channels(number, pair_states, ctx.autocast.product_dtype(pair_states), ctx.kernels)

        with ctx.autocast.again():
            if factors is None:
                factors = _all_factors(pair_states, scale, w, ctx.block_size, ctx.kernels)
            left, right = factors.chunk(2)
            if product_of_factors is None:
                product_of_factors = new_channels(size)
                _multiply_factors(left, right, ctx.direction, out=product_of_factors)

            update, of_product = product_of_factors.view(size, -1), new_channels(size)
            of_update = of_product.view(size, -1)
            of_states = torch.empty_like(grad)
            of_output = _BlockGradients(_block_output, _output_weights(w))
            for block in _blocks(batch, length, ctx.block_size):
                part = block.pairs
                of_update[:, part], of_gate = of_output.of_block(
                    (update[:, part], states[part]), (_dropout_of(dropout, block, length),), grad[part]
                )
                torch.add(grad[part], of_gate, out=of_states[part])
            del product_of_factors, update

            of_factors_of_product = new_channels(2 * size)
            of_left, of_right = of_factors_of_product.chunk(2)
            if ctx.direction == "outgoing":
                _multiply(of_product, left, (True, False), out=of_right)
                _multiply(of_product, right, (False, False), out=of_left)
            else:
                _multiply(left, of_product, (False, True), out=of_right)
                _multiply(right, of_product, (False, False), out=of_left)
            del factors, left, right, of_product, of_update
            of_all_factors = of_factors_of_product.view(2 * size, -1)
            of_factors = _BlockGradients(_block_factors, _factor_weights(w))
            for block in _blocks(batch, length, ctx.block_size):
                part = block.pairs
                (gained,) = of_factors.of_block((states[part],), (_scale_of(scale, block),), of_all_factors[:, part])
                of_states[part] += gained
        return (
            of_states.view(pair_states.shape),
            *[None] * 6,
            *_merge_triangle_gradients(of_factors.of_weights(), of_output.of_weights()),
        )


def _merge_triangle_gradients(of_factors: list[Tensor], of_output: list[Tensor]) -> TriangleWeights:
    """Put the gradients of the two halves of a triangle update together; both read the first norm and `in_proj`."""
    norm_weight, norm_bias, in_weight, in_bias = of_factors
    return TriangleWeights(
        norm_weight + of_output[0],
        norm_bias + of_output[1],
        torch.cat([in_weight, of_output[2]]),
        torch.cat([in_bias, of_output[3]]),
        *of_output[4:],
    )


def _result_like(pair_states: Tensor, workspace: Workspace | None) -> Tensor:
    if workspace is not None and pair_states.is_contiguous():
        return pair_states
    return torch.empty_like(pair_states, memory_format=torch.contiguous_format)


def _all_factors(
    pair_states: Tensor,
    scale: Tensor | None,
    w: TriangleWeights,
    block_size: int,
    kernels: ModuleType | None,
    workspace: Workspace | None = None,
) -> Tensor:
    """Return left and right, one after the other, (2 C, B, L, L)."""
    batch, length, _, size = pair_states.shape
    states = pair_states.reshape(-1, size)
    dtype = _Autocast.now(states).product_dtype(states)
    result = (workspace or Workspace()).channels(2 * size, pair_states, dtype, kernels)
    factors = result.view(2 * size, -1)
    if kernels is not None:
        kernels.triangle_factors(states, scale, *_factor_weights(w), out=factors)
    else:
        for block in _blocks(batch, length, block_size):
            part = block.pairs
            factors[:, part] = _block_factors(states[part], _scale_of(scale, block), *_factor_weights(w))
    return result


def _scale_of(scale: Tensor | None, block: _Block | None = None) -> Tensor | None:
    """Return scale[i] * scale[j] of a block's pairs (N,), or of all."""
    if scale is None:
        return None
    batch, rows = (slice(None), slice(None)) if block is None else (block.batch, block.rows)
    return (scale[batch, rows, None] * scale[batch, None, :]).reshape(-1)


def _dropout_of(dropout: Tensor | None, block: _Block, length: int) -> Tensor | None:
    """Return the dropout factors (N, C) of a block's pairs from those of all, of shape (B, 1, L, C) or (B, L, 1, C)."""
    if dropout is None:
        return None
    size = dropout.shape[-1]
    shape = (block.batch.stop - block.batch.start, block.rows.stop - block.rows.start, length, size)
    rows = block.rows if dropout.shape[1] > 1 else slice(None)
    return dropout[block.batch, rows].expand(shape).reshape(-1, size)


def _whole_triangle_update(
    pair_states: Tensor,
    scale: Tensor | None,
    dropout: Tensor | None,
    direction: Literal["outgoing", "ingoing"],
    w: TriangleWeights,
) -> Tensor:
    """`_TriangleUpdate` with all that its backward needs kept from the forward."""
    batch, length, _, size = pair_states.shape
    states = pair_states.reshape(-1, size)
    normed = layer_norm(states, (size,), w.norm_weight, w.norm_bias)
    factors = _triangle_factors(normed, _scale_of(scale), *_factor_weights(w)[2:])
    left, right = factors.view(2, size, batch, length, length).unbind(0)
    update = left @ right.transpose(-1, -2) if direction == "outgoing" else right.transpose(-1, -2) @ left
    gained = _triangle_output(update.view(size, -1), normed, None, *_output_weights(w)[2:]).view(pair_states.shape)
    return pair_states + (gained if dropout is None else gained * dropout)


def triangle_update(
    module: TriangleUpdate,
    pair_states: Tensor,
    scale: Tensor | None = None,
    dropout: Tensor | None = None,
    block_size: int | None = None,
    workspace: Workspace | None = None,
    kernels: PairKernels = "torch",
) -> Tensor:
    """Return pair_states + dropout * module(pair_states, scale), (B, L, L, C).

    Args:
        module: its weights are used; it is called itself where they don't say all that it does.
        pair_states: (B, L, L, C).
        scale: (B, L), see `TriangleUpdate.forward`.
        dropout: (B, 1, L, C) or (B, L, 1, C), factors of what is added.
        block_size: pairs per block; chosen from the sizes if None, 0 for plain PyTorch without blocks.
        workspace: of a pass without gradients; the result is then written over `pair_states`.
        kernels: see `kernels_for`; a step that is called as a module or without blocks takes none.
    """
    if not _runs_in_blocks(block_size) or not is_plain(module, pair_states, _PLAIN_LAYERS):
        update = module(pair_states, scale)
        return pair_states + (update if dropout is None else update * dropout)
    weights = [
        weight
        for layer in (module.norm, module.in_proj, module.out_norm, module.out_proj)
        for weight in (layer.weight, layer.bias)
    ]
    module_of_kernels = kernels_for(pair_states, kernels)
    if module_of_kernels is None and _is_kept_whole(pair_states, block_size):
        return _whole_triangle_update(pair_states, scale, dropout, module.direction, TriangleWeights(*weights))
    block_size = pairs_per_block(pair_states, 4 * pair_states.shape[-1], block_size)
    return _TriangleUpdate.apply(
        pair_states, scale, dropout, module.direction, block_size, workspace, module_of_kernels, *weights
    )


# -- Steps that take each pair by itself ------------------------------------------------------------------------------


def _transition(
    states: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    up_weight: Tensor,
    up_bias: Tensor,
    down_weight: Tensor,
    down_bias: Tensor,
) -> Tensor:
    """What a block's states (N, C) gain in the transition."""
    states = layer_norm(states, states.shape[-1:], norm_weight, norm_bias)
    return product(product(states, up_weight, up_bias, "relu"), down_weight, down_bias)


def _bias(states: Tensor, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor) -> Tensor:
    """Attention bias of a block's states (N, C), heads first (heads, N)."""
    return product(weight, layer_norm(states, states.shape[-1:], norm_weight, norm_bias))


class _PairTransition(torch.autograd.Function):
    """Transition with its residual; keeps its input only."""

    @staticmethod
    def forward(
        ctx: Any,
        pair_states: Tensor,
        block_size: int,
        workspace: Workspace | None,
        kernels: ModuleType | None,
        *weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(pair_states, *weights)
        ctx.block_size, ctx.autocast = block_size, _Autocast.now(pair_states)
        result = _result_like(pair_states, workspace)
        size = pair_states.shape[-1]
        states, new_states = pair_states.reshape(-1, size), result.view(-1, size)
        if kernels is not None:
            kernels.transition(states, ctx.autocast.product_dtype(states), *weights, out=new_states)
        else:
            for part in _runs(len(states), block_size):
                torch.add(states[part], _transition(states[part], *weights), out=new_states[part])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        pair_states, *weights = ctx.saved_tensors
        size = pair_states.shape[-1]
        states, grad = pair_states.reshape(-1, size), grads[0].reshape(-1, size)
        of_states = torch.empty_like(grad)
        gradients = _BlockGradients(_transition, weights)
        with ctx.autocast.again():
            for part in _runs(len(states), ctx.block_size):
                (gained,) = gradients.of_block((states[part],), (), grad[part])
                torch.add(grad[part], gained, out=of_states[part])
        return of_states.view(pair_states.shape), *[None] * 3, *gradients.of_weights()


class _PairBias(torch.autograd.Function):
    """Norm and projection to the heads of an attention; keeps its input only."""

    @staticmethod
    def forward(ctx: Any, pair_states: Tensor, block_size: int, kernels: ModuleType | None, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(pair_states, *weights)
        ctx.block_size, ctx.autocast = block_size, _Autocast.now(pair_states)
        batch, length, _, size = pair_states.shape
        states = pair_states.reshape(-1, size)
        bias = states.new_empty((len(weights[-1]), len(states)), dtype=ctx.autocast.product_dtype(states))
        if kernels is not None:
            kernels.attention_bias(states, *weights, out=bias)
        else:
            for part in _runs(len(states), block_size):
                bias[:, part] = _bias(states[part], *weights)
        return bias.view(-1, batch, length, length).transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        pair_states, *weights = ctx.saved_tensors
        states = pair_states.reshape(-1, pair_states.shape[-1])
        grad = grads[0].transpose(0, 1).reshape(len(weights[-1]), -1)
        of_states = torch.empty_like(states)
        gradients = _BlockGradients(_bias, weights)
        with ctx.autocast.again():
            for part in _runs(len(states), ctx.block_size):
                (of_states[part],) = gradients.of_block((states[part],), (), grad[:, part])
        return of_states.view(pair_states.shape), None, None, *gradients.of_weights()


def _runs(count: int, block_size: int) -> Iterator[slice]:
    for first in range(0, count, block_size):
        yield slice(first, min(first + block_size, count))


def pair_transition(
    module: PairTransition,
    pair_states: Tensor,
    block_size: int | None = None,
    workspace: Workspace | None = None,
    kernels: PairKernels = "torch",
) -> Tensor:
    """Return pair_states + module(pair_states), (B, L, L, C).

    Args:
        module: as in `triangle_update`.
        pair_states: (B, L, L, C).
        block_size: pairs per block; chosen from the sizes if None, 0 for plain PyTorch without blocks.
        workspace: of a pass without gradients; the result is then written over `pair_states`.
        kernels: see `kernels_for`; a step that is called as a module or without blocks takes none.
    """
    if not _runs_in_blocks(block_size) or not is_plain(module, pair_states, _PLAIN_LAYERS):
        return pair_states + module(pair_states)
    weights = [
        weight for layer in (module.norm, module.up_proj, module.down_proj) for weight in (layer.weight, layer.bias)
    ]
    module_of_kernels = kernels_for(pair_states, kernels)
    if module_of_kernels is None and _is_kept_whole(pair_states, block_size):
        return pair_states + _transition(pair_states.reshape(-1, pair_states.shape[-1]), *weights).view(
            pair_states.shape
        )
    block_size = pairs_per_block(pair_states, module.up_proj.out_features, block_size)
    return _PairTransition.apply(pair_states, block_size, workspace, module_of_kernels, *weights)


def pair_bias(
    norm: nn.LayerNorm,
    projection: nn.Linear,
    pair_states: Tensor,
    block_size: int | None = None,
    kernels: PairKernels = "torch",
) -> Tensor:
    """Return the attention bias projection(norm(pair_states)), heads first: (B, heads, L, L).

    Args:
        norm: a layer norm over C.
        projection: a linear map without bias from C to the heads.
        pair_states: (B, L, L, C).
        block_size: pairs per block; chosen from the sizes if None, 0 for plain PyTorch without blocks.
        kernels: see `kernels_for`; a step that is called as a module or without blocks takes none.
    """
    if not (
        _runs_in_blocks(block_size)
        and is_plain(norm, pair_states, _PLAIN_LAYERS)
        and is_plain(projection, pair_states, _PLAIN_LAYERS, has_bias=False)
    ):
        return projection(norm(pair_states)).permute(0, 3, 1, 2)
    module_of_kernels = kernels_for(pair_states, kernels, projection.out_features)
    if module_of_kernels is None and _is_kept_whole(pair_states, block_size):
        batch, length, _, size = pair_states.shape
        bias = _bias(pair_states.reshape(-1, size), norm.weight, norm.bias, projection.weight)
        return bias.view(-1, batch, length, length).transpose(0, 1)
    block_size = pairs_per_block(pair_states, 2 * pair_states.shape[-1], block_size)
    return _PairBias.apply(pair_states, block_size, module_of_kernels, norm.weight, norm.bias, projection.weight)


def _is_kept_whole(pair_states: Tensor, block_size: int | None) -> bool:
    """Tell whether a training step keeps a pair state's intermediates: faster, where they are small anyway."""
    return block_size is None and torch.is_grad_enabled() and pair_states.nbytes <= _KEPT_BYTES


def _runs_in_blocks(block_size: int | None) -> bool:
    """Tell whether blocks are wanted; the compiler makes its own."""
    return block_size != 0 and not torch.compiler.is_compiling()
