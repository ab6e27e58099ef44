"""The part of a region that is too deep."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import Polygon

from napari_gest.tissue.depth import beyond_depth
from napari_gest.tissue.roi import Roi


def known(half: float, spacing: float = 5.0, extent: float = 200.0) -> np.ndarray:
    """Return cells on a grid around a square hole, to each side of the origin."""
    grid = np.stack(np.meshgrid(*[np.arange(-extent, extent + 1, spacing)] * 2), -1).reshape(-1, 2)
    return grid[np.abs(grid).max(1) >= half]


def test_it_is_the_region_without_what_cells_reach() -> None:
    cells = known(100)
    beyond = beyond_depth(Roi(shapely.box(-100, -100, 100, 100)), cells, 40)
    assert beyond is not None
    # A square of 120 um, with its corners whole: the known cells end where the region does.
    assert beyond.area_um2 == pytest.approx(120**2, rel=0.03)
    corners = shapely.get_coordinates(beyond.geometry)
    distance = np.linalg.norm(corners[:, None] - cells[None], axis=2).min(1)
    np.testing.assert_allclose(distance, 40, atol=1.5)


def test_there_is_none_where_the_region_is_shallow() -> None:
    assert beyond_depth(Roi(shapely.box(-100, -100, 100, 100)), known(100), 105) is None


def test_holes_and_parts_are_kept() -> None:
    square = shapely.box(-100, -100, 100, 100)
    ring = Polygon(square.exterior, [shapely.box(-10, -10, 10, 10).exterior])
    cells = np.concatenate([known(100), np.zeros((1, 2))])  # one is known in the middle
    beyond = beyond_depth(Roi(ring), cells, 40)
    assert beyond is not None
    assert not beyond.geometry.contains(shapely.Point(0, 30))
    assert beyond.geometry.contains(shapely.Point(0, 50))
