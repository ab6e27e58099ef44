"""The area of tissue that belongs to each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_PIXELS = 6  # per cell, on average
_TILE = 8  # pixels along the side of a tile
_CHUNK = 200_000
_SAMPLE = 2000  # cells whose neighbours are looked up
_FEWEST_SPOTS = 20
_SPOT_UM, _EVEN = 40.0, 1.3  # distance of spots at least, and how far it may differ


def on_lattice(tree: cKDTree) -> bool:
    """Tell whether positions are spots of an array rather than cells.

    Spots lie far apart, and nearly all as far from their nearest neighbour as the others.

    Parameters
    ----------
    tree
        Of the positions (n, 2), um.
    """
    if tree.n < _FEWEST_SPOTS:
        return False
    step = max(tree.n // _SAMPLE, 1)
    nearest = tree.query(tree.data[::step], k=[2])[0][:, 0]
    low, middle, high = np.percentile(nearest, [10, 50, 90])
    return bool(middle >= _SPOT_UM and high <= _EVEN * low)


def cell_areas_um2(coords_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) um2 of tissue nearest to each cell of ``coords_um`` (n, 2).

    Positions farther from any cell than the usual distance between neighbours are not tissue.
    """
    n = len(coords_um)
    tree = cKDTree(coords_um)
    near = tree.query(coords_um, k=[min(7, n)])[0][:, 0]
    # n cells on a disc of that radius, itself included: the usual area of a cell, um2.
    usual = float(np.median(np.pi * near**2 / min(7, n)))
    if not usual > 0:
        return np.zeros(n)
    pixel, reach = np.sqrt(usual / _PIXELS), 0.8 * np.sqrt(usual)
    # One cell far from all others must not require a grid of the space between. Pixels are grouped
    # in tiles wider than the square of a cell's reach; only tiles with its corners are computed.
    low = coords_um.min(0) - reach
    step = (low + pixel) - low  # as rounded at this magnitude
    span = np.stack([coords_um - reach, coords_um + reach]) - low  # (2, n, 2)
    side = np.floor(span / (pixel * _TILE))
    # As complex numbers, which are sorted by both parts.
    corners = [side[i, :, 0] + 1j * side[j, :, 1] for i in (0, 1) for j in (0, 1)]
    tiles = np.unique(np.concatenate(corners))
    tiles = np.stack([tiles.real, tiles.imag], 1)
    inside = np.stack(np.meshgrid(np.arange(_TILE), np.arange(_TILE)), -1).reshape(1, -1, 2)
    count = np.zeros(n)
    for start in range(0, len(tiles), _CHUNK // _TILE**2):
        index = tiles[start : start + _CHUNK // _TILE**2, None] * _TILE + inside
        grid = (low + index * step + pixel / 2).reshape(-1, 2)
        cell = tree.query(grid, distance_upper_bound=reach)[1]
        count += np.bincount(cell[cell < n], minlength=n)
    return count * pixel**2
