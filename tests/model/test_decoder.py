"""Exactness of the two-stream decoder."""

from __future__ import annotations

import pytest
import torch
from decoders import PAPER, SHIPPED, L, decoder, window
from torch import Tensor

from benchmarks.generation.masked import masked_forward
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST, bundled_models

VARIANTS = [
    SHIPPED,
    SHIPPED | {"profiles": "paper"},
    PAPER,
    {},
    {"n_geometry": 0},
    {"local_prior": False},
    {"distance_bias": False},
    {"local_prior": False, "distance_bias": False},
    {"position_code": "ones"},
]


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_two_streams_equal_the_masked_form(settings: dict[str, object]) -> None:
    network, given = decoder(**settings), window()
    fast, slow = network(**given), masked_forward(network, **given)
    assert (fast[0] - slow[0]).abs().max() <= 2e-6
    assert (fast[1] is None) == (slow[1] is None) == (network.local_prior is None)
    if fast[1] is not None:
        assert (fast[1] - slow[1]).abs().max() <= 2e-6


@pytest.mark.parametrize("name", bundled_models())
@torch.no_grad()
def test_two_streams_equal_the_masked_form_in_bundled_models(name: str) -> None:
    model = GeST.load(name)
    size = {"n": model.config.window_cells, "k": model.tokenizer.n_meta_cells}
    for seed in range(2):
        given = window(seed, batch=1, **size)
        fast, slow = model.network(**given)[0], masked_forward(model.network, **given)[0]
        # Beside the 2e-6 one last bit: these logits reach 14.
        torch.testing.assert_close(fast, slow, atol=2e-6, rtol=2**-23)


@torch.no_grad()
def test_what_the_bundled_models_have_matters() -> None:
    """Or the tests of exactness would compare nothing."""
    network, given = decoder(**SHIPPED), window()
    before = network(**given)[0]
    for name, without in (
        ("mass", None),
        ("content_geometry", 0 * given["content_geometry"]),
        ("query_geometry", 0 * given["query_geometry"]),
    ):
        assert (network(**(given | {name: without}))[0] - before).abs().max() > 1e-3
    profiles = network.profiles, decoder(**SHIPPED, profiles="paper").profiles
    assert profiles[0].min() < 0 <= profiles[1].min()


@torch.no_grad()
def test_a_code_of_ones_knows_no_place() -> None:
    plain = {"distance_bias": False, "local_prior": False, "n_geometry": 0}
    given = window()
    moved = given | {"content_xy": -given["content_xy"], "query_xy": 2 * given["query_xy"]}
    for code, same in (("ones", True), ("waves", False)):
        network = decoder(**plain, position_code=code)
        before, after = network(**given)[0], network(**moved)[0]
        assert torch.equal(before, after) == same
    assert (network.position(given["query_xy"]) != 1).any()


def run(network: Decoder, given: dict[str, Tensor], shift: Tensor) -> Tensor:
    """Return logits of a whole window whose content is more than its meta cells."""
    context = network.encode(
        network.table(),
        given["mixture"],
        given["content_xy"],
        mass=given["mass"],
        shift=shift,
        geometry=given["content_geometry"],
    )
    at = given["query_xy"]
    hidden = network.ask(context, at, geometry=given["query_geometry"], causal=True)
    return network.logits(hidden, context, at, causal=True)


@pytest.mark.parametrize("settings", VARIANTS)
def test_nothing_leaks_from_later_cells_or_other_queries(settings: dict[str, object]) -> None:
    network, i = decoder(**settings), 11
    given = {name: value.requires_grad_() for name, value in window(batch=1).items()}
    shift = torch.zeros(1, L, network.embed.out_features, requires_grad=True)
    run(network, given, shift)[0, i].square().sum().backward()
    content = {name: given[name].grad for name in ("mixture", "content_xy")} | {"shift": shift.grad}
    queries = {"query_xy": given["query_xy"].grad}
    if network.arrangement is not None:
        content["content_geometry"] = given["content_geometry"].grad
        queries["query_geometry"] = given["query_geometry"].grad
    if network.local_prior is not None:
        content["mass"] = given["mass"].grad.unsqueeze(-1)
    for name, gradient in content.items():
        assert (gradient[0, i + 1 :] == 0).all(), name
        assert (gradient[0, : i + 1].abs().sum(-1) > 0).all(), name
    others = torch.arange(L) != i
    for name, gradient in queries.items():
        assert (gradient[0, others] == 0).all(), name
        assert (gradient[0, i] != 0).any(), name


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_values_of_later_cells_and_queries_do_not_matter(settings: dict[str, object]) -> None:
    network, i = decoder(**settings), 11
    given, other = window(batch=1), window(seed=1, batch=1)
    before = network(**given)[0][0, i]
    for name, value in given.items():
        value[0, i + 1 :] = other[name][0, i + 1 :]
        if name.startswith("query"):
            value[0, :i] = other[name][0, :i]
    assert (network(**given)[0][0, i] - before).abs().max() <= 2e-6


@pytest.mark.parametrize("settings", [SHIPPED, PAPER])
@torch.no_grad()
def test_a_cached_context_equals_one_encoded_at_once(settings: dict[str, object]) -> None:
    network, given = decoder(**settings), window()
    mixture, xy, mass = given["mixture"], given["content_xy"], given["mass"]
    around, table, grown = given["content_geometry"], network.table(), None
    for part in (slice(0, 7), slice(7, 8), slice(8, 21), slice(21, L)):
        grown = network.encode(
            table,
            mixture[:, part],
            xy[:, part],
            grown,
            mass=mass[:, part],
            geometry=around[:, part],
        )
    assert grown.n_cells == L
    at, there = given["query_xy"], given["query_geometry"]
    cached = network.predict(network.ask(grown, at, geometry=there), grown, at)[0]
    uncached = network(**given, causal=False)[0]
    assert (cached - uncached).abs().max() <= 2e-6


@pytest.mark.parametrize("settings", [SHIPPED, PAPER])
@torch.no_grad()
def test_the_whole_context_equals_the_last_causal_row(settings: dict[str, object]) -> None:
    network, given = decoder(**settings), window()
    whole, causal = network(**given, causal=False)[0], network(**given)[0]
    assert (whole[:, -1] - causal[:, -1]).abs().max() <= 2e-6
    assert (whole[:, 0] - causal[:, 0]).abs().max() > 1e-2


@torch.no_grad()
def test_a_mask_is_the_same_as_causal() -> None:
    network, given = decoder(), window()
    at, mask = given["query_xy"], torch.full((1, 1, L, L), float("-inf")).triu(1)
    context = network.encode(
        network.table(),
        given["mixture"],
        given["content_xy"],
        mass=given["mass"],
        geometry=given["content_geometry"],
    )
    hidden = network.ask(context, at, geometry=given["query_geometry"], mask=mask)
    masked = network.logits(hidden, context, at, mask=mask)
    assert (masked - network(**given)[0]).abs().max() <= 1e-5


@torch.no_grad()
def test_the_local_prior_of_one_cell_is_that_cell() -> None:
    network, given = decoder(), window(batch=1)
    cell, at = given["mixture"][:, :1], given["query_xy"]
    context = network.encode(network.table(), cell, given["content_xy"][:, :1])
    hidden = network.ask(context, at)
    prior, inherited = network.local_prior(hidden, context, at, network.log_prior, False, None)
    weights = network.local_prior.weigh(hidden)
    share = weights[..., :6].softmax(-1)[..., -1:]
    expected = share * network.log_prior.exp() + (1 - share) * cell
    torch.testing.assert_close(prior.exp(), expected, atol=1e-6, rtol=1e-5)
    nothing = weights[..., 6:].softmax(-1)[..., -1:]
    torch.testing.assert_close(inherited, 1 - nothing, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_an_item_counts_in_the_local_prior_as_often_as_the_cells_it_stands_for() -> None:
    network, given = decoder(), window(batch=1)
    xy, at, n = given["content_xy"], given["query_xy"], 3.0
    mass = torch.ones(1, L)
    mass[0, 4] = n
    pooled = network.encode(network.table(), given["mixture"], xy, mass=mass)
    cells = torch.cat([torch.arange(L), torch.full((int(n) - 1,), 4)])
    single = network.encode(network.table(), given["mixture"][:, cells], xy[:, cells])
    hidden = network.ask(pooled, at)
    one, many = (
        network.local_prior(hidden, context, at, network.log_prior, False, None)
        for context in (pooled, single)
    )
    torch.testing.assert_close(one[0], many[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[1][..., 4], many[1][..., cells == 4].sum(-1))
