from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from napari_gest.tissue.area import cell_areas_um2, on_lattice


def test_areas_of_a_lattice_are_its_squares_and_gaps_are_no_tissue() -> None:
    x, y = np.meshgrid(np.arange(20) * 10.0, np.arange(20) * 10.0)
    lattice = np.stack([x.ravel(), y.ravel()], 1)
    areas = cell_areas_um2(lattice).reshape(20, 20)
    np.testing.assert_allclose(areas[5:15, 5:15].mean(), 100, rtol=0.1)
    torn = np.vstack([lattice, lattice + np.array([1000.0, 0.0])])
    np.testing.assert_allclose(cell_areas_um2(torn).sum(), 2 * areas.sum(), rtol=0.05)


def test_a_cell_far_from_all_others_changes_nothing_near_them() -> None:
    coords = np.random.default_rng(0).uniform(0, 300, (400, 2))
    areas = cell_areas_um2(coords)
    for at in (1e5, 1e9):
        far = cell_areas_um2(np.vstack([coords, [at, at]]))
        np.testing.assert_allclose(far[:-1].sum(), areas.sum(), rtol=0.02)  # pixels lie elsewhere
        assert 0 < far[-1] < 3 * areas.max()


def test_spots_lie_on_a_wide_lattice():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2) * 100.0
    assert on_lattice(cKDTree(grid + rng.uniform(-4, 4, grid.shape)))
    assert not on_lattice(cKDTree(grid / 10))  # as near each other as cells
    assert not on_lattice(cKDTree(rng.uniform(0, 4000, (400, 2))))
    assert not on_lattice(cKDTree(grid[:3]))
