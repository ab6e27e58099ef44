"""Means over the cells around each cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.files import Scratch

_AT_ONCE = 16_384  # cells looked up at a time


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest cells of every cell of a section.

    Attributes
    ----------
    index
        (n, k) indices, nearest first; the cell itself comes first.
    """

    index: NDArray[np.integer]

    @classmethod
    def of(
        cls,
        coords_um: NDArray[np.float64],
        k: int = 13,
        files: Scratch | None = None,
        name: str = "neighbours",
    ) -> Neighbours:
        """Find the ``k`` cells nearest to each of ``coords_um`` (n, 2), itself among them.

        With ``files`` the indices are there under ``name``, and little of them is in memory.
        """
        k, n, tree = min(k, len(coords_um)), len(coords_um), cKDTree(coords_um)
        if files is None:
            index = np.empty((n, k), np.int32)
        else:
            index = np.asarray(files.make(name, (n, k), np.int32))
        for start in range(0, n, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            index[part] = tree.query(coords_um[part], k=[*range(1, k + 1)])[1]
            if files is not None:
                files.release()
        return cls(index)

    @property
    def n_cells(self) -> int:
        return len(self.index)

    def nearest(self, k: int) -> Neighbours:
        """Return only the ``k`` nearest cells, the cell itself among them."""
        return Neighbours(self.index[:, :k])

    def mean(self, values: NDArray[np.float32], *, own: bool = False) -> NDArray[np.float32]:
        """Return (n, D) means of ``values`` (n, D) of the neighbours, and the cell if ``own``."""
        return self.mean_of(slice(0, self.n_cells), values, own=own)

    def mean_of(
        self, cells: slice, values: NDArray[np.float32], *, own: bool = False
    ) -> NDArray[np.float32]:
        """Return (m, D) of ``mean`` for some cells, one after another, of the values of all."""
        index = self.index[cells] if own else self.index[cells, 1:]
        m, k = index.shape
        ones, ends = np.ones(index.size, np.float32), np.arange(0, index.size + 1, k)
        # Sums nearest first, as one matrix: a gather for each neighbour takes ten times as long.
        total = sparse.csr_matrix((ones, index.ravel(), ends), shape=(m, len(values))) @ values
        return np.asarray(total / np.float32(k), np.float32)
