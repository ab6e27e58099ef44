"""Thumbnails of layers show where cells lie and in which colours."""

from __future__ import annotations

import numpy as np
from napari.layers import Points

from napari_gest.canvas.thumbnail import refresh_thumbnail


def test_a_thumbnail_has_the_colours_of_the_cells_in_their_places():
    rng = np.random.default_rng(0)
    points = rng.uniform((0, 0), (500, 1000), (50_000, 2))
    colors = np.tile([1.0, 0, 0, 1], (len(points), 1))
    colors[points[:, 1] > 500] = (0, 0, 1, 1)
    layer = Points(points, face_color=colors, opacity=0.5)
    refresh_thumbnail(layer)
    drawn = layer.thumbnail[8:24]  # twice as wide as high: bars above and below
    assert (drawn[:, :15, 0] > 120).mean() > 0.8
    assert (drawn[:, 17:, 2] > 120).mean() > 0.8
    assert drawn[..., :3].max() <= 128
    assert not layer.thumbnail[:7, :, :3].any()
    np.testing.assert_array_equal(layer.thumbnail, _again(layer))


def _again(layer: Points) -> np.ndarray:
    refresh_thumbnail(layer)
    return layer.thumbnail


def test_layers_without_cells_and_hidden_ones_are_left_alone():
    empty = Points(np.zeros((0, 2)))
    refresh_thumbnail(empty)
    hidden = Points(np.zeros((3, 2)), visible=False)
    before = hidden.thumbnail.copy()
    refresh_thumbnail(hidden)
    np.testing.assert_array_equal(hidden.thumbnail, before)
    refresh_thumbnail(Points(np.ones((1, 2))))
