"""The extents of a region and of the tissue that it misses."""

from __future__ import annotations

import numpy as np
from shapely import box

from napari_gest.tissue.extent import UNITS, extents
from napari_gest.tissue.roi import Roi


def test_both_extents_are_given_in_um() -> None:
    coords = np.array([[0.0, 5.0], [2000.0, 40.4], [3.0, -7.0]])
    assert extents(Roi(box(10, 20, 30.6, 4000)), coords) == (
        "region x 10 to 31 um, y 20 to 4,000 um; tissue x 0 to 2,000 um, y -7 to 40 um"
    )


def test_the_option_for_units_is_named() -> None:
    assert "--um-per-unit" in UNITS
