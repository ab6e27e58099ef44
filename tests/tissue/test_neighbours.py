from __future__ import annotations

import numpy as np

from napari_gest.tissue.area import cell_areas_um2
from napari_gest.tissue.neighbours import Neighbours


def test_means_are_those_of_the_nearest_cells() -> None:
    rng = np.random.default_rng(0)
    coords, values = rng.random((50, 2)), rng.random((50, 3)).astype(np.float32)
    near = Neighbours.of(coords, 6)
    order = np.argsort(np.linalg.norm(coords - coords[4], axis=1))
    np.testing.assert_allclose(near.mean(values)[4], values[order[1:6]].mean(0), rtol=1e-5)
    np.testing.assert_allclose(near.mean(values, own=True)[4], values[order[:6]].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(near.nearest(1).mean(values, own=True), values)


def test_fewer_cells_than_neighbours() -> None:
    assert Neighbours.of(np.random.default_rng(0).random((4, 2)), 13).index.shape == (4, 4)


def test_areas_of_a_lattice_are_its_squares_and_gaps_are_no_tissue() -> None:
    x, y = np.meshgrid(np.arange(20) * 10.0, np.arange(20) * 10.0)
    lattice = np.stack([x.ravel(), y.ravel()], 1)
    areas = cell_areas_um2(lattice).reshape(20, 20)
    np.testing.assert_allclose(areas[5:15, 5:15].mean(), 100, rtol=0.1)
    torn = np.vstack([lattice, lattice + np.array([1000.0, 0.0])])
    np.testing.assert_allclose(cell_areas_um2(torn).sum(), 2 * areas.sum(), rtol=0.05)
