"""Pictures in place of large layers. The drawing needs no Qt."""

from __future__ import annotations

import numpy as np

from napari_gest.viewer.standin import finest_pixel, portray


def test_every_cell_is_in_the_picture_where_it_was():
    rng = np.random.default_rng(0)
    points = rng.uniform(-300, 900, (200, 2))
    rgba = np.ones((200, 4), np.float32)
    rgba[:, :3] = rng.random((200, 3))
    picture = portray(points, rgba, size=4.0, pixel=finest_pixel(points, 4.0))
    row, column = np.round((points - picture.origin) / picture.pixel).astype(int).T
    seen = picture.pixels[row, column] / 255
    assert (seen[:, 3] == 1).all()
    same = np.abs(seen - rgba).max(axis=1) < 0.01
    assert same.mean() > 0.9  # the others lie beneath a neighbour
    corner = picture.pixels[0, 0]
    assert corner[3] == 0


def test_a_picture_of_a_wide_tissue_stays_small():
    points = np.array([[0.0, 0.0], [1e5, 2e4]])
    pixel = finest_pixel(points, 1.0)
    picture = portray(points, np.ones((2, 4), np.float32), 1.0, pixel)
    assert max(picture.pixels.shape) < 2500


def test_from_far_away_no_cell_is_lost():
    points = np.random.default_rng(0).uniform(0, 1000, (200, 2))
    picture = portray(points, np.ones((200, 4), np.float32), size=4.0, pixel=16.0)
    row, column = np.round((points - picture.origin) / picture.pixel).astype(int).T
    assert (picture.pixels[row, column, 3] > 60).all()
    assert (picture.pixels[picture.pixels[..., 3] > 0, :3] == 255).all()
    assert max(picture.pixels.shape) < 70
