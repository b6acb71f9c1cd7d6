"""Triton kernels for the steps of the pair track that `pair_blocks.py` takes in blocks.

Each kernel reads a tile of pairs, keeps all intermediates on the chip and writes the step's result: the pair state
passes through memory once in each direction. Norms, gates and sums are in float32; matrix products take the type that
PyTorch would take (that of autocast, or of the state) and sum in float32. `pair.py` says what is computed, and is what
the tests compare with. This module needs the package `triton`; `pair_blocks.py` imports it where it is in use.
"""

# mypy: disable-error-code="no-untyped-def"
# Arguments of kernels have types of Triton's own.

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_MAX_SIZE = {torch.float32: 64, torch.bfloat16: 128, torch.float16: 128}  # channels, by the type of the products
_MAX_HEADS = 128
_EPS = 1e-5  # of the norms, torch's default


def supports(pair_states: Tensor, dtype: torch.dtype, num_heads: int = 1) -> bool:
    """Tell whether the kernels can do a pair state.

    Args:
        pair_states: (B, L, L, C) in float32, bfloat16 or float16; C has to be a multiple of 16.
        dtype: of the matrix products: float32 for up to 64 channels, bfloat16 or float16 for up to 128.
        num_heads: of an attention bias, 128 at most.
    """
    size = pair_states.shape[-1]
    return (
        pair_states.dtype in _MAX_SIZE
        and 0 < size <= _MAX_SIZE.get(dtype, 0)
        and size % 16 == 0
        and num_heads <= _MAX_HEADS
        and 0 < pair_states.numel() // size < 2**31 - 128  # pairs are counted in 32 bits, addresses in 64
    )


# -- Kernels -----------------------------------------------------------------------------------------------------------


@triton.jit
def _load_rows(states, pairs, inside, channels, SIZE: tl.constexpr):
    """States of a tile's pairs (TILE, PADDED) in float32, 0 beyond the last pair and channel."""
    offsets = pairs.to(tl.int64)[:, None] * SIZE + channels[None, :]
    return tl.load(states + offsets, mask=inside[:, None] & (channels < SIZE)[None, :], other=0.0).to(tl.float32)


@triton.jit
def _load_matrix(weight, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Part of a matrix (ROWS, COLUMNS), 0 outside of it."""
    mask = (rows < ROWS)[:, None] & (columns < COLUMNS)[None, :]
    return tl.load(weight + rows[:, None] * COLUMNS + columns[None, :], mask=mask, other=0.0)


@triton.jit
def _load_vector(vector, places, SIZE: tl.constexpr):
    return tl.load(vector + places, mask=places < SIZE, other=0.0).to(tl.float32)


# Under the interpreter (TRITON_INTERPRET=1 when triton is imported) a kernel is a plain function and takes CPU tensors.
IS_INTERPRETED = not isinstance(_load_rows, triton.JITFunction)
_UPCASTS = tl.constexpr(IS_INTERPRETED)


@triton.jit
def _dot(left, right, PRECISION: tl.constexpr):
    """Product of two matrices, summed in float32."""
    if _UPCASTS:  # the interpreter takes bfloat16 for whole numbers in products; in float32 they are the same
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, input_precision=PRECISION)


@triton.jit
def _norm_rows(rows, weight, bias, channels, SIZE: tl.constexpr, EPS: tl.constexpr):
    """Layer norm of (TILE, PADDED) over its second axis, in float32."""
    centred = tl.where((channels < SIZE)[None, :], rows - (tl.sum(rows, 1) / SIZE)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / SIZE + EPS)
    return (
        centred * scale[:, None] * _load_vector(weight, channels, SIZE)[None, :]
        + _load_vector(bias, channels, SIZE)[None, :]
    )


@triton.jit
def _norm_columns(columns, weight, bias, channels, SIZE: tl.constexpr, EPS: tl.constexpr):
    """Layer norm of (PADDED, TILE) over its first axis, in float32."""
    centred = tl.where((channels < SIZE)[:, None], columns - (tl.sum(columns, 0) / SIZE)[None, :], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 0) / SIZE + EPS)
    return (
        centred * scale[None, :] * _load_vector(weight, channels, SIZE)[:, None]
        + _load_vector(bias, channels, SIZE)[:, None]
    )


@triton.jit
def _factors_kernel(
    states,
    scale,
    norm_weight,
    norm_bias,
    weight,
    bias,
    factors,
    count,
    length,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    TILE: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    EPS: tl.constexpr,
):
    pairs = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = pairs < count
    channels = tl.arange(0, PADDED)
    rows = _load_rows(states, pairs, inside, channels, SIZE)
    normed = _norm_rows(rows, norm_weight, norm_bias, channels, SIZE, EPS).to(weight.dtype.element_ty)
    normed = tl.trans(normed)
    for first in range(0, 2 * SIZE, CHUNK):
        outputs = first + tl.arange(0, CHUNK)
        values = _dot(_load_matrix(weight, outputs, channels, 2 * SIZE, SIZE), normed, PRECISION) + _load_vector(
            bias, outputs, 2 * SIZE
        ).expand_dims(1)
        gates = _dot(
            _load_matrix(weight + 2 * SIZE * SIZE, outputs, channels, 2 * SIZE, SIZE), normed, PRECISION
        ) + _load_vector(bias + 2 * SIZE, outputs, 2 * SIZE).expand_dims(1)
        values *= tl.sigmoid(gates)
        if HAS_SCALE:
            of_i = tl.load(scale + pairs // length, mask=inside, other=0.0).to(tl.float32)
            of_j = tl.load(scale + pairs // length // length * length + pairs % length, mask=inside, other=0.0)
            values *= (of_i * of_j.to(tl.float32))[None, :]
        offsets = outputs.to(tl.int64)[:, None] * count + pairs[None, :]
        tl.store(factors + offsets, values, mask=(outputs < 2 * SIZE)[:, None] & inside[None, :])


@triton.jit
def _output_kernel(
    product,
    states,
    dropout,
    norm_weight,
    norm_bias,
    gate_weight,
    gate_bias,
    out_norm_weight,
    out_norm_bias,
    out_weight,
    out_bias,
    new_states,
    count,
    length,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    DROPOUT_AXIS: tl.constexpr,
    TILE: tl.constexpr,
    PRECISION: tl.constexpr,
    EPS: tl.constexpr,
):
    pairs = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = pairs < count
    channels = tl.arange(0, PADDED)
    rows = _load_rows(states, pairs, inside, channels, SIZE)
    normed = _norm_rows(rows, norm_weight, norm_bias, channels, SIZE, EPS).to(gate_weight.dtype.element_ty)
    # Channels first, as the product lies in memory.
    gates = _dot(_load_matrix(gate_weight, channels, channels, SIZE, SIZE), tl.trans(normed), PRECISION) + _load_vector(
        gate_bias, channels, SIZE
    ).expand_dims(1)
    offsets = channels.to(tl.int64)[:, None] * count + pairs[None, :]
    mask = (channels < SIZE)[:, None] & inside[None, :]
    update = tl.load(product + offsets, mask=mask, other=0.0).to(tl.float32)
    update = _norm_columns(update, out_norm_weight, out_norm_bias, channels, SIZE, EPS)
    gated = tl.trans((update * tl.sigmoid(gates)).to(out_weight.dtype.element_ty))
    gained = _dot(gated, tl.trans(_load_matrix(out_weight, channels, channels, SIZE, SIZE)), PRECISION) + _load_vector(
        out_bias, channels, SIZE
    ).expand_dims(0)
    if DROPOUT_AXIS == 1:
        gained *= _load_rows(dropout, pairs // length // length * length + pairs % length, inside, channels, SIZE)
    elif DROPOUT_AXIS == 2:
        gained *= _load_rows(dropout, pairs // length, inside, channels, SIZE)
    offsets = pairs.to(tl.int64)[:, None] * SIZE + channels[None, :]
    tl.store(new_states + offsets, rows + gained, mask=inside[:, None] & (channels < SIZE)[None, :])


@triton.jit
def _transition_kernel(
    states,
    norm_weight,
    norm_bias,
    up_weight,
    up_bias,
    down_weight,
    down_bias,
    new_states,
    count,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    INNER: tl.constexpr,
    TILE: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    EPS: tl.constexpr,
):
    pairs = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = pairs < count
    channels = tl.arange(0, PADDED)
    rows = _load_rows(states, pairs, inside, channels, SIZE)
    normed = _norm_rows(rows, norm_weight, norm_bias, channels, SIZE, EPS).to(up_weight.dtype.element_ty)
    new_rows = rows + _load_vector(down_bias, channels, SIZE)[None, :]
    for first in range(0, INNER, CHUNK):
        units = first + tl.arange(0, CHUNK)
        inner = _dot(normed, tl.trans(_load_matrix(up_weight, units, channels, INNER, SIZE)), PRECISION) + _load_vector(
            up_bias, units, INNER
        ).expand_dims(0)
        inner = tl.where(inner < 0, 0.0, inner).to(down_weight.dtype.element_ty)  # a maximum would hide NaN
        new_rows += _dot(inner, tl.trans(_load_matrix(down_weight, channels, units, SIZE, INNER)), PRECISION)
    offsets = pairs.to(tl.int64)[:, None] * SIZE + channels[None, :]
    tl.store(new_states + offsets, new_rows, mask=inside[:, None] & (channels < SIZE)[None, :])


@triton.jit
def _bias_kernel(
    states,
    norm_weight,
    norm_bias,
    weight,
    attention_bias,
    count,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    HEADS: tl.constexpr,
    PADDED_HEADS: tl.constexpr,
    TILE: tl.constexpr,
    PRECISION: tl.constexpr,
    EPS: tl.constexpr,
):
    pairs = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = pairs < count
    channels = tl.arange(0, PADDED)
    heads = tl.arange(0, PADDED_HEADS)
    rows = _load_rows(states, pairs, inside, channels, SIZE)
    normed = _norm_rows(rows, norm_weight, norm_bias, channels, SIZE, EPS).to(weight.dtype.element_ty)
    values = _dot(_load_matrix(weight, heads, channels, HEADS, SIZE), tl.trans(normed), PRECISION)
    offsets = heads.to(tl.int64)[:, None] * count + pairs[None, :]
    tl.store(attention_bias + offsets, values, mask=(heads < HEADS)[:, None] & inside[None, :])


# -- Calls -------------------------------------------------------------------------------------------------------------


def _chunk(dtype: torch.dtype) -> int:
    """Outputs or inner units that are computed at a time; float32 has no tensor cores and needs more registers."""
    return 16 if dtype == torch.float32 else 32


def _settings(size: int, dtype: torch.dtype) -> dict[str, Any]:
    """Constants that all kernels share: what ptxas fits into registers on compute capability 8.0 and 9.0.

    Args:
        size: channels C.
        dtype: of the matrix products.
    """
    padded = triton.next_power_of_2(size)
    return {
        "SIZE": size,
        "PADDED": padded,
        "TILE": 32 if dtype == torch.float32 else 64,
        # As PyTorch's own products: exact float32 unless TF32 was allowed.
        "PRECISION": "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee",
        "EPS": _EPS,
        "num_warps": 8 if dtype == torch.float32 or padded > 64 else 4,
        "num_stages": 1,
    }


def _launch(kernel: Any, tensors: list[Tensor | None], sizes: list[int], **settings: Any) -> None:
    """Run a kernel over all tiles of pairs, `sizes[0]` in all, on the device of the tensors."""
    grid = (triton.cdiv(sizes[0], settings["TILE"]),)
    with torch.cuda.device_of(tensors[0]):
        kernel[grid](*tensors, *sizes, **settings)


def _contiguous(dtype: torch.dtype, *weights: Tensor) -> list[Tensor]:
    """Matrices in the type of the products and vectors as they are, each without gaps."""
    return [(weight.to(dtype) if weight.dim() > 1 else weight).contiguous() for weight in weights]


def triangle_factors(states: Tensor, scale: Tensor | None, *weights: Tensor, out: Tensor) -> None:
    """Write the left and right factor of a triangle product, norm included: `pair_blocks._block_factors`.

    Args:
        states: (N, C), N = B * L * L pairs.
        scale: (B, L), multiplies the factors by scale[i] * scale[j]; None for 1.
        *weights: of the norm (C), (C); of the factors and their gates (4 C, C), (4 C).
        out: (2 C, N), in the type of the products.
    """
    count, size = states.shape
    _launch(
        _factors_kernel,
        [states.contiguous(), None if scale is None else scale.contiguous(), *_contiguous(out.dtype, *weights), out],
        [count, 1 if scale is None else scale.shape[1]],
        HAS_SCALE=scale is not None,
        CHUNK=_chunk(out.dtype),
        **_settings(size, out.dtype),
    )


def triangle_output(
    product: Tensor, states: Tensor, dropout: Tensor | None, length: int, *weights: Tensor, out: Tensor
) -> None:
    """Write states + dropout * `pair_blocks._block_output`.

    Args:
        product: (C, N) of any type; the type of the matrix products too.
        states: (N, C), N = B * L * L pairs.
        dropout: (B, 1, L, C) or (B, L, 1, C), factors of what is added; None for 1.
        length: L.
        *weights: of the norm (C), (C); of the gate (C, C), (C); of the product's norm (C), (C); of the output (C, C),
            (C).
        out: (N, C); may be `states`.
    """
    count, size = states.shape
    axis = 0 if dropout is None else 1 if dropout.shape[1] == 1 else 2
    _launch(
        _output_kernel,
        [
            product.contiguous(),
            states.contiguous(),
            None if dropout is None else dropout.contiguous(),
            *_contiguous(product.dtype, *weights),
            out,
        ],
        [count, length],
        DROPOUT_AXIS=axis,
        **_settings(size, product.dtype),
    )


def transition(states: Tensor, dtype: torch.dtype, *weights: Tensor, out: Tensor) -> None:
    """Write states + `pair_blocks._transition`.

    Args:
        states: (N, C).
        dtype: of the matrix products.
        *weights: of the norm (C), (C); of the inner layer (H, C), (H); of the output (C, H), (C).
        out: (N, C); may be `states`.
    """
    count, size = states.shape
    _launch(
        _transition_kernel,
        [states.contiguous(), *_contiguous(dtype, *weights), out],
        [count],
        INNER=weights[2].shape[0],
        CHUNK=_chunk(dtype),
        **_settings(size, dtype),
    )


def attention_bias(states: Tensor, *weights: Tensor, out: Tensor) -> None:
    """Write `pair_blocks._bias`.

    Args:
        states: (N, C).
        *weights: of the norm (C), (C); of the projection (heads, C).
        out: (heads, N), in the type of the product.
    """
    count, size = states.shape
    _launch(
        _bias_kernel,
        [states.contiguous(), *_contiguous(out.dtype, *weights), out],
        [count],
        HEADS=len(out),
        PADDED_HEADS=max(16, triton.next_power_of_2(len(out))),
        **_settings(size, out.dtype),
    )
