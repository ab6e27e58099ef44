from __future__ import annotations

import torch
from torch import Tensor

from napari_gest.model.loss import hierarchical_loss

K = 40
LEVELS = torch.stack([torch.arange(K) % n for n in (15, 10, 5)], 1)


def plain(logits: Tensor, target: Tensor) -> Tensor:
    """Eq. 11 with a log-sum-exp for every level."""
    total = logits.logsumexp(-1)
    loss = total - logits.gather(1, target[:, None])[:, 0]
    for level in LEVELS.T:
        other = level[None] != level[target][:, None]
        loss = loss + total - logits.masked_fill(other, float("-inf")).logsumexp(-1)
    return 0.25 * loss


def both(scale: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(50, K, generator=g) * scale
    target = torch.randint(K, (50,), generator=g)
    weight = torch.rand(50, generator=g)
    found = []
    for loss in (lambda z: plain(z, target), lambda z: hierarchical_loss(z, target, LEVELS)):
        z = logits.clone().requires_grad_()
        value = loss(z)
        (value * weight).sum().backward()
        found.append((value.detach(), z.grad))
    return found[0], found[1]


def test_value_and_gradient_are_those_of_the_equation() -> None:
    expected, found = both(3.0)
    torch.testing.assert_close(found[0], expected[0], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found[1], expected[1], atol=2e-6, rtol=1e-5)


def test_vanishing_probabilities_stay_finite() -> None:
    expected, found = both(200.0)
    assert torch.isfinite(found[0]).all()
    assert torch.isfinite(found[1]).all()
    torch.testing.assert_close(found[0], expected[0], atol=1e-3, rtol=1e-5)


def test_without_coarse_levels_it_is_the_cross_entropy() -> None:
    g = torch.Generator().manual_seed(1)
    target = torch.randint(K, (20,), generator=g)
    one, two = (torch.randn(20, K, generator=g).requires_grad_() for _ in range(2))
    two.data.copy_(one.data)
    found = hierarchical_loss(one, target, LEVELS[:, :0])
    expected = torch.nn.functional.cross_entropy(two, target, reduction="none")
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(one.grad, two.grad)


def test_one_coarse_label_costs_nothing() -> None:
    logits, target = torch.randn(5, K), torch.arange(5)
    same = torch.zeros(K, 3, dtype=torch.long)
    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(4 * hierarchical_loss(logits, target, same), expected)
