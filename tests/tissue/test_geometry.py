"""How cells are arranged around a cell."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.tissue.geometry import N_GEOMETRY, Geometry


@pytest.fixture
def coords() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 500, (800, 2))


def test_shifts_turns_and_units_do_not_matter(coords: np.ndarray) -> None:
    cells = np.arange(800)
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    moved = 2.5 * coords @ turn + [1e4, -300]
    assert Geometry(moved)(cells) == pytest.approx(Geometry(coords)(cells), abs=1e-3)


def test_numbers_are_z_scores(coords: np.ndarray) -> None:
    found = Geometry(coords)(np.arange(800))
    assert found.shape == (800, N_GEOMETRY)
    assert np.abs(found.mean(0)).max() < 0.1
    assert found.std(0) == pytest.approx(np.ones(N_GEOMETRY), abs=0.1)


def test_a_dense_clump_and_an_edge_stand_out(coords: np.ndarray) -> None:
    clump = np.random.default_rng(1).normal(250, 3, (40, 2))
    found = Geometry(np.concatenate([coords, clump]))(np.arange(840))
    assert found[800:, :4].mean() < found[:800, :4].mean() - 1  # neighbours are near
    edge = coords[:, 0] < 10
    middle = (np.abs(coords - 250) < 150).all(1)
    lopsided = found[:800, -1]
    assert lopsided[edge].mean() > lopsided[middle].mean() + 1


def test_cells_are_described_alike_together_or_alone(coords: np.ndarray) -> None:
    geometry = Geometry(coords)
    whole = Geometry(coords)(np.arange(800))
    few = np.array([5, 3, 700])
    assert np.array_equal(geometry(few), whole[few])
    assert np.array_equal(geometry(np.arange(800)), whole)
    assert geometry(np.array([], int)).shape == (0, N_GEOMETRY)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_few_cells_and_cells_in_one_place_give_numbers(n: int) -> None:
    coords = np.random.default_rng(0).uniform(0, 50, (n, 2))
    assert np.isfinite(Geometry(coords)(np.arange(n))).all()
    assert np.isfinite(Geometry(np.concatenate([coords, coords]))(np.arange(2 * n))).all()


def test_numbers_that_are_not_kept_are_the_same(coords: np.ndarray) -> None:
    geometry, few = Geometry(coords), np.array([5, 3, 700])
    assert np.array_equal(geometry.once(few), geometry(few))
    assert geometry.once(few).dtype == np.float32
