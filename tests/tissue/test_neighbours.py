from __future__ import annotations

import numpy as np

from napari_gest.files import Scratch
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


def test_neighbours_in_files_are_those_in_memory() -> None:
    coords = np.random.default_rng(0).random((20_000, 2))
    files = Scratch("test-neighbours")
    try:
        kept = Neighbours.of(coords, files=files, name="near")
        np.testing.assert_array_equal(kept.index, Neighbours.of(coords).index)
        np.testing.assert_array_equal(files.read("near"), kept.index)
    finally:
        files.close()
