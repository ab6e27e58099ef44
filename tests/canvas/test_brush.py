"""Regions corrected with a brush. No Qt."""

from __future__ import annotations

import pytest
import shapely

from napari_gest.app.regions import Shape, Stroke, brushed_region
from napari_gest.errors import InputError


def _stroke(mode: str, *box: float) -> Stroke:
    return Stroke.of("section_1", mode, shapely.box(*box))


def test_strokes_add_and_remove_in_their_order():
    corners = ((0, 0), (10, 0), (10, 10), (0, 10))
    square = Shape(role="edited", section="section_1", kind="polygon", corners=corners)
    more, less = _stroke("add", 10, 0, 20, 10), _stroke("remove", 5, 0, 12, 10)
    assert brushed_region([square], []).area_um2 == pytest.approx(100)
    assert brushed_region([square], [more, less]).area_um2 == pytest.approx(50 + 80)
    assert brushed_region([square], [less, more]).area_um2 == pytest.approx(50 + 100)
    assert brushed_region([], [more]).area_um2 == pytest.approx(100)
    with pytest.raises(InputError, match="no region"):
        brushed_region([], [])
    with pytest.raises(InputError, match="no region"):
        brushed_region([square], [_stroke("remove", -1, -1, 11, 11)])


def test_a_stroke_keeps_every_digit_and_the_holes():
    ring = shapely.Point(1 / 3, 2 / 7).buffer(10).difference(shapely.Point(0, 0).buffer(3))
    stroke = Stroke.of("section_1", "add", ring)
    again = Stroke.model_validate_json(stroke.model_dump_json())
    assert again == stroke
    assert shapely.equals_exact(again.area, ring, tolerance=0)
    assert brushed_region([], [again]).area_um2 == pytest.approx(ring.area)
