"""Pooled contexts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gest.tissue.pool import Pool


def around(n: int, n_items: int, seed: int = 0) -> tuple[Pool, np.ndarray]:
    offset = np.random.default_rng(seed).normal(size=(n, 2))
    offset = offset[np.argsort(np.linalg.norm(offset, axis=1))]
    return Pool.around(offset, n_items), offset


@given(st.integers(1, 1500), st.integers(2, 300))
def test_every_cell_is_in_one_item(n: int, n_items: int) -> None:
    pool, _ = around(n, n_items)
    assert len(pool.mass) <= min(n, n_items)
    assert np.array_equal(np.bincount(pool.group), pool.mass)
    assert (pool.mass > 0).all()
    assert pool.mass.sum() == n


def test_near_cells_are_alone_and_groups_grow_outward() -> None:
    pool, offset = around(3000, 256)
    assert len(pool.mass) == 256
    assert (pool.mass[-128:] == 1).all()
    assert np.array_equal(pool.group[:128], 255 - np.arange(128))
    distance = pool.mean(np.linalg.norm(offset, axis=1)[:, None])[:, 0]
    assert distance[:16].mean() > distance[64:80].mean() > distance[112:128].mean()
    assert pool.mass[:16].mean() > 3 * pool.mass[112:128].mean()


def test_a_group_is_one_place() -> None:
    pool, offset = around(3000, 256)
    centre = pool.mean(offset)[pool.group]
    spread = np.linalg.norm(offset - centre, axis=1)
    assert np.median(spread) < 0.25 * np.median(np.linalg.norm(offset, axis=1))


def test_means_and_shares() -> None:
    pool, _ = around(500, 40)
    rng = np.random.default_rng(0)
    values, kind = rng.normal(size=(500, 3)), rng.integers(0, 5, 500)
    means, shares = pool.mean(values), pool.shares(kind, 5)
    for item in (0, 7, len(means) - 1):
        inside = pool.group == item
        assert means[item] == pytest.approx(values[inside].mean(0), abs=1e-5)
        assert shares[item] == pytest.approx(np.bincount(kind[inside], minlength=5) / inside.sum())


def test_few_cells_stay_single() -> None:
    pool, _ = around(20, 64)
    assert np.array_equal(pool.group, np.arange(20)[::-1])
    assert (pool.mass == 1).all()
