"""Regions between the canvas and the tissue. No Qt: layers live without a viewer."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from napari.layers import Points, Shapes

from napari_gest.canvas.shapes import (
    from_roi,
    region_settings,
    role_of,
    to_canvas,
    to_lines,
    to_roi,
    to_tissue,
)
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi

TURNED = {"scale": (2.0, 0.5), "translate": (30.0, -7.0), "rotate": 25.0}


def test_axes_are_flipped_both_ways():
    coords = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert to_canvas(coords).tolist() == [[2, 1], [4, 3]]
    np.testing.assert_array_equal(to_tissue(to_canvas(coords)), coords)
    assert to_tissue(np.array([[9.0, 2.0, 1.0]])).tolist() == [[1, 2]]


def test_a_rectangle_is_read_as_x_y():
    box = np.array([[0, 0], [0, 30], [10, 30], [10, 0]])  # 10 high, 30 wide
    roi = to_roi(Shapes([box], shape_type="rectangle"))
    assert roi.geometry.bounds == (0, 0, 30, 10)
    assert roi.contains(np.array([[20.0, 5.0], [5.0, 20.0]])).tolist() == [True, False]


def test_an_ellipse_is_sampled_even_when_turned():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    box = np.array([[-10, -20], [-10, 20], [10, 20], [10, -20]]) @ turn
    roi = to_roi(Shapes([box], shape_type="ellipse"))
    assert roi.area_um2 == pytest.approx(np.pi * 200, rel=0.01)
    assert not roi.contains(to_tissue(box * 0.95)).any()
    assert roi.contains(to_tissue(box * 0.68)).all()


def test_shapes_are_joined_and_lines_left_out():
    square = np.array([[0, 0], [0, 10], [10, 10], [10, 0]])
    shapes = Shapes(ndim=2)
    shapes.add([square, square + np.array([0, 5])], shape_type="polygon")
    shapes.add([square[:2]], shape_type="line")
    assert to_roi(shapes).area_um2 == pytest.approx(150)


@pytest.mark.parametrize("kind", [None, "line", "path"])
def test_nothing_with_an_area_is_an_error(kind):
    shapes = Shapes(ndim=2)
    if kind:
        shapes.add([np.array([[0, 0], [5, 5]])], shape_type=kind)
    with pytest.raises(InputError, match="No region"):
        to_roi(shapes)


def test_an_outline_that_crosses_itself_covers_what_it_encircles():
    bow = np.array([[0, 0], [10, 10], [10, 0], [0, 10]])
    assert to_roi(Shapes([bow], shape_type="polygon")).area_um2 == pytest.approx(50)


def test_transforms_of_both_layers_are_respected():
    rng = np.random.default_rng(0)
    cells = Points(rng.uniform(0, 100, (400, 2)), translate=(500.0, 900.0), scale=(1.5, 1.5))
    shapes = Shapes(ndim=2, **TURNED)
    # A square drawn around the world positions of some cells, in the shapes layer's own data.
    corners = np.array([[20.0, 20.0], [20.0, 60.0], [70.0, 60.0], [70.0, 20.0]])
    drawn = [shapes.world_to_data(cells.data_to_world(c)) for c in corners]
    shapes.add([np.array(drawn)], shape_type="polygon")
    roi = to_roi(shapes, cells)
    y, x = cells.data.T
    expected = (y > 20) & (y < 70) & (x > 20) & (x < 60)
    np.testing.assert_array_equal(roi.contains(to_tissue(cells.data)), expected)


def test_a_region_goes_to_the_canvas_and_back():
    roi = Roi.from_vertices([[(0, 0), (40, 0), (40, 10)], [(100, 100), (120, 100), (110, 130)]])
    cells = Points(np.zeros((1, 2)), **TURNED)
    shapes = Shapes(from_roi(roi, cells), shape_type="polygon")
    back = to_roi(shapes, cells)
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
    back = to_roi(shapes, cells)
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
