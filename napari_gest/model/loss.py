"""The hierarchical cross-entropy of Sec. 4.4."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Below this, a coarse label's share of the softmax is recomputed from the logits.
_TINY = 1e-30


def hierarchical_loss(logits: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Return the loss of every prediction, ``sum_i alpha * CE_i`` (Eq. 10, 11).

    Parameters
    ----------
    logits
        (n, K) float32.
    target
        (n,) int64, the true cell's meta cell.
    levels
        (K, 3) int64, labels l1..l3 of each meta cell; l0 is the meta cell itself. With (K, 0) the
        loss is the plain cross-entropy.

    Returns
    -------
    (n,) float32. All levels have the same weight alpha, and together 1. The probability of a
    coarse label is the sum over its meta cells; where that sum would round to zero, it is taken
    as a log-sum-exp of the logits instead.
    """
    fine = torch.arange(len(levels), device=levels.device)
    labels = [fine, *levels.T]
    return _HierarchicalNll.apply(logits, target, labels) / len(labels)


class _HierarchicalNll(torch.autograd.Function):
    """Sum of the negative log likelihoods of all levels, with one softmax for all of them.

    The gradient is ``sum_i p - p * [same label at level i] / p(label at level i)``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, labels: list[Tensor]) -> Tensor:
        p = logits.softmax(-1)
        loss = torch.zeros_like(p[:, 0])
        inverse = []
        small = torch.zeros_like(target, dtype=torch.bool)
        for label in labels[1:]:
            summed = p @ F.one_hot(label).to(p.dtype)
            share = summed.gather(1, label[target][:, None])[:, 0]
            small |= share < _TINY
            loss -= share.clamp_min(_TINY).log()
            inverse.append(1 / share.clamp_min(_TINY))
        loss -= logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(-1)
        rows = small.nonzero()[:, 0]
        exact = logits[rows]
        if len(rows):
            loss[rows] = _plain(exact, target[rows], labels)
        ctx.n_labels = len(labels)
        ctx.save_for_backward(p, target, rows, exact, *labels, *inverse)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        p, target, rows, exact, *rest = ctx.saved_tensors
        labels, inverse = rest[: ctx.n_labels], rest[ctx.n_labels :]
        factor = torch.full_like(p, len(labels))
        for label, share in zip(labels[1:], inverse, strict=True):
            # One column per coarse label: 1 / p(label) for the target's label, otherwise 0.
            of_label = torch.zeros(len(target), int(label.max()) + 1, dtype=p.dtype).to(p.device)
            of_label.scatter_(1, label[target][:, None], share[:, None])
            factor -= of_label[:, label]
        dz = p * factor
        dz.scatter_add_(1, target[:, None], -torch.ones_like(p[:, :1]))
        if len(rows):
            with torch.enable_grad():
                exact = exact.requires_grad_()
                plain = _plain(exact, target[rows], labels).sum()
                dz[rows] = torch.autograd.grad(plain, exact)[0]
        return dz * grad[:, None], None, None


def _plain(logits: Tensor, target: Tensor, labels: list[Tensor]) -> Tensor:
    """Return the same sum by a log-sum-exp at every level, exact where a share underflows."""
    loss = len(labels) * logits.logsumexp(-1)
    for label in labels:
        other = label[None, :] != label[target][:, None]
        loss = loss - logits.masked_fill(other, float("-inf")).logsumexp(-1)
    return loss
