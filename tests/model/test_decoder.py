"""Exactness of the two-stream decoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from decoders import K, L, decoder, window

from benchmarks.masked import masked_forward

VARIANTS = [
    {},
    {"local_prior": False},
    {"distance_bias": False},
    {"local_prior": False, "distance_bias": False},
]


def one_hot(content: torch.Tensor) -> torch.Tensor:
    return F.one_hot(content, K).float()


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_two_streams_equal_the_masked_form(settings: dict[str, bool]) -> None:
    network = decoder(**settings)
    content, xy, at = window()
    fast, slow = network(content, xy, at), masked_forward(network, content, xy, at)
    assert (fast.softmax(-1) - slow.softmax(-1)).abs().max() <= 2e-6


@pytest.mark.parametrize("settings", VARIANTS)
def test_nothing_leaks_from_later_cells_or_other_queries(settings: dict[str, bool]) -> None:
    network = decoder(**settings)
    content, xy, at = window(batch=1)
    i = 11
    xy, at = xy.requires_grad_(), at.requires_grad_()
    mixture = one_hot(content).requires_grad_()
    context = network.encode(network.table(), mixture, xy)
    hidden = network.ask(context, at, causal=True)
    network.logits(hidden, context, at, causal=True)[0, i].square().sum().backward()
    for gradient in (mixture.grad, xy.grad):
        assert (gradient[0, i + 1 :] == 0).all()
        assert (gradient[0, : i + 1].abs().sum(-1) > 0).all()
    others = torch.arange(L) != i
    assert (at.grad[0, others] == 0).all()
    assert (at.grad[0, i] != 0).any()


@torch.no_grad()
def test_values_of_later_cells_and_queries_do_not_matter() -> None:
    network = decoder()
    content, xy, at = window(batch=1)
    before = network(content, xy, at)[0, 11]
    content[0, 12:], xy[0, 12:], at[0, 12:] = 3, 0.1, -0.7
    at[0, :11] = 0.3
    assert (network(content, xy, at)[0, 11] - before).abs().max() <= 2e-6


@torch.no_grad()
def test_a_cached_context_equals_one_encoded_at_once() -> None:
    network = decoder()
    content, xy, at = window()
    mixture, table = one_hot(content), network.table()
    whole = network.encode(table, mixture, xy)
    grown = None
    for part in (slice(0, 7), slice(7, 8), slice(8, 21), slice(21, L)):
        grown = network.encode(table, mixture[:, part], xy[:, part], grown)
    assert grown.n_cells == whole.n_cells == L
    cached = network.logits(network.ask(grown, at), grown, at)
    uncached = network.logits(network.ask(whole, at), whole, at)
    assert (cached.softmax(-1) - uncached.softmax(-1)).abs().max() <= 2e-6


@torch.no_grad()
def test_the_whole_context_equals_the_last_causal_row() -> None:
    network = decoder()
    content, xy, at = window()
    context = network.encode(network.table(), one_hot(content), xy)
    last = network.ask(context, at[:, -1:])
    assert (network.ask(context, at, causal=True)[:, -1:] - last).abs().max() <= 2e-6


@torch.no_grad()
def test_a_mask_is_the_same_as_causal() -> None:
    network = decoder()
    content, xy, at = window()
    mask = torch.full((1, 1, L, L), float("-inf")).triu(1)
    assert (network(content, xy, at, mask) - network(content, xy, at)).abs().max() <= 1e-5


def test_gradients_of_the_fast_path_are_those_of_plain_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = decoder()
    content, xy, at = window()

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        network(content, xy, at).logsumexp(-1).square().sum().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    fast = gradients()
    monkeypatch.setattr("napari_gest.model.attention._flash", None)
    plain = gradients()
    assert len(fast) == len(plain) > 20
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-3)


@torch.no_grad()
def test_the_local_prior_of_one_cell_is_that_cell() -> None:
    network = decoder()
    content, xy, at = window(batch=1)
    context = network.encode(network.table(), one_hot(content[:, :1]), xy[:, :1])
    hidden = network.ask(context, at)
    prior, inherited = network.local_prior(hidden, context, at, network.log_prior, False, None)
    weights = network.local_prior.weigh(hidden)
    share = weights[..., :6].softmax(-1)[..., -1:]
    expected = share * network.log_prior.exp() + (1 - share) * one_hot(content[:, :1])
    torch.testing.assert_close(prior.exp(), expected, atol=1e-6, rtol=1e-5)
    nothing = weights[..., 6:].softmax(-1)[..., -1:]
    torch.testing.assert_close(inherited, 1 - nothing, atol=1e-6, rtol=1e-5)
