"""The cells that can have a say in what is asked of a small part of a section."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_AT_ONCE = 65_536  # cells whose distance is measured at a time


def vicinity(
    coords_um: NDArray[np.float64], targets_um: NDArray[np.float64], n_cells: int, least_um: float
) -> NDArray[np.int64]:
    """Return the cells around some targets, ascending: enough of them for each of these.

    - the ``n_cells`` cells nearest to any target;
    - the ``n_cells`` cells nearest to any point between targets, inside the box around them;
    - all cells within ``least_um`` of a target, and within twice the distance of the nearest cell.

    Whoever asks for no more gets the same from them as from all cells, and sooner.

    Parameters
    ----------
    coords_um
        (n, 2) cells, um, axis order (x, y).
    targets_um
        (m, 2) where something is asked, m of 1 at least.
    n_cells, least_um
        As above.
    """
    n = len(coords_um)
    if n <= n_cells:
        return np.arange(n)
    low, high = targets_um.min(0), targets_um.max(0)
    # To the box around the targets: no cell is nearer to a target, or to a point of the box.
    to_box = np.empty(n)
    for start in range(0, n, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        away = np.maximum(np.maximum(low - coords_um[part], coords_um[part] - high), 0)
        to_box[part] = np.hypot(away[:, 0], away[:, 1])
    across, tree = float(np.hypot(*(high - low))), cKDTree(targets_um)
    reached = least_um + across
    while True:
        near = np.flatnonzero(to_box <= reached)
        if len(near) == n:
            return near
        if len(near) < n_cells:
            reached = 2 * reached if reached > 0 else float(to_box[to_box > 0].min())
            continue
        to_target = tree.query(coords_um[near])[0]
        # The nearest cells of a point of the box are no farther than those of a target, and the
        # way from there.
        enough = float(np.partition(to_target, n_cells - 1)[n_cells - 1])
        needed = max(enough, least_um, 2 * float(to_target.min())) + across
        if needed <= reached:
            return near
        reached = needed
