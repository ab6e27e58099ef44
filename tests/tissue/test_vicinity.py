from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_gest.tissue.vicinity import vicinity

RNG = np.random.default_rng(0)
CELLS = RNG.uniform(0, 1000, (4000, 2))


@pytest.mark.parametrize("n_cells", [1, 30, 300])
@pytest.mark.parametrize("least", [0.0, 120.0])
@pytest.mark.parametrize("where", ["inside", "outside", "one", "on a cell"])
def test_they_are_enough(n_cells: int, least: float, where: str) -> None:
    targets = RNG.uniform(300, 360, (40, 2))
    if where == "outside":
        targets = targets - 1500
    elif where == "one":
        targets = targets[:1]
    elif where == "on a cell":
        targets = CELLS[7:8]
    near = vicinity(CELLS, targets, n_cells, least)
    assert (np.diff(near) > 0).all()
    assert len(near) < len(CELLS) or where == "outside"
    far = cKDTree(targets).query(CELLS)[0]
    assert set(np.argsort(far)[:n_cells]) <= set(near)
    assert set(np.flatnonzero(far <= max(least, 2 * far.min()))) <= set(near)
    for point in np.vstack([targets, RNG.uniform(targets.min(0), targets.max(0), (50, 2))]):
        there = cKDTree(CELLS).query(point, k=[*range(1, n_cells + 1)])[1]
        assert set(there) <= set(near)


def test_a_small_section_is_taken_whole() -> None:
    np.testing.assert_array_equal(vicinity(CELLS[:30], CELLS[:2], 30, 0.0), np.arange(30))
    near = vicinity(CELLS, CELLS[:5], 10, 2000.0)
    np.testing.assert_array_equal(near, np.arange(len(CELLS)))


def test_cells_on_one_spot() -> None:
    cells = np.vstack([np.zeros((20, 2)), np.full((20, 2), 50.0)])
    near = vicinity(cells, np.zeros((1, 2)), 25, 0.0)
    np.testing.assert_array_equal(near, np.arange(40))
    np.testing.assert_array_equal(vicinity(cells, np.zeros((1, 2)), 5, 0.0), np.arange(20))
