"""From values to RGBA, and what a legend needs to explain it. Knows no layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from cmap import Color, Colormap
from numpy.typing import ArrayLike, NDArray

MISSING = np.array([0.45, 0.45, 0.45, 1.0], np.float32)
SEQUENTIAL = "viridis"
DIVERGING = "crameri:berlin"  # dark in the middle, like the canvas: only differences shine
UNCERTAINTY = "plasma"

# Okabe and Ito's eight, easy to tell apart for all eyes; their black is unseen on a black canvas,
# so white stands for it, and it comes last.
OKABE_ITO = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#F2F2F2",
)  # fmt: skip
# Darker ones sink into the canvas, lighter ones outshine all others (relative luminance).
_DARKEST, _LIGHTEST = 0.18, 0.92
_UNLIKE = 0.25  # distance in RGB


@dataclass(frozen=True, eq=False)
class Categories:
    """Colours of a categorical column.

    Attributes
    ----------
    names
        k category names.
    colors
        (k, 4) float32 RGBA.
    codes
        (n,) category of each cell, -1 where missing.
    """

    names: tuple[str, ...]
    colors: NDArray[np.float32]
    codes: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(k,) cells of each category."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    @property
    def n_missing(self) -> int:
        return int((self.codes < 0).sum())

    def rgba(self, hidden: frozenset[str] = frozenset()) -> NDArray[np.float32]:
        """Return (n, 4) float32; cells of ``hidden`` categories are transparent."""
        table = np.vstack([self.colors, MISSING])  # code -1 takes the last row
        for index, name in enumerate(self.names):
            if name in hidden:
                table[index, 3] = 0.0
        return table[self.codes]


@dataclass(frozen=True)
class Scale:
    """A colour map between two limits.

    Attributes
    ----------
    low, high
        Values at the ends; values beyond take the end colours.
    cmap
        Name in the cmap catalogue.
    """

    low: float
    high: float
    cmap: str = SEQUENTIAL

    def rgba(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return (n, 4) float32 of ``values`` (n,); missing values are grey."""
        values = np.asarray(values, np.float64)
        span = (self.high - self.low) or 1.0
        missing = ~np.isfinite(values)
        place = np.clip((np.where(missing, self.low, values) - self.low) / span, 0, 1)
        rgba = table(self.cmap)[(place * 255).astype(np.uint8)]
        rgba[missing] = MISSING
        return rgba


@cache
def table(cmap: str) -> NDArray[np.float32]:
    """Return the (256, 4) float32 colours of a colour map."""
    return Colormap(cmap)(np.linspace(0, 1, 256)).astype(np.float32)


def categories(values: pd.Series, stored: ArrayLike | None = None) -> Categories:
    """Colour a column of names or booleans.

    Parameters
    ----------
    values
        (n,) of any type; categories keep their order, other values are sorted.
    stored
        Colours in category order (``uns["<key>_colors"]``), used if there are enough of them.
    """
    column = values.astype("category")
    names = tuple(str(name) for name in column.cat.categories)
    codes = column.cat.codes.to_numpy().astype(np.int64)
    colors = _stored(stored, len(names))
    if colors is None:
        colors = _palette(len(names))
    return Categories(names, colors, codes)


def label_colors(names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the colour (4,) of each label, of the order in which they were first named.

    Outlines of drawn regions and the labels learned from them take their colours from here.
    """
    unique = list(dict.fromkeys(names))
    return dict(zip(unique, _palette(len(unique)), strict=True))


def limits(values: ArrayLike, centred: bool = False) -> tuple[float, float]:
    """Return colour limits of ``values`` (n,) that leave out the outermost percent.

    Parameters
    ----------
    values
        Missing ones do not count.
    centred
        Make the limits symmetric about zero.
    """
    given = np.asarray(values, np.float64)
    finite: NDArray[np.float64] = given[np.isfinite(given)]
    if not len(finite):
        return (-1.0, 1.0) if centred else (0.0, 1.0)
    if centred:
        reach = float(np.percentile(np.abs(finite), 99)) or float(np.abs(finite).max()) or 1.0
        return -reach, reach
    low, high = (float(v) for v in np.percentile(finite, [1, 99]))
    if low >= 0 and low < 0.2 * high:
        low = 0.0  # expression starts at zero
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def is_categorical(values: pd.Series) -> bool:
    """Tell whether a column is coloured by name rather than by amount."""
    return not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)


def _stored(stored: ArrayLike | None, n: int) -> NDArray[np.float32] | None:
    if stored is None or len(np.atleast_1d(stored)) < n:
        return None
    try:
        colors = [Color(str(c)).rgba for c in np.atleast_1d(stored)[:n]]
    except ValueError:
        return None
    return np.array(colors, np.float32).reshape(n, 4)


def _palette(n: int) -> NDArray[np.float32]:
    if n <= len(OKABE_ITO):
        return np.array([Color(c).rgba for c in OKABE_ITO[:n]], np.float32).reshape(n, 4)
    colors = _many_colors()
    return colors[np.arange(n) % len(colors)]


@cache
def _many_colors() -> NDArray[np.float32]:
    """Return (n, 4) Okabe and Ito's colours, then those of the glasbey table unlike them."""
    first = _palette(len(OKABE_ITO) - 1)  # among many, white would outshine the others
    more = table("glasbey")
    luminance = more[:, :3] @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    apart = np.linalg.norm(more[:, None, :3] - first[None, :, :3], axis=2).min(axis=1)
    usable = (luminance > _DARKEST) & (luminance < _LIGHTEST) & (apart > _UNLIKE)
    return np.vstack([first, more[usable]])
