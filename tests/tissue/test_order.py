from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from napari_gest.tissue.order import ORDERS, Order, serialize


def window(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2))


@given(st.sampled_from(ORDERS), st.integers(1, 60), st.integers(0, 2**31))
def test_every_cell_comes_once(order: Order, n: int, seed: int) -> None:
    found = serialize(window(n, seed), order, 2.0, np.random.default_rng(seed))
    assert sorted(found.tolist()) == list(range(n))
    again = serialize(window(n, seed), order, 2.0, np.random.default_rng(seed))
    assert np.array_equal(found, again)


@given(st.sampled_from(ORDERS), st.integers(0, 2**31))
def test_scale_does_not_matter(order: Order, seed: int) -> None:
    near = serialize(window(40), order, 2.0, np.random.default_rng(seed))
    # A power of two, so that rounding cannot swap two cells.
    far = serialize(window(40) * 256, order, 512.0, np.random.default_rng(seed))
    assert np.array_equal(near, far)


def test_inward_ends_nearer_together_than_it_begins() -> None:
    coords = window(400)
    for seed in range(5):
        found = serialize(coords, "inward", 2.0, np.random.default_rng(seed))
        first, last = pdist(coords[found[:40]]), pdist(coords[found[-40:]])
        assert last.mean() < first.mean()


@pytest.mark.parametrize("order", ["corner", "strict", "eq6"])
def test_orders_from_a_corner_start_there(order: Order) -> None:
    coords = window(400)
    for seed in range(5):
        found = serialize(coords, order, 2.0, np.random.default_rng(seed))
        assert np.abs(coords[found[0]]).min() > 0.8


def test_strict_is_by_distance() -> None:
    coords = window(100)
    found = serialize(coords, "strict", 2.0, np.random.default_rng(0))
    apart = np.linalg.norm(coords[found] - coords[found[0]], axis=1)
    assert (np.diff(apart) >= 0).all()


def test_the_second_cell_of_eq6_is_drawn_by_distance() -> None:
    # Sorting with Gumbel noise must give the probabilities of drawing one by one.
    coords = np.array([[-1.0, -1], [-1, 0], [1, -1], [1, 1]])
    rng = np.random.default_rng(0)
    second = np.zeros(4)
    n = 0
    for _ in range(8000):
        found = serialize(coords, "eq6", 2.0, rng)
        if found[0] == 0:
            second[found[1]] += 1
            n += 1
    distance = np.linalg.norm(coords - coords[0], axis=1)
    assert second / n == pytest.approx(distance / distance.sum(), abs=0.05)
