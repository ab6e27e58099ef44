"""The part of a region that is farther than a given depth from known cells."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely import MultiPolygon, Polygon

from napari_gest.tissue.roi import Roi

_PIXELS = 6  # of the grid, per depth
_MOST_PIXELS = 40_000
_FINE = 0.02  # of the depth: tolerance of a simplified outline, which is drawn faster
_SMALLEST = 0.1  # of the square of the depth: smaller parts are left out


def beyond_depth(roi: Roi, known_um: NDArray[np.float64], depth_um: float) -> Roi | None:
    """Return the part of a region that is farther than a depth from every known cell.

    Parameters
    ----------
    roi
        The region.
    known_um
        (n, 2) um, axis order (x, y), of the known cells.
    depth_um
        The depth, above zero.

    Returns
    -------
    The part; None if it is empty or very small.
    """
    area = roi.geometry
    pitch = max(depth_um / _PIXELS, float(np.sqrt(area.area / _MOST_PIXELS)))
    x0, y0, x1, y1 = area.bounds
    grid = np.stack(np.meshgrid(np.arange(x0, x1, pitch), np.arange(y0, y1, pitch)), -1)
    inside = grid.reshape(-1, 2)
    inside = inside[roi.contains(inside)] if len(inside) else inside
    rim = shapely.get_coordinates(shapely.segmentize(area.boundary, pitch))
    # Only cells that are the nearest to some position in the region bound the part.
    near = np.unique(cKDTree(known_um).query(np.concatenate([inside, rim]))[1])
    reached = shapely.union_all(shapely.buffer(shapely.points(known_um[near]), depth_um))
    left = shapely.get_parts(shapely.simplify(area.difference(reached), _FINE * depth_um))
    left = [p for p in left if isinstance(p, Polygon) and p.area > _SMALLEST * depth_um**2]
    return Roi(MultiPolygon(left)) if left else None
