"""Layers that show a section and its generated cells. No Qt."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer

from napari_gest.app.opened import open_sections
from napari_gest.canvas import layers
from napari_gest.canvas.shapes import role_of


def test_a_layer_row_is_a_section_row_in_um(opened):
    layer = Layer.create(*layers.section_layer(opened))
    np.testing.assert_array_equal(layer.data[:, ::-1], opened.section.coords_um)
    assert role_of(layer) == "cells"
    assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    assert layer.axis_labels == ("y", "x")
    assert layer.scale.tolist() == [1, 1]
    assert list(layer.metadata) == ["gest"]


def test_generated_cells_lie_on_their_section_and_look_like_it(opened, generated_cells):
    cells = Layer.create(*layers.section_layer(opened, shift_x_um=700.0))
    layer = Layer.create(*layers.generated_layer("run-1", generated_cells, cells, None))
    assert layer.data_to_world(layer.data[0]) == cells.data_to_world(cells.data[5])
    assert layer.border_width[0] == cells.border_width[0] == 0
    assert layer.size[0] == cells.size[5]


def test_sections_lie_side_by_side(tissue):
    made = [Layer.create(*data) for data in layers.side_by_side(open_sections(tissue))]
    (_, end), (start, _) = [layer.extent.world[:, 1] for layer in made]
    assert start > end


def test_a_layer_is_moved_only_if_it_would_overlap():
    assert layers.shift_clear_of(0, 10, []) == 0
    assert layers.shift_clear_of(0, 10, [(11, 20)]) == 0
    shift = layers.shift_clear_of(0, 10, [(5, 20), (30, 40)])
    assert shift > 40


def test_boundaries_take_the_colours_of_niches_lighter_where_unseen():
    square = np.array([[0.0, 0], [0, 9], [9, 9], [0, 0]])
    lines, colors = [square, square + 20], ["#ff0000", "#000000"]
    data = layers.boundary_layer(lines, ["a", "b"], colors, ["section", "section"], 0.5)
    drawn = Layer.create(*data)
    np.testing.assert_allclose(drawn.edge_color[0], [1, 0, 0, 1])
    assert (drawn.edge_color[1, :3] > 0.3).all()
    assert list(drawn.features["niche"]) == ["a", "b"]


def test_a_layer_that_was_made_ahead_is_the_one_that_is_shown_and_once(opened):
    layers.make_ahead(opened)
    ahead = opened.made_ahead
    shifted = layers.section_layer(opened, 30.0)
    shown = layers.made_layer(opened, shifted)
    assert shown is ahead
    np.testing.assert_array_equal(shown.translate, [0.0, 30.0])
    assert opened.made_ahead is None
    assert layers.made_layer(opened, shifted) is not ahead
