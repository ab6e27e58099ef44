"""Colours of what is not kept yet: niches while the slider moves, labels before Keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from cmap import Color
from numpy.typing import NDArray

from napari_gest.app.colors import Categories
from napari_gest.palette import lightened

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generated import Generated
    from napari_gest.tissue.section import Section

Values = Categories | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Preview:
    """Values of cells that are in no column of obs.

    Attributes
    ----------
    title
        What they are.
    sections
        Per section, the values of its cells (n_obs,): names or numbers.
    generated
        Per result of a run, the values of its cells.
    centred
        Numbers are above or below zero, which is the middle of the colours.
    """

    title: str
    sections: Mapping[Section, Values]
    generated: Mapping[Generated, Values] = field(default_factory=dict)
    centred: bool = False


def named(codes: NDArray[np.int64], names: tuple[str, ...], colors: tuple[str, ...]) -> Categories:
    """Return categories from names and colours ("#rrggbb"), dark ones lightened."""
    rgba = np.array([Color(c).rgba for c in colors], np.float32).reshape(len(names), 4)
    return Categories(names, lightened(rgba), codes)
