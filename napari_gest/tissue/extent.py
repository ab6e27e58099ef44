"""Where a region and the tissue are, in words, for regions that miss it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_gest.tissue.reading import where
from napari_gest.tissue.roi import Roi

UNITS = f"If the extents do not fit, the units may differ ({where('um_per_unit')})."


def extents(roi: Roi, coords_um: NDArray[np.float64]) -> str:
    """Return the extents of a region and of the cells (n, 2) of a section, as text in um."""
    x0, y0, x1, y1 = roi.geometry.bounds
    low, high = coords_um.min(axis=0), coords_um.max(axis=0)
    return f"region {_box(x0, y0, x1, y1)}; tissue {_box(low[0], low[1], high[0], high[1])}"


def _box(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"x {x0:,.0f} to {x1:,.0f} um, y {y0:,.0f} to {y1:,.0f} um"
