"""The optimiser: torch's AdamW, step for step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_gest.model.optimizer import AdamW


def parameters() -> list[nn.Parameter]:
    start = torch.linspace(-1, 1, 12)
    return [nn.Parameter(start.clone().reshape(3, 4)), nn.Parameter(start.clone())]


def differentiate(some: list[nn.Parameter], step: int) -> None:
    sum((p.square() * (1 + step % 3)).sum() for p in some).backward()


def test_it_is_torchs_adamw() -> None:
    mine, theirs = parameters(), parameters()
    ours = AdamW(mine, 0.1, betas=(0.9, 0.98), decays=[True, False])
    torchs = torch.optim.AdamW(
        [
            {"params": theirs[:1], "weight_decay": 0.1},
            {"params": theirs[1:], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
    )
    for step in range(20):
        rate = 6e-3 * (1 + step % 2)
        for group in torchs.param_groups:
            group["lr"] = rate
        differentiate(mine, step)
        differentiate(theirs, step)
        ours.step(rate)
        torchs.step()
        torchs.zero_grad()
    assert not torch.allclose(mine[0], parameters()[0], atol=1e-2)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_it_goes_on_from_its_state() -> None:
    through, halves = parameters(), parameters()
    one = AdamW(through, 0.1)
    other = AdamW(halves, 0.1)
    for step in range(10):
        if step == 5:
            state = {k: v.clone() for k, v in other.state().items()}
            other = AdamW(halves, 0.1)
            other.load(state, 5)
        for optimizer, some in ((one, through), (other, halves)):
            differentiate(some, step)
            optimizer.step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(through, halves, strict=True))
    with pytest.raises(KeyError):
        one.load({}, 1)


def test_what_has_no_gradient_stays() -> None:
    first, second = parameters()
    before = second.detach().clone()
    optimizer = AdamW([first, second], 0.1)
    differentiate([first], 0)
    optimizer.step(1e-2)
    assert torch.equal(second, before)
    assert first.grad is None
