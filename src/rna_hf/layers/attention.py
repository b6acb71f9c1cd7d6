"""Multi-head attention with a pair bias, for models that hold a sequence track beside a pair track."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def eager_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention written out, so that its weights can be returned.

    Args:
        module: the calling attention module; only its training mode is read.
        query: (B, heads, L, D).
        key: (B, heads, L, D).
        value: (B, heads, L, D_value).
        attention_mask: (B, heads or 1, L, L), added to the scaled logits.
        scaling: factor of the logits.
        dropout: probability of dropping an attention weight in training.

    Returns:
        The attended values (B, L, heads, D_value) and the weights (B, heads, L, L) before dropout.
    """
    # In float16, the lowest finite value plus a negative logit is -inf, and a row of -inf gives NaN; cast to a narrower
    # type, float64's lowest value is -inf too. Hence float32 at least, and never narrower than the inputs.
    logits = (torch.matmul(query, key.transpose(-1, -2)) * scaling).to(torch.promote_types(query.dtype, torch.float32))
    if attention_mask is not None:
        logits = logits + attention_mask
    weights = nn.functional.softmax(logits, dim=-1).to(query.dtype)
    attended = torch.matmul(nn.functional.dropout(weights, p=dropout, training=module.training), value)
    return attended.transpose(1, 2).contiguous(), weights


def mask_padded_keys(bias: Tensor, keep: Tensor) -> Tensor:
    """Put the lowest finite value in every padded key's column, so that no query attends to padding.

    Args:
        bias: (B, heads, L, L), float.
        keep: (B, L), 1 at nucleotides and 0 at padding.

    Returns:
        (B, heads, L, L). A row that is padding only stays finite: all its keys are equally low.
    """
    return bias.masked_fill(keep[:, None, None, :] == 0, torch.finfo(bias.dtype).min)


def cancel_mixed_logits(query: Tensor, key: Tensor, bias: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make the logit of each (nucleotide, padding) pair exactly 0, bias included, and leave all others as they are.

    The original RibonanzaNet *replaces* these logits, which no additive mask can do. Doubling the head dimension can:
    nucleotides use its first half and padding its second, so that a product across the two kinds is a sum of zeros.
    Works with every attention implementation.

    Args:
        query: (B, heads, L, D).
        key: (B, heads, L, D).
        bias: (B, heads, L, L).
        keep: (B, L), 1 at nucleotides and 0 at padding.

    Returns:
        Query and key (B, heads, L, 2 D) and the bias (B, heads, L, L).
    """
    keep = keep.to(query.dtype)
    column = keep[:, None, :, None]
    query = torch.cat([query * column, query * (1 - column)], dim=-1)
    key = torch.cat([key * column, key * (1 - column)], dim=-1)
    same_kind = keep[:, None, :, None] == keep[:, None, None, :]
    return query, key, bias.masked_fill(~same_kind, 0.0)
