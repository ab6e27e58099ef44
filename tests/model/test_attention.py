"""Attention that returns its log-sum-exp, fast and plain."""

from __future__ import annotations

import pytest
import torch
from decoders import SHIPPED, decoder, window
from torch import Tensor

from napari_gest.model.attention import attend, mix_own

B, H, L, E = 2, 3, 9, 8
SCALE = E**-0.5


def rows(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(B, H, L, E, generator=g) for _ in range(3))
    return q, k, v


@pytest.fixture(params=["fast", "plain"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel where there is one, and what stands in for it on other devices."""
    if request.param == "plain":
        monkeypatch.setattr("napari_gest.model.attention._flash", None)
    return request.param


@pytest.mark.parametrize("seen", ["all", "causal", "mask"])
def test_it_is_softmax_attention_and_its_log_sum_exp(form: str, seen: str) -> None:
    q, k, v = rows()
    call_later = torch.full((L, L), float("-inf")).triu(1)
    scores = (q @ k.mT) * SCALE + (0 if seen == "all" else call_later)
    mask = call_later if seen == "mask" else None
    out, lse = attend(q, k, v, SCALE, causal=seen == "causal", mask=mask)
    torch.testing.assert_close(out, scores.softmax(-1) @ v)
    torch.testing.assert_close(lse, scores.logsumexp(-1))


def test_the_own_key_is_one_more_key(form: str) -> None:
    (q, k, v), (_, own_k, own_v) = rows(), rows(1)
    mixed = mix_own(q, own_k, own_v, SCALE, *attend(q, k, v, SCALE))
    scores = torch.cat([q @ k.mT, (q * own_k).sum(-1, keepdim=True)], -1) * SCALE
    share = scores.softmax(-1)
    torch.testing.assert_close(mixed, share[..., :-1] @ v + share[..., -1:] * own_v)


def test_gradients_of_the_fast_path_are_those_of_plain_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, given = decoder(**SHIPPED), window()

    def gradients() -> list[Tensor]:
        network.zero_grad()
        network(**given)[0].logsumexp(-1).square().sum().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    fast = gradients()
    monkeypatch.setattr("napari_gest.model.attention._flash", None)
    plain = gradients()
    assert len(fast) == len(plain) > 20
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-3)
