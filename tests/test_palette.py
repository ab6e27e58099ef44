"""Colours of names on a black canvas."""

from __future__ import annotations

import numpy as np
import pytest
from cmap import Color

from napari_gest.palette import LEAST_CONTRAST, contrast, lightened, luminance, palette


def rgb(colors: tuple[str, ...]) -> np.ndarray:
    return np.array([Color(c).rgba[:3] for c in colors])


@pytest.mark.parametrize("n", [1, 7, 12, 30, 200])
def test_colours_are_told_apart_and_seen(n: int) -> None:
    colors = palette(n)
    assert len(colors) == n
    assert all(len(c) == 7 and c.startswith("#") for c in colors)
    assert len(set(colors)) == min(n, len(set(palette(300))))
    assert contrast(rgb(colors)).min() >= LEAST_CONTRAST
    assert palette(n) == palette(n + 1)[:n]


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast([1.0, 1, 1]) == pytest.approx(21)
    assert contrast([0.0, 0, 0]) == pytest.approx(1)
    assert contrast([0.2, 0.2, 0.2], [0.2, 0.2, 0.2]) == pytest.approx(1)
    assert luminance([1.0, 0, 0]) == pytest.approx(0.2126)
    dark = rgb(("#005300",))
    assert contrast(dark)[0] < LEAST_CONTRAST


def test_only_dark_colours_are_lightened() -> None:
    given = np.array([[0, 0, 0, 1], [0, 0.3, 0, 0.5], [1, 0, 0, 1]], np.float32)
    made = lightened(given)
    assert (contrast(made) >= LEAST_CONTRAST - 1e-4).all()
    np.testing.assert_array_equal(made[:, 3], given[:, 3])
    np.testing.assert_array_equal(made[2], given[2])
    assert made[1, 1] > made[1, 0]
    assert lightened(given[:0]).shape == (0, 4)
