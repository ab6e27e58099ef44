"""Colours of regions that are drawn and named. No viewer: the layer lives alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Shapes
from napari_gest.canvas.named_regions import draw_named, recolor, set_name

from napari_gest.app.colors import label_colors
from napari_gest.canvas.shapes import region_settings

SQUARE = np.array([[0.0, 0], [0, 9], [9, 9], [9, 0]])


@pytest.fixture
def layer() -> Shapes:
    """Regions drawn and named in an order that is not that of the alphabet."""
    made = Shapes(**region_settings("named"))
    scene = SimpleNamespace(draw=lambda mode, role: made)
    for place, name in enumerate(["white matter", "layer 10", "layer 2"]):
        draw_named(scene, "add_rectangle", name)
        made.add([SQUARE + 20 * place], shape_type="rectangle")
        made.selected_data = set()
        recolor(made)
    return made


def assert_by_name(layer: Shapes) -> None:
    names = list(layer.features["name"])
    for name, color in zip(names, layer.edge_color, strict=True):
        np.testing.assert_allclose(color, label_colors(names)[name], atol=1e-6)


def test_outlines_have_the_colours_their_labels_will_have(layer):
    assert list(layer.features["name"]) == ["white matter", "layer 10", "layer 2"]
    assert_by_name(layer)
    assert len(np.unique(layer.edge_color, axis=0)) == 3


def test_a_name_that_is_changed_or_removed_changes_the_colours(layer):
    layer.mode = "select"
    layer.selected_data = {0}
    set_name(layer, "a rim")
    assert list(layer.features["name"]) == ["a rim", "layer 10", "layer 2"]
    assert_by_name(layer)
    layer.selected_data = {0}
    layer.remove_selected()
    recolor(layer)
    assert list(layer.features["name"]) == ["layer 10", "layer 2"]
    assert_by_name(layer)


def test_colours_that_are_right_are_not_set_again(layer):
    told = []
    layer.events.edge_color.connect(told.append)
    recolor(layer)
    assert not told


def test_the_next_region_is_drawn_in_its_colour(layer):
    layer.mode = "add_rectangle"
    set_name(layer, "cortex")
    before = layer.edge_color.copy()
    layer.add([SQUARE + 90], shape_type="rectangle")
    np.testing.assert_allclose(
        layer.edge_color[-1],
        label_colors(["cortex", "layer 2", "layer 10", "white matter"])["cortex"],
        atol=1e-6,
    )
    np.testing.assert_array_equal(layer.edge_color[:-1], before)  # others follow once it is there
    recolor(layer)
    assert_by_name(layer)
