"""Regions between the canvas and the tissue. No Qt: layers live without a viewer."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from napari.layers import Points, Shapes

from napari_gest.canvas.shapes import (
    affine,
    from_roi,
    region_settings,
    role_of,
    to_canvas,
    to_lines,
    to_tissue,
    to_um,
)
from napari_gest.tissue.roi import Roi

TURNED = {"scale": (2.0, 0.5), "translate": (30.0, -7.0), "rotate": 25.0}


def test_axes_are_flipped_both_ways():
    coords = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert to_canvas(coords).tolist() == [[2, 1], [4, 3]]
    np.testing.assert_array_equal(to_tissue(to_canvas(coords)), coords)
    assert to_tissue(np.array([[9.0, 2.0, 1.0]])).tolist() == [[1, 2]]


def read_back(shapes: Shapes, cells: Points) -> Roi:
    """Return what is drawn on a layer, in um of the section that ``cells`` shows."""
    world = [affine(shapes.data_to_world, np.asarray(data)) for data in shapes.data]
    return Roi.from_vertices([to_um(outline, cells) for outline in world])


def test_a_region_goes_to_the_canvas_and_back():
    roi = Roi.from_vertices([[(0, 0), (40, 0), (40, 10)], [(100, 100), (120, 100), (110, 130)]])
    cells = Points(np.zeros((1, 2)), **TURNED)
    shapes = Shapes(from_roi(roi, cells), shape_type="polygon")
    back = read_back(shapes, cells)
    assert back.geometry.symmetric_difference(roi.geometry).area == pytest.approx(0, abs=1e-2)


def test_an_area_without_cells_has_no_outline():
    cells = Points(np.zeros((1, 2)))
    for empty in (shapely.MultiPolygon(), shapely.MultiPolygon().buffer(-1), shapely.Polygon()):
        assert to_lines(empty, cells) == []
    square = shapely.box(0, 0, 10, 10)
    assert len(to_lines(shapely.MultiPolygon([square]), cells)) == 1
    ring = shapely.difference(square, shapely.box(4, 4, 6, 6))
    assert len(to_lines(shapely.MultiPolygon([ring]), cells)) == 2


def with_holes(rng: np.random.Generator) -> Roi:
    """Two discs with a few holes each, some of which meet or lie in one another's shadow."""
    area = shapely.union(shapely.Point(0, 0).buffer(100), shapely.Point(230, 30).buffer(90))
    for _ in range(rng.integers(1, 8)):
        hole = shapely.Point(*rng.uniform([-70, -70], [300, 90])).buffer(rng.uniform(3, 30))
        area = shapely.difference(area, hole)
    return Roi(area)


@pytest.mark.parametrize("seed", range(25))
def test_holes_of_a_region_go_to_the_canvas_and_back(seed):
    rng = np.random.default_rng(seed)
    roi = with_holes(rng)
    cells = Points(np.zeros((1, 2)), **(TURNED if seed % 2 else {}))
    shapes = Shapes(from_roi(roi, cells), shape_type="polygon")
    assert len(shapes.data) == len(shapely.get_parts(roi.geometry))
    back = read_back(shapes, cells)
    inside = rng.uniform([-120, -120], [330, 140], (4000, 2))
    # Napari keeps corners as float32: what lies on an outline may change sides.
    points = shapely.points(inside)
    inside = inside[shapely.distance(roi.geometry.boundary, points) > 1e-3]
    np.testing.assert_array_equal(back.contains(inside), roi.contains(inside))
    assert back.geometry.symmetric_difference(roi.geometry).area < 0.1


def test_the_cut_to_a_hole_stays_inside_the_region():
    outer = [(0, 0), (100, 0), (100, 100), (52, 100), (52, 20), (48, 20), (48, 100), (0, 100)]
    holes = [[(10, 60), (40, 60), (40, 90), (10, 90)], [(60, 10), (62, 10), (62, 12), (60, 12)]]
    roi = Roi(shapely.Polygon(outer, holes))
    (ring,) = from_roi(roi)
    assert shapely.covers(roi.geometry.buffer(1e-6), shapely.LinearRing(to_tissue(ring)))


def test_role_is_kept_under_one_key():
    shapes = Shapes(**region_settings())
    assert role_of(shapes) == "unseen"
    assert list(shapes.metadata) == ["gest"]
    assert role_of(Points(np.zeros((1, 2)))) is None
    assert [str(u) for u in shapes.units] == ["micrometer", "micrometer"]
    assert shapes.axis_labels == ("y", "x")
