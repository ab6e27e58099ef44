"""Attention that also returns its log-sum-exp, so that a query can add its own key.

The query stream of the decoder (Sec. 4.1) attends to a prefix of the content and to itself. With
the log-sum-exp of the prefix, the query's own key enters through one sigmoid, and the 2L x 2L mask
is never built.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_KERNEL = "_scaled_dot_product_flash_attention_for_cpu"
_flash: Any = getattr(torch.ops.aten, _KERNEL, None)
_flash_backward: Any = getattr(torch.ops.aten, f"{_KERNEL}_backward", None)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Softmax attention and its log-sum-exp.

    Parameters
    ----------
    q
        (B, H, Q, E) queries.
    k, v
        (B, H, L, E) keys and values.
    scale
        Factor on the dot products.
    causal
        Row i sees keys 0..i; needs Q == L.
    mask
        (Q, L) or broadcastable to (B, H, Q, L), additive; every row must see at least one key.

    Returns
    -------
    out
        (B, H, Q, E).
    lse
        (B, H, Q) log of the sum of exponentiated scores.
    """
    if q.device.type == "cpu" and q.dtype == torch.float32 and _flash and _flash_backward:
        return _FlashWithLse.apply(q, k, v, mask, causal, scale)
    scores = (q @ k.transpose(-1, -2)).float() * scale
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1).to(v.dtype) @ v), scores.logsumexp(-1)


def mix_own(q: Tensor, k: Tensor, v: Tensor, scale: float, out: Tensor, lse: Tensor) -> Tensor:
    """Add every query row's own key to the attention over the prefix in ``out`` and ``lse``.

    Parameters
    ----------
    q, k, v
        (B, H, Q, E) of the query rows themselves.
    scale
        Factor on the dot products.
    out, lse
        Result of ``attend`` for ``q`` on the prefix.

    Returns
    -------
    (B, H, Q, E): softmax attention over the prefix and the own key together.
    """
    own = torch.sigmoid((q * k).sum(-1) * scale - lse).unsqueeze(-1)
    return out + own * (v - out)


class _FlashWithLse(torch.autograd.Function):
    """CPU flash attention whose log-sum-exp is differentiable.

    The kernel's backward uses ``dS = P * (dO V^T - rowsum(dO * O))``. A gradient ``g`` on the
    log-sum-exp adds ``P * g``, so passing an O whose row sum is lower by ``g`` gives it.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        out, lse = _flash(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)
        ctx.save_for_backward(q, k, v, mask, out, lse)
        ctx.causal, ctx.scale = causal, scale
        return out, lse

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, out, lse = ctx.saved_tensors
        norm = grad_out.square().sum(-1, keepdim=True).clamp_min(1e-30)
        shifted = out - grad_out * (grad_lse.unsqueeze(-1) / norm)
        dq, dk, dv = _flash_backward(
            grad_out, q, k, v, shifted, lse, 0.0, ctx.causal, attn_mask=mask, scale=ctx.scale
        )
        return dq, dk, dv, None, None, None
