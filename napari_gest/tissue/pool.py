"""Pooled contexts: single cells nearby, and larger and larger groups farther out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Pool:
    """Cells averaged into items of a context, the farthest item first.

    A context of the nearest single cells ends where a large hole begins. A thinned one represents
    the regions around by a few noisy cells. The mean of a group has far less noise.

    Attributes
    ----------
    group
        (n,) item of each cell, 0 to m - 1.
    mass
        (m,) cells in each item.
    """

    group: NDArray[np.int64]
    mass: NDArray[np.float32]

    @classmethod
    def around(cls, offset: NDArray[np.float64], n_items: int) -> Pool:
        """Pool cells around the origin.

        Half of the items are the nearest single cells. The others are sectors of rings; the number
        of cells in a sector grows outward.

        Parameters
        ----------
        offset
            (n, 2) relative to the centre of the queries, the nearest cell first.
        n_items
            Number of items; at most the number of cells.
        """
        n, alone = len(offset), n_items // 2
        if n <= n_items:
            return cls(np.arange(n)[::-1].copy(), np.ones(n, np.float32))
        far, wanted = n - alone, n_items - alone
        sectors = max(1, round(np.sqrt(2 * wanted)))
        rings = max(1, wanted // sectors)
        # Rings of one cell a sector, and a share of the rest that grows with the radius.
        step = np.arange(1, rings + 1) / rings
        ends = np.round(sectors * rings * step + (far - sectors * rings) * step**2).astype(int)
        ring = np.searchsorted(ends, np.arange(far), side="right")
        size = np.diff(ends, prepend=0)
        angle = np.arctan2(offset[alone:, 1], offset[alone:, 0])
        order = np.lexsort((angle, ring))
        within = np.arange(far) - (ends - size)[ring[order]]
        rank = np.arange(n)
        rank[alone:][order] = alone + ring[order] * sectors + within * sectors // size[ring[order]]
        group = rank.max() - rank
        return cls(group, np.bincount(group).astype(np.float32))

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return (m, ...) means over the cells of each item of values (n, ...)."""
        flat = values.reshape(len(values), -1).astype(np.float32, copy=False)
        return (self._weights @ flat).reshape(len(self.mass), *values.shape[1:])

    def shares(self, kind: NDArray[np.int64], n_kinds: int) -> NDArray[np.float32]:
        """Return (m, n_kinds) shares of the kinds (n,) among the cells of each item."""
        weight = 1 / self.mass[self.group]
        counted = sparse.csr_matrix((weight, (self.group, kind)), (len(self.mass), n_kinds))
        return counted.toarray().astype(np.float32)

    @property
    def _weights(self) -> sparse.csr_matrix:
        order = np.argsort(self.group, kind="stable")
        ends = np.concatenate([[0], np.cumsum(self.mass.astype(np.int64))])
        weight = 1 / self.mass[self.group[order]]
        return sparse.csr_matrix((weight, order, ends), (len(self.mass), len(self.group)))
