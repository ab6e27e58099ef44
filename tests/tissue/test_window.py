from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from napari_gest.tissue.window import (
    compact_groups,
    crop,
    hole_window,
    reflect_rotate,
    symmetries,
    window_side,
)


def test_a_window_holds_its_cells() -> None:
    coords = np.random.default_rng(0).uniform(0, 1000, (4000, 2))
    side = window_side(coords, 100)
    assert side == pytest.approx((100 / 0.004) ** 0.5, rel=0.15)
    inside = [(np.abs(coords - c) < side / 2).all(axis=1).sum() for c in coords[::40]]
    assert np.median(inside) == pytest.approx(100, rel=0.2)


def test_a_small_section_is_scaled_up() -> None:
    coords = np.random.default_rng(0).uniform(0, 100, (50, 2))
    assert window_side(coords, 200) == pytest.approx(2 * window_side(coords, 50))


@pytest.mark.parametrize("dropped", [0.0, 0.3])
def test_a_crop_is_a_square_with_cells_left_out(dropped: float) -> None:
    coords = np.random.default_rng(0).uniform(0, 1000, (2000, 2))
    centre = np.array([500.0, 400.0])
    found = crop(cKDTree(coords), centre, 100, dropped, np.random.default_rng(1))
    assert len(np.unique(found)) == 100
    half = np.abs(coords - centre).max(axis=1)
    nearest = np.argsort(half)[: round(100 / (1 - dropped))]
    assert set(found) <= set(nearest)
    assert dropped or set(found) == set(nearest)


def test_a_crop_of_a_small_section_takes_what_there_is() -> None:
    coords = np.random.default_rng(0).uniform(0, 100, (20, 2))
    found = crop(cKDTree(coords), coords[0], 100, 0.3, np.random.default_rng(1))
    assert sorted(found) == list(range(20))


@given(st.integers(0, 2**31))
def test_turning_keeps_distances(seed: int) -> None:
    coords = np.random.default_rng(0).normal(size=(10, 2))
    turned = reflect_rotate(coords, np.random.default_rng(seed))
    assert pdist(turned) == pytest.approx(pdist(coords))


def test_half_of_the_turns_reflect() -> None:
    rng = np.random.default_rng(0)
    turns = [np.linalg.det(reflect_rotate(np.eye(2), rng)) for _ in range(200)]
    assert np.abs(turns) == pytest.approx(np.ones(200))
    assert 70 < (np.array(turns) < 0).sum() < 130


def test_a_hole_window_hides_its_hole() -> None:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 600, (3000, 2))
    centre = np.array([300.0, 300.0])
    context, targets = hole_window(cKDTree(coords), centre, 80.0, 64, 20, 0.2, rng)
    distance = np.linalg.norm(coords - centre, axis=1)
    assert (distance[context] > 80).all()
    assert (distance[targets] <= 80).all()
    assert len(context) == 64
    assert len(set(targets)) == 20
    middle = coords[targets].mean(0)
    outward = np.linalg.norm(coords[context] - middle, axis=1)
    assert outward[:16].mean() < outward[-16:].mean()


def test_a_small_hole_is_widened() -> None:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 600, (3000, 2))
    context, targets = hole_window(cKDTree(coords), coords[0], 0.0, 64, 20, 0.0, rng)
    assert len(targets) == 20
    assert not set(context) & set(targets)


def test_every_cell_is_in_one_compact_group() -> None:
    coords = np.random.default_rng(0).random((500, 2))
    groups = compact_groups(coords, 32)
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert max(map(len, groups)) <= 32
    assert max(np.ptp(coords[g], axis=0).max() for g in groups) < 0.5


def test_symmetries_keep_distances_and_begin_with_none() -> None:
    turns = symmetries()
    assert len(np.unique(turns, axis=0)) == 8
    np.testing.assert_array_equal(turns[0], np.eye(2))
    for turn in turns:
        np.testing.assert_allclose(turn @ turn.T, np.eye(2))
