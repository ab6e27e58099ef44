"""Geometry: how the cells around a position are arranged, from positions alone."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_RANKS = (1, 2, 4, 8, 16, 32, 64)  # neighbours whose distances are used
_LOPSIDED = (4, 8, 16, 32)  # neighbourhoods whose asymmetry is measured
_SAMPLE = 5000  # cells that set the section's scale

N_GEOMETRY = len(_RANKS) + len(_LOPSIDED)


class Geometry:
    """Describes positions by the positions around them; invariant to rotation and reflection.

    Density and packing differ between cell types and niches: a lining is a dense row with nothing
    on one side, a vessel a thin line, white matter sparse. Positions are known where expression
    is not, so unseen cells have a geometry too. Numbers are z-scores within the section, which
    removes its overall density; that differs between technologies.

    Parameters
    ----------
    coords_um
        (n, 2) positions of all cells of a section, seen and unseen, um.

    Attributes
    ----------
    spacing_um
        Median distance from a cell to the nearest other one.
    """

    def __init__(self, coords_um: NDArray[np.float64]) -> None:
        # By x, then y: so neither the sample nor the order of ties depends on the order of rows.
        n = len(coords_um)
        order = np.lexsort(coords_um.T[::-1])
        self._place: NDArray[np.integer] = np.empty(n, np.int32 if n < 2**31 else np.int64)
        self._place[order] = np.arange(n)
        self._tree = cKDTree(coords_um[order])
        cells = np.arange(0, n, max(1, n // _SAMPLE))
        nearest = float(np.median(self._tree.query(self._tree.data[cells], k=[2])[0]))
        self.spacing_um = nearest if np.isfinite(nearest) and nearest > 0 else 1.0
        # Two cells at one position must not give a logarithm of minus infinity.
        self._least = 0.1 * self.spacing_um
        sample = self._measure(cells)
        self._mean, self._sd = sample.mean(0), sample.std(0) + 1e-6
        # Zeros take no memory before they are written to, and few cells may ever be asked for.
        self._known = np.zeros((n, N_GEOMETRY), np.float32)
        self._measured = np.zeros(n, bool)
        self._measuring = Lock()

    def __call__(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (m, N_GEOMETRY) of the cells with these indices (m,), computed once each.

        Seven log distances to the 1st, 2nd, 4th .. 64th neighbour, then four asymmetries: the
        distance to the centre of the 4, 8, 16 and 32 nearest cells, as a share of their radius.
        """
        places = self._place[cells]
        with self._measuring:
            new = places[~self._measured[places]]
            if len(new):
                self._known[new] = self._scaled(self._measure(new))
                self._measured[new] = True
            return self._known[places]

    def once(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the same without keeping it, for whoever asks once for every cell."""
        return self._scaled(self._measure(self._place[cells])).astype(np.float32)

    def _scaled(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip((measured - self._mean) / self._sd, -4, 4)

    def _measure(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return (m, N_GEOMETRY) of the cells at these indices (m,) of the tree."""
        coords = self._tree.data[cells]
        last = min(max(_RANKS), self._tree.n - 1)
        if not last:
            return np.zeros((len(cells), N_GEOMETRY))
        distance, near = self._tree.query(coords, k=last + 1, workers=-1)
        columns = [np.log(distance[:, min(k, last)] + self._least) for k in _RANKS]
        sums = self._tree.data[near[:, 1 : max(_LOPSIDED) + 1]].cumsum(1)
        for k in _LOPSIDED:
            k = min(k, last)
            centre = sums[:, k - 1] / k - coords
            columns.append(np.linalg.norm(centre, axis=1) / (distance[:, k] + self._least))
        return np.stack(columns, 1)
