"""Layers as large as X, with measured cells and generated ones: made some cells at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.tasks.workers import HERE, Workers
from napari_gest.tissue.on_disk import is_on_disk
from napari_gest.tissue.rows import reader
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from anndata import AnnData

Rows = Callable[[slice], sparse.csr_matrix]  # returns some rows of a matrix, one after another

_AT_ONCE = 8192  # cells that are made at a time


@dataclass(frozen=True, eq=False)
class FilledLayer:
    """A layer of all cells of an AnnData, of which some get new values.

    Attributes
    ----------
    shape, dtype
        Of the layer, (n_cells, n_genes).
    base
        What the other cells hold.
    rows
        (m,) the cells with new values.
    values
        (m, n_genes) CSR, what they get.
    workers
        What makes the blocks; they do not depend on it.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    base: Rows
    rows: NDArray[np.int64]
    values: sparse.csr_matrix
    workers: Workers = HERE

    def __call__(self, part: slice) -> sparse.csr_matrix:
        """Return the cells from ``part.start`` to ``part.stop``."""
        inside = (self.rows >= part.start) & (self.rows < part.stop)
        made = replace_rows(self.base(part), self.rows[inside] - part.start, self.values[inside])
        return made.astype(self.dtype, copy=False)

    def blocks(self) -> Iterator[sparse.csr_matrix]:
        """Yield all cells, some at a time."""
        n = self.shape[0]
        spans = (slice(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE))
        yield from self.workers.map(replace(self, workers=HERE), spans)

    @property
    def whole(self) -> sparse.csr_matrix:
        """All cells at once."""
        return self(slice(0, self.shape[0]))


def held_rows(layer: Any, name: str) -> Rows:
    """Return what reads rows of a matrix, in memory or on disk, in its own type."""
    if is_on_disk(layer):
        read, dtype = reader(layer, name), layer.dtype
        return lambda part: read(part).astype(dtype, copy=False)
    matrix = sparse.csr_matrix(layer)
    return lambda part: matrix[part]


def partly(base: Rows, other: Rows, rows: NDArray[np.int64]) -> Rows:
    """Return what reads ``other`` in the cells ``rows`` (m,), and ``base`` elsewhere."""

    def read(part: slice) -> sparse.csr_matrix:
        inside = rows[(rows >= part.start) & (rows < part.stop)] - part.start
        if not len(inside):
            return base(part)
        return replace_rows(base(part), inside, other(part)[inside])

    return read


def empty_rows(n_genes: int) -> Rows:
    """Return what makes rows of zeros."""
    return lambda part: sparse.csr_matrix((part.stop - part.start, n_genes), dtype=np.float32)


def measured_rows(
    adata: AnnData, section: Section, genes: tuple[str, ...], target_sum: float
) -> Rows:
    """Return what reads cells of ``adata`` in model space, scaled by their totals on the panel.

    Parameters
    ----------
    adata
        The AnnData of the section.
    section
        The section, which defines how linear expression is read.
    genes, target_sum
        The model's panel and total.
    """
    panel: Any = pd.Index(adata.var_names.astype(str)).isin(genes)
    whole = bool(panel.all())  # a copy of all columns is as large as the rows
    read = section.linear_rows(adata)

    def rows(part: slice) -> sparse.csr_matrix:
        # Generated cells and cells of other sections were not checked and may hold any values.
        with np.errstate(all="ignore"):
            linear = read(part)
            some = linear if whole else linear[:, panel]
            totals = np.asarray(some.sum(axis=1), dtype=np.float64).ravel()
            scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
            scaled = sparse.csr_matrix(sparse.diags(scale.astype(np.float32)) @ linear)
            scaled.data = np.log1p(scaled.data, dtype=np.float32)
        return scaled

    return rows


def count_rows(adata: AnnData, section: Section) -> Rows:
    """Return what reads cells of ``adata`` as int32 counts.

    Values that are not counts, as in masked cells, become 0.
    """
    read = section.linear_rows(adata)

    def rows(part: slice) -> sparse.csr_matrix:
        values = read(part)
        data = np.nan_to_num(values.data.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        data = np.rint(np.clip(data, 0, np.iinfo(np.int32).max)).astype(np.int32)
        # A copy: zeros are removed from it, and the values may be the tissue's own matrix.
        given = (data, values.indices, values.indptr)
        counts = sparse.csr_matrix(given, shape=values.shape, copy=True)
        counts.eliminate_zeros()
        return counts

    return rows


def measured_layer(
    adata: AnnData, section: Section, genes: tuple[str, ...], target_sum: float
) -> sparse.csr_matrix:
    """Return all cells of ``adata`` as ``measured_rows`` reads them."""
    return measured_rows(adata, section, genes, target_sum)(slice(0, adata.n_obs))


def replace_rows(
    base: sparse.csr_matrix,
    rows: NDArray[np.int64],
    values: NDArray[np.float32] | sparse.csr_matrix,
) -> sparse.csr_matrix:
    """Return ``base`` with some rows replaced by ``values``."""
    if not len(rows):
        return base
    order = np.arange(base.shape[0])
    order[rows] = base.shape[0] + np.arange(len(rows))
    stacked = sparse.vstack([base, sparse.csr_matrix(values)], format="csr")
    return sparse.csr_matrix(stacked[order])
