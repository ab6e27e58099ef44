"""Rows of a matrix on disk in another order: copied once, then read one after another."""

from __future__ import annotations

import secrets
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.files import Scratch
from napari_gest.tissue.rows import StoredMatrix, StoredRows

# Values of a section that are rather read into memory than copied: 64 MB of them.
FEW_VALUES = 8_000_000


class OrderedMatrix(StoredMatrix):
    """The cells of a section in another order, in files that are made when they are first read.

    A task that takes a large section from one end to the other, whose cells lie elsewhere in
    their file, would read nearly all of that file for each of its steps. So the file is read
    once, its cells sorted into groups that fit into memory, and each group sorted.

    Parameters
    ----------
    rows
        The cells, ascending in their file, linear and checked as they are read.
    order
        (n,) index of the cell that comes first, second and so on.
    """

    def __init__(self, rows: StoredRows, order: NDArray[np.int64]) -> None:
        self.name, self.shape = rows.matrix.name, rows.shape
        self._rows, self._order = rows, order

    @cached_property
    def _ends(self) -> NDArray[np.int64]:  # type: ignore[override]
        return self._copied[1]

    @cached_property
    def _copied(self) -> tuple[Scratch, NDArray[np.int64]]:
        """The files ``data`` and ``indices``, and the row pointers."""
        scratch, n = Scratch(secrets.token_hex(8)), len(self._order)
        rank = np.empty(n, np.int64)
        rank[self._order] = np.arange(n)
        length = np.empty(n, np.int64)
        edges = [*range(0, n, self._rows.matrix.most_rows), n]
        for part, values in self._rows.blocks():
            by_place = np.argsort(rank[part])
            values, place = values[by_place], rank[part][by_place]
            length[place] = np.diff(values.indptr)
            cuts = np.searchsorted(place, edges)
            for group, (first, last) in enumerate(pairwise(cuts)):
                if first == last:
                    continue
                stored = slice(values.indptr[first], values.indptr[last])
                scratch.append(f"{group}-place", place[first:last])
                scratch.append(f"{group}-data", values.data[stored])
                scratch.append(f"{group}-indices", values.indices[stored].astype(np.int32))
        for group in range(len(edges) - 1):
            place = scratch.part(f"{group}-place", np.int64)
            values = sparse.csr_matrix(
                (
                    scratch.part(f"{group}-data", np.float32),
                    scratch.part(f"{group}-indices", np.int32),
                    np.concatenate([[0], np.cumsum(length[place])]),
                ),
                shape=(len(place), self.shape[1]),
            )[np.argsort(place)]
            scratch.append("data", values.data)
            scratch.append("indices", values.indices.astype(np.int32))
            for what in ("place", "data", "indices"):
                scratch.drop(f"{group}-{what}")
        return scratch, np.concatenate([[0], np.cumsum(length)])

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return the rows from ``start`` to ``stop`` as CSR float32."""
        (scratch, ends), shape = self._copied, (stop - start, self.shape[1])
        part = int(ends[start]), int(ends[stop])
        data = scratch.part("data", np.float32, *part)
        indices = scratch.part("indices", np.int32, *part)
        pointers = (ends[start : stop + 1] - ends[start]).astype(np.int32)
        return sparse.csr_matrix((data, indices, pointers), shape=shape)

    def close(self) -> None:
        """Remove the files, if there are any."""
        if "_copied" in vars(self):
            self._copied[0].close()
            del self._copied
            vars(self).pop("_ends", None)

    def __reduce__(self) -> Any:
        raise TypeError("cells that were copied in order stay in their process")


def in_order(rows: StoredRows, order: NDArray[np.int64]) -> StoredRows | sparse.csr_matrix:
    """Return the cells of a section on disk in another order (n,): copied, or read if few."""
    if rows.matrix.n_values(rows.rows) <= FEW_VALUES:
        return rows[order]
    if (np.diff(order) > 0).all():
        return rows
    return StoredRows(OrderedMatrix(rows, order), np.arange(len(order)), rows.section_name)


def drop_copies(expression: Any) -> None:
    """Remove the files of cells that were copied in order; they are made again if they are read."""
    if isinstance(expression, StoredRows) and isinstance(expression.matrix, OrderedMatrix):
        expression.matrix.close()
