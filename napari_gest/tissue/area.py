"""How much tissue each cell stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_PIXELS = 6  # per cell, on average
_CHUNK = 200_000


def cell_areas_um2(coords_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) um2 of tissue nearest to each cell of ``coords_um`` (n, 2).

    Places farther from any cell than the usual distance between neighbours are not tissue.
    """
    n = len(coords_um)
    tree = cKDTree(coords_um)
    near = tree.query(coords_um, k=[min(7, n)])[0][:, 0]
    # n cells on a disc of that radius, itself included: the usual area of a cell, um2.
    usual = float(np.median(np.pi * near**2 / min(7, n)))
    if not usual > 0:
        return np.zeros(n)
    pixel, reach = np.sqrt(usual / _PIXELS), 0.8 * np.sqrt(usual)
    low, high = coords_um.min(0) - reach, coords_um.max(0) + reach
    x = np.arange(low[0], high[0], pixel) + pixel / 2
    y = np.arange(low[1], high[1], pixel) + pixel / 2
    count = np.zeros(n)
    rows = max(1, _CHUNK // len(x))
    for start in range(0, len(y), rows):
        grid = np.stack(np.meshgrid(x, y[start : start + rows]), -1).reshape(-1, 2)
        cell = tree.query(grid, distance_upper_bound=reach)[1]
        count += np.bincount(cell[cell < n], minlength=n)
    return count * pixel**2
