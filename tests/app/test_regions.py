"""Regions a user draws and paints, in um. No layers."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from app_stubs import shape

from napari_gest.app.regions import Shape, Stroke, brushed_region, drawn_region, of_role
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi

SQUARE = Shape(
    role="edited", section="a", kind="polygon", corners=((0, 0), (10, 0), (10, 10), (0, 10))
)


def stroke(mode: str, *box: float) -> Stroke:
    return Stroke.of("a", mode, shapely.box(*box))


def test_shapes_of_a_role_on_a_section_in_the_order_they_were_drawn():
    shapes = (shape("a"), shape("b"), shape("a", "named"), shape("a", at=3.0))
    assert of_role(shapes, "unseen", "a") == (shapes[0], shapes[3])
    assert of_role(shapes, "named", "a") == (shapes[2],)
    assert of_role(shapes, "unseen", None) == ()


def test_a_region_is_the_union_of_its_shapes():
    wide = SQUARE.model_copy(update={"corners": ((5, 0), (20, 0), (20, 10), (5, 10))})
    assert drawn_region([SQUARE, wide]).area_um2 == pytest.approx(200)
    apart = SQUARE.model_copy(update={"corners": ((50, 0), (60, 0), (60, 10), (50, 10))})
    assert drawn_region([SQUARE, apart]).area_um2 == pytest.approx(200)
    with pytest.raises(InputError, match="No region"):
        drawn_region([])


def test_a_shape_without_an_area_is_an_error():
    flat = SQUARE.model_copy(update={"corners": ((0, 0), (10, 0), (5, 0))})
    with pytest.raises(InputError):
        drawn_region([flat])


def test_an_outline_that_crosses_itself_covers_what_it_encircles():
    bow = SQUARE.model_copy(update={"corners": ((0, 0), (10, 10), (0, 10), (10, 0))})
    assert drawn_region([bow]).area_um2 == pytest.approx(50)


def test_an_ellipse_is_sampled_even_when_turned():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    box = np.array([[-20, -10], [20, -10], [20, 10], [-20, 10]]) @ turn
    ellipse = Shape(
        role="unseen", section="a", kind="ellipse", corners=[tuple(c) for c in box.tolist()]
    )
    roi = drawn_region([ellipse])
    assert roi.area_um2 == pytest.approx(np.pi * 200, rel=0.01)
    assert not roi.contains(box * 0.95).any()
    assert roi.contains(box * 0.68).all()


def test_strokes_add_and_remove_in_their_order():
    more, less = stroke("add", 10, 0, 20, 10), stroke("remove", 5, 0, 12, 10)
    assert brushed_region([SQUARE], []).area_um2 == pytest.approx(100)
    assert brushed_region([SQUARE], [more, less]).area_um2 == pytest.approx(50 + 80)
    assert brushed_region([SQUARE], [less, more]).area_um2 == pytest.approx(50 + 100)
    assert brushed_region([], [more]).area_um2 == pytest.approx(100)


@pytest.mark.parametrize("shapes", [[], [SQUARE]])
def test_nothing_left_is_an_error(shapes):
    with pytest.raises(InputError, match="no region"):
        brushed_region(shapes, [stroke("remove", -1, -1, 11, 11)])


def test_a_stroke_can_cut_a_hole_and_split_a_region():
    hole = brushed_region([SQUARE], [stroke("remove", 4, 4, 6, 6)])
    assert isinstance(hole, Roi)
    assert hole.contains(np.array([[5.0, 5.0], [1.0, 1.0]])).tolist() == [False, True]
    parts = brushed_region([SQUARE], [stroke("remove", 4, -1, 6, 11)])
    assert shapely.get_num_geometries(parts.geometry) == 2


def test_they_come_back_from_json_to_the_last_digit():
    disc = shapely.Point(1 / 3, 2 / 7).buffer(np.pi)
    one = Stroke.of("a", "add", disc)
    assert Stroke.model_validate_json(one.model_dump_json()) == one
    np.testing.assert_array_equal(shapely.get_coordinates(one.area), shapely.get_coordinates(disc))
    fine = SQUARE.model_copy(update={"corners": ((1 / 3, 0.1), (10, 0), (2 / 7, 10))})
    assert Shape.model_validate_json(fine.model_dump_json()) == fine


def test_only_the_last_stroke_is_joined_while_the_brush_moves(monkeypatch):
    done = [stroke("add", 20 * i, 0, 20 * i + 10, 10) for i in range(1, 4)]
    before = brushed_region([SQUARE], [*done, stroke("remove", 0, 0, 1, 10)]).area_um2
    assert before == pytest.approx(4 * 100 - 10)
    read, area = [], Stroke.area.fget

    def joined(self):
        read.append(self)
        return area(self)

    monkeypatch.setattr(Stroke, "area", property(joined))
    last = stroke("remove", 0, 0, 2, 10)
    assert brushed_region([SQUARE], [*done, last]).area_um2 == pytest.approx(4 * 100 - 20)
    assert read == [last]
    more = brushed_region([SQUARE], [*done, last, stroke("add", 0, 0, 1, 10)])
    assert more.area_um2 == pytest.approx(4 * 100 - 10)
