"""Moran's I of all genes at once, and the most spatially variable genes by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.errors import InputError

# Genes computed at a time, which limits memory to a few columns of float64.
_GENES = 64


def morans_i(
    values: NDArray[np.floating] | sparse.csr_matrix,
    coords_um: NDArray[np.float64],
    n_neighbors: int = 10,
) -> NDArray[np.float64]:
    """Return Moran's I of each gene, with row-normalised weights of the nearest neighbours.

    Parameters
    ----------
    values
        (n, G), dense or sparse, any unit.
    coords_um
        (n, 2), micrometres, axis order (x, y).
    n_neighbors
        Neighbours of a cell; all other cells if there are fewer.

    Returns
    -------
    (G,) float64 in about [-1, 1]; 0 for a constant gene, for which Moran's I is not defined.

    Raises
    ------
    InputError
        If there are fewer than two cells, the lengths differ or values are missing or infinite.
    """
    if values.shape[0] != len(coords_um):
        raise InputError(
            f"There are {values.shape[0]} rows of values for {len(coords_um)} positions.",
            "Give one row of values for each cell.",
        )
    weights = _neighbor_weights(coords_um, n_neighbors)
    columns = values if isinstance(values, np.ndarray) else sparse.csc_matrix(values)
    result = np.zeros(values.shape[1])
    for start in range(0, values.shape[1], _GENES):
        part = columns[:, start : start + _GENES]
        x = (part if isinstance(part, np.ndarray) else part.toarray()).astype(np.float64)
        mean = x.mean(axis=0)
        if not np.isfinite(mean).all():
            raise InputError("There are missing or infinite values.", "Remove or replace them.")
        x -= mean
        total = np.einsum("ng,ng->g", x, x)
        # Rounding of the mean leaves a trace of variance in a constant gene.
        varies = total > len(x) * (1e-12 * np.abs(mean)) ** 2
        cross = np.einsum("ng,ng->g", x, weights @ x)
        result[start : start + _GENES][varies] = cross[varies] / total[varies]
    return result


def top_svgs(
    values: NDArray[np.floating] | sparse.csr_matrix, coords_um: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Return (n,) indices of the genes with the highest Moran's I, highest first.

    Parameters are those of ``morans_i``; ties keep the order of the genes.

    Raises
    ------
    InputError
        If ``n`` is not between 1 and the number of genes, and as ``morans_i``.
    """
    if not 1 <= n <= values.shape[1]:
        raise InputError(
            f"{n} genes were requested out of {values.shape[1]}.",
            f"Ask for 1 to {values.shape[1]}.",
        )
    return np.argsort(-morans_i(values, coords_um), kind="stable")[:n].astype(np.int64)


def _neighbor_weights(coords_um: NDArray[np.float64], n_neighbors: int) -> sparse.csr_matrix:
    n = len(coords_um)
    if n < 2 or n_neighbors < 1:
        raise InputError(
            f"Moran's I of {n} cells with {n_neighbors} neighbours is not defined.",
            "Give at least two cells and one neighbour.",
        )
    k = min(n_neighbors, n - 1)
    found = cKDTree(coords_um).query(coords_um, k + 1)[1]
    own = found == np.arange(n)[:, None]
    # Among many cells at one position a cell may not find itself; then the farthest is dropped.
    own[~own.any(axis=1), -1] = True
    neighbors = found[~own].reshape(n, k)
    return sparse.csr_matrix(
        (np.full(n * k, 1 / k), neighbors.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n)
    )
