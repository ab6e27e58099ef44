"""The hierarchical cross-entropy of Sec. 4.4."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Below this a coarse label's share of the softmax is recomputed from the logits themselves.
_TINY = 1e-30


def hierarchical_loss(
    logits: Tensor, target: Tensor, levels: Tensor, alpha: float = 0.25
) -> Tensor:
    """Return the loss of every prediction, ``sum_i alpha * CE_i`` (Eq. 10, 11).

    Parameters
    ----------
    logits
        (n, K) float32.
    target
        (n,) int64, the true cell's meta cell.
    levels
        (K, 3) int64, labels l1..l3 of each meta cell; l0 is the meta cell itself.
    alpha
        Weight of each of the four levels.

    Returns
    -------
    (n,) float32. The probability of a coarse label is the sum over its meta cells; where that sum
    would round to zero, it is taken as a log-sum-exp of the logits instead.
    """
    fine = torch.arange(len(levels), device=levels.device)
    labels = [fine, *levels.T]
    return alpha * _HierarchicalNll.apply(logits, target, labels)


class _HierarchicalNll(torch.autograd.Function):
    """Sum of the negative log likelihoods of all levels, with one softmax for all of them.

    The gradient is ``sum_i p - p * [same label at level i] / p(label at level i)``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, labels: list[Tensor]) -> Tensor:
        p = logits.softmax(-1)
        loss = torch.zeros_like(p[:, 0])
        inverse = []
        for label in labels[1:]:
            summed = p @ F.one_hot(label).to(p.dtype)
            share = summed.gather(1, label[target][:, None])[:, 0]
            small = share < _TINY
            log_share = share.clamp_min(_TINY).log()
            if small.any():
                log_share[small] = _log_share(logits[small], label, target[small])
            loss -= log_share
            inverse.append(torch.exp(-log_share))
        log_p = logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(-1)
        ctx.save_for_backward(p, target, *labels[1:], *inverse)
        return loss - log_p

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        p, target, *rest = ctx.saved_tensors
        labels, inverse = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        factor = torch.full_like(p, len(labels) + 1)
        for label, share in zip(labels, inverse, strict=True):
            # One row per coarse label: 1 / p(label) where it is the target's, else nothing.
            rows = torch.zeros(len(target), int(label.max()) + 1, dtype=p.dtype, device=p.device)
            rows.scatter_(1, label[target][:, None], share[:, None])
            factor -= rows[:, label]
        dz = p * factor
        dz.scatter_add_(1, target[:, None], -torch.ones_like(p[:, :1]))
        return dz * grad[:, None], None, None


def _log_share(logits: Tensor, label: Tensor, target: Tensor) -> Tensor:
    other = label[None, :] != label[target][:, None]
    return logits.masked_fill(other, float("-inf")).logsumexp(-1) - logits.logsumexp(-1)
