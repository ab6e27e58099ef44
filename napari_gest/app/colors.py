"""From values to RGBA, and what a legend needs to explain it. Knows no layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from cmap import Color, Colormap
from numpy.typing import ArrayLike, NDArray

from napari_gest.palette import contrast, lightened, palette
from napari_gest.tissue.obs import shown_order

MISSING = np.array([0.45, 0.45, 0.45, 1.0], np.float32)  # of a number
# Cells without a name can be most of a tissue: half transparent, they step back behind those that
# have one, on black and on white.
NAMELESS = np.array([0.5, 0.5, 0.5, 0.5], np.float32)
SEQUENTIAL = "viridis"
DIVERGING = "CET_CBD2"  # blue, grey, yellow, ever lighter: zero is seen on black and on white
UNCERTAINTY = "plasma"
MAPS = (SEQUENTIAL, DIVERGING, UNCERTAINTY)
# Contrast to the black canvas; darker colours of a map are left out.
LEAST_MAP_CONTRAST = 2.0


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
        table = np.vstack([self.colors, NAMELESS])  # code -1 takes the last row
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
    """Return the (256, 4) float32 colours of a colour map, without a dark end."""
    fine = Colormap(cmap)(np.linspace(0, 1, 2048)).astype(np.float32)
    first = int((contrast(fine) >= LEAST_MAP_CONTRAST).argmax())
    return fine[np.linspace(first, len(fine) - 1, 256).astype(int)]


def categories(values: pd.Series, stored: ArrayLike | None = None) -> Categories:
    """Colour a column of names or booleans.

    Parameters
    ----------
    values
        (n,) of any type. Names are in natural order, "2" before "10", unless someone has chosen
        the order of the categories.
    stored
        Colours in category order (``uns["<key>_colors"]``), used if there are enough of them.
        Those too dark for a black canvas are lightened.
    """
    column = values.astype("category")
    order = shown_order(column)
    names = tuple(str(column.cat.categories[i]) for i in order)
    codes = np.append(np.argsort(order), -1)[column.cat.codes.to_numpy()]  # -1 stays -1
    colors = _stored(stored, len(names))
    colors = _palette(len(names)) if colors is None else lightened(colors[order])
    return Categories(names, colors, codes.astype(np.int64))


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
    return np.array([Color(c).rgba for c in palette(n)], np.float32).reshape(n, 4)
