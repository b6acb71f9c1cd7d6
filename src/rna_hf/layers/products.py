"""Matrix products of many rows by a small matrix, as fast as the CPU allows.

PyTorch sends float32 products on a CPU to MKL, which does not use all that processors other than Intel's offer. oneDNN,
also inside PyTorch, does; the compiler back end calls it through an operator that is used here in
eager mode too. Where that operator is missing, or elsewhere than on a CPU, this is `torch.nn.functional.linear`.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import torch
from torch import Tensor, nn


@functools.cache
def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def uses_onednn(tensor: Tensor) -> bool:
    """Tell whether products of this tensor go to oneDNN directly."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.bfloat16)
        and _has_onednn()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _OneDnnProduct(torch.autograd.Function):
    """`product` with its gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.has_bias = bias is not None
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        rows, weight = ctx.saved_tensors
        of_rows = matmul(grad, weight) if ctx.needs_input_grad[0] else None
        of_weight = matmul(grad.t(), rows) if ctx.needs_input_grad[1] else None
        return of_rows, of_weight, grad.sum(0) if ctx.has_bias else None


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """Return left (N, K) times right (K, M), where neither needs a gradient: (N, M)."""
    # oneDNN's operator copies a transposed left matrix first. In bfloat16, torch.mm is oneDNN's too.
    if left.dtype == torch.float32 and left.is_contiguous() and uses_onednn(left):
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return torch.mm(left, right)


def product(
    rows: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Literal["none", "relu", "sigmoid"] = "none"
) -> Tensor:
    """Return rows (N, K) times the transpose of weight (M, K), plus bias (M,), through an activation: (N, M).

    Differentiable once. Memory layout of the arguments is free.
    """
    if uses_onednn(rows) and not torch.is_grad_enabled():
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "")
    result = _OneDnnProduct.apply(rows, weight, bias) if uses_onednn(rows) else nn.functional.linear(rows, weight, bias)
    return {"none": lambda: result, "relu": result.relu_, "sigmoid": result.sigmoid}[activation]()


class _Gate(torch.autograd.Function):
    """values * sigmoid(gates), with a gradient in few passes over memory."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gates: Tensor) -> Tensor:
        opened = gates.sigmoid()
        ctx.save_for_backward(values, opened)
        return values * opened

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        values, opened = ctx.saved_tensors
        of_values = grads[0] * opened
        return of_values, (1 - opened).mul_(of_values).mul_(values).to(opened.dtype)


def gate(values: Tensor, gates: Tensor) -> Tensor:
    """Return values * sigmoid(gates), both of one shape. Differentiable once."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return _Gate.apply(values, gates)
    return gates.sigmoid().mul_(values) if gates.dtype == values.dtype else values * gates.sigmoid()


def gate_by_product(values: Tensor, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return values (N, M) * sigmoid(product(rows, weight, bias)). Differentiable once."""
    if torch.is_grad_enabled() or values.dtype != rows.dtype:
        return gate(values, product(rows, weight, bias))
    return product(rows, weight, bias, "sigmoid").mul_(values)
