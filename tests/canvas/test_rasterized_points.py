"""Pictures in place of large layers. The drawing needs no Qt."""

from __future__ import annotations

import numpy as np

from napari_gest.canvas._napari_private.rasterized_points import Places


def test_every_cell_is_in_the_picture_where_it_was():
    rng = np.random.default_rng(0)
    points = rng.uniform(-300, 900, (200, 2))
    rgba = np.ones((200, 4), np.float32)
    rgba[:, :3] = rng.random((200, 3))
    picture = Places.of(points, 4.0, pixel=0.8).colored(rgba)
    row, column = np.round((points - picture.origin) / picture.pixel).astype(int).T
    seen = picture.pixels[row, column] / 255
    assert (seen[:, 3] == 1).all()
    same = np.abs(seen - rgba).max(axis=1) < 0.01
    assert same.mean() > 0.9  # the others lie beneath a neighbour
    corner = picture.pixels[0, 0]
    assert corner[3] == 0


def test_from_far_away_no_cell_is_lost():
    points = np.random.default_rng(0).uniform(0, 1000, (200, 2))
    picture = Places.of(points, 4.0, pixel=16.0).colored(np.ones((200, 4), np.float32))
    row, column = np.round((points - picture.origin) / picture.pixel).astype(int).T
    assert (picture.pixels[row, column, 3] > 60).all()
    assert (picture.pixels[picture.pixels[..., 3] > 0, :3] == 255).all()
    assert max(picture.pixels.shape) < 70


def test_few_large_discs_and_many_small_ones_are_drawn_alike():
    points = np.random.default_rng(0).uniform(0, 300, (40, 2))
    rgba = np.ones((40, 4), np.float32)
    rgba[:, :3] = np.linspace(0, 1, 40)[:, None]
    few = Places.of(points, 24.0, pixel=1.0).colored(rgba)  # 441 pixels a disc
    # The same cells again beneath them: more cells than pixels in a disc.
    many = Places.of(np.tile(points, (20, 1)), 24.0, pixel=1.0).colored(np.tile(rgba, (20, 1)))
    # Where discs overlap, which of them is on top may differ.
    np.testing.assert_array_equal(few.pixels[..., 3], many.pixels[..., 3])
    assert (few.pixels != many.pixels).any(axis=-1).mean() < 0.05
    covered = np.count_nonzero(few.pixels[..., 3])
    assert 0.5 * 40 * np.pi * 12**2 < covered <= 40 * np.pi * 13**2
