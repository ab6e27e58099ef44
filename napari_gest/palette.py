"""Colours of names: easy to tell apart, and none too dark for napari's black canvas."""

from __future__ import annotations

from functools import cache

import numpy as np
from cmap import Color, Colormap
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's, easy to tell apart for all eyes; without black, unseen on a black canvas.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
# Contrast to black that the Web Content Accessibility Guidelines ask of graphics (2.1, 1.4.11).
LEAST_CONTRAST = 3.0
_LIGHTEST = 0.82  # relative luminance; among many colours, lighter ones outshine the others
_UNLIKE = 0.2  # distance in RGB
_STEPS = 200


def luminance(rgb: ArrayLike) -> NDArray[np.float64]:
    """Return (...,) relative luminance of colours (..., 3), sRGB from 0 to 1."""
    coded = np.asarray(rgb, np.float64)[..., :3]
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def contrast(rgb: ArrayLike, ground: ArrayLike = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    """Return (...,) the contrast ratio, 1 to 21, of colours (..., 3) to a ground, black if none."""
    one, other = luminance(rgb) + 0.05, luminance(ground) + 0.05
    return np.asarray(np.maximum(one, other) / np.minimum(one, other))


def lightened(rgba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return colours (n, 4); those too dark for a black canvas are mixed with a little white."""
    share = np.linspace(0, 1, _STEPS)[:, None, None]
    mixed = rgba[None, :, :3] * (1 - share) + share
    enough = (contrast(mixed) >= LEAST_CONTRAST).argmax(axis=0)
    out = rgba.copy()
    out[:, :3] = mixed[enough, np.arange(len(rgba))]
    return out


@cache
def palette(n: int) -> tuple[str, ...]:
    """Return ``n`` colours as "#rrggbb": Okabe and Ito's, then glasbey's.

    They repeat where there are more names than colours that can be told apart.
    """
    colors = list(OKABE_ITO)
    taken = np.array([Color(c).rgba[:3] for c in colors])
    for rgba in Colormap("glasbey")(np.linspace(0, 1, 256)):
        if len(colors) >= n:
            break
        seen = contrast(rgba) >= LEAST_CONTRAST and luminance(rgba) <= _LIGHTEST
        if seen and np.linalg.norm(taken - rgba[:3], axis=1).min() > _UNLIKE:
            colors.append(Color(rgba).hex)
            taken = np.vstack([taken, rgba[:3]])
    return tuple(colors[i % len(colors)] for i in range(n))
