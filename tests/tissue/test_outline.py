"""Outlines hold their cells, touch and do not overlap."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_gest.tissue import outline
from napari_gest.tissue.outline import outline_around, outlines


@pytest.fixture
def halves() -> tuple[np.ndarray, np.ndarray]:
    """A jittered grid of cells 10 um apart with a hole in the right half."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2) * 10.0
    coords = grid + rng.uniform(-3, 3, grid.shape)
    coords = coords[np.linalg.norm(coords - [300, 200], axis=1) > 50]
    return coords, (coords[:, 0] > 195).astype(np.int64)


def test_each_area_holds_its_cells_and_no_others(halves):
    coords, labels = halves
    left, right = outlines(coords, labels, 2)
    inside = shapely.contains_xy(left, coords)
    assert inside[labels == 0].mean() > 0.97
    assert inside[labels == 1].mean() < 0.03
    assert left.is_valid
    assert right.is_valid
    assert left.intersection(right).area < 1e-6 * left.area
    assert left.distance(right) < 1e-6
    assert 0.9 < (left.area + right.area) / (len(coords) * 100) < 1.2


def test_a_hole_in_the_tissue_is_a_hole_in_the_area(halves):
    coords, labels = halves
    _, right = outlines(coords, labels, 2)
    assert sum(len(part.interiors) for part in shapely.get_parts(right)) == 1
    assert not right.contains(shapely.Point(300, 200))


def test_single_cells_and_groups_without_cells_have_no_area(halves):
    coords, labels = halves
    labels = labels.copy()
    labels[np.linalg.norm(coords - [100, 200], axis=1).argmin()] = 2
    left, _, lone, none = outlines(coords, labels, 4)
    assert lone.is_empty
    assert none.is_empty
    assert left.contains(shapely.Point(100, 200))


def test_cells_of_no_group_are_left_out(halves):
    coords, labels = halves
    labels = np.where(coords[:, 1] > 200, -1, labels)
    for area in outlines(coords, labels, 2):
        assert area.bounds[3] < 215


def test_cells_all_in_one_place_have_no_outline():
    (area,) = outlines(np.zeros((5, 2)), np.zeros(5, np.int64), 1)
    assert area.is_empty


def test_cells_far_from_all_others_leave_outlines_as_they_are(halves):
    coords, labels = halves
    near = outlines(coords, labels, 2)
    far = np.array([[1e5, 1e5], [1e9, 200], [200, -1e9]])
    with_far = outlines(np.concatenate([coords, far]), np.append(labels, [0, 1, 0]), 2)
    for one, other in zip(near, with_far, strict=True):
        assert one.symmetric_difference(other).area < 0.05 * one.area


def test_pieces_far_apart_have_outlines_where_they_are(halves):
    coords, labels = halves
    shift = np.array([5e4, -3e4])
    areas = outlines(np.concatenate([coords, coords + shift]), np.append(labels, labels + 2), 4)
    for one, other in zip(areas[:2], areas[2:], strict=True):
        moved = shapely.transform(one, lambda xy: xy + shift)
        assert moved.symmetric_difference(other).area < 0.05 * one.area


def test_scattered_cells_cost_no_more_than_a_map_can(monkeypatch):
    monkeypatch.setattr(outline, "_MOST_PIXELS", 10_000)
    shapes = []
    ground = outline._ground

    def counted(*given):
        shapes.append(ground(*given).shape)
        return ground(*given)

    monkeypatch.setattr(outline, "_ground", counted)
    coords = np.random.default_rng(0).uniform(0, 1000, (4000, 2))
    (area,) = outline.outlines(coords, np.zeros(4000, np.int64), 1)
    assert np.prod(shapes) < 11_000
    assert area.area == pytest.approx(1e6, rel=0.2)


def test_the_outline_around_cells_holds_them_and_little_else():
    grid = np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1).reshape(-1, 2) * 10.0
    area = outline_around(grid)
    assert shapely.contains_xy(area, grid).all()
    assert area.area == pytest.approx(106**2, rel=0.05)
    apart = outline_around(np.concatenate([grid, grid + 500]))
    assert len(apart.geoms) == 2
