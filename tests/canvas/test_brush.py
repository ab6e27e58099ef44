"""Regions corrected with a brush. No Qt."""

from __future__ import annotations

import pytest
import shapely

from napari_gest.canvas.brush import Stroke, brushed
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi


def test_strokes_add_and_remove_in_their_order():
    square = Roi(shapely.box(0, 0, 10, 10))
    more, less = (
        Stroke("add", shapely.box(10, 0, 20, 10)),
        Stroke("remove", shapely.box(5, 0, 12, 10)),
    )
    assert brushed(square, []).area_um2 == pytest.approx(100)
    assert brushed(square, [more, less]).area_um2 == pytest.approx(50 + 80)
    assert brushed(square, [less, more]).area_um2 == pytest.approx(50 + 100)
    assert brushed(None, [more]).area_um2 == pytest.approx(100)
    with pytest.raises(InputError, match="no region"):
        brushed(None, [])
    with pytest.raises(InputError, match="no region"):
        brushed(square, [Stroke("remove", shapely.box(-1, -1, 11, 11))])
