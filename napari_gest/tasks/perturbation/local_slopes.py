"""Slopes of responses with standard errors: what is local, and no common cause explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from napari_gest.tasks.perturbation.permutation_null import own_level
from napari_gest.tasks.perturbation.respond import Residuals

# Chosen on planted worlds of other seeds than the benchmark's (docs/decisions/0041).
_TREND_UM = 80.0  # width of the Gaussian whose local means are taken out
_PIXEL = 0.25  # of that width
_BLOCK_UM = 150.0  # side of the squares that are taken as independent
_FEWEST = 100  # cells of an identity
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class LocalSlopes:
    """Slopes of genes on the dose of an edit, in spreads, by identity of the responding cell.

    Attributes
    ----------
    slope, error
        (C, G) float64; the error is infinite where an identity has too few cells.
    n_blocks
        (C,) squares of tissue that the errors of an identity rest on.
    """

    slope: NDArray[np.float64]
    error: NDArray[np.float64]
    n_blocks: NDArray[np.int64]


def local_slopes(tissue: Residuals, direction: NDArray[np.float64]) -> LocalSlopes:
    """Regress cells on how strongly their neighbours express the edited genes.

    The dose of a cell is the level of its neighbours, summed with the Gaussian of the response.
    The level is expression along the edit less what the other genes, GeST's prediction and the
    depth of the same cell say of it. Identities whose levels vary little send little, so each
    identity is weighted by its variance.

    Common causes act on wider scales than a signal between neighbours. So within each identity
    dose and expression both lose their local means, GeST's prediction, their own and their
    neighbours' depth, and who their neighbours are. Cells of one tissue resemble their neighbours
    all the same: standard errors come from sums over squares of tissue, which may depend on each
    other within.

    Parameters
    ----------
    tissue
        Measured tissue.
    direction
        (G,) of the edit, in spreads.
    """
    edited = np.abs(direction) > 1e-6
    kinds = tissue.identity
    level = own_level(tissue, direction, edited)
    variance = np.zeros(tissue.n_identities)
    for c in np.unique(kinds):
        inside = kinds == c
        known = np.column_stack([tissue.explained[inside], _powers(tissue.depth[inside])])
        own = _without(level[inside][:, None], known)
        own = _detrended(own, tissue.coords_um[inside], tissue.section[inside])
        level[inside] = own[:, 0]
        variance[c] = level[inside].var()
    level *= (variance / max(float(variance.max()), _TINY))[kinds]
    dose = tissue.near @ level
    company = tissue.near @ (kinds[:, None] == np.arange(tissue.n_identities)).astype(float)
    near_depth = tissue.near @ tissue.depth / np.maximum(company.sum(1), _TINY)
    shape = (tissue.n_identities, len(direction))
    slope, error = np.zeros(shape), np.full(shape, np.inf)
    n_blocks = np.zeros(tissue.n_identities, np.int64)
    blocks = np.column_stack([tissue.section, tissue.coords_um // _BLOCK_UM]).astype(np.int64)
    for c in np.unique(kinds):
        inside = np.flatnonzero(kinds == c)
        known = np.column_stack(
            [
                tissue.explained[inside],
                _powers(tissue.depth[inside]),
                near_depth[inside],
                company[inside],
            ]
        )
        free = len(inside) - known.shape[1] - len(tissue.sections) - 1
        if len(inside) < _FEWEST or free < len(inside) / 2:
            continue
        columns = np.column_stack([dose[inside], known, tissue.values[inside]])
        columns = _detrended(columns, tissue.coords_um[inside], tissue.section[inside])
        n_known = known.shape[1]
        left = _without(np.delete(columns, np.s_[1 : 1 + n_known], 1), columns[:, 1 : 1 + n_known])
        x, y = left[:, 0], left[:, 1:]
        square = float(x @ x)
        if square < _TINY * len(x):
            continue
        slope[c] = x @ y / square
        rest = y - np.outer(x, slope[c])
        plain = np.square(rest).sum(0) / free / square
        block = np.unique(blocks[inside], axis=0, return_inverse=True)[1].ravel()
        n_blocks[c] = block.max() + 1
        error[c] = np.sqrt(plain * _inflation(x[:, None] * rest, block, plain * square**2))
    return LocalSlopes(slope, error, n_blocks)


def _inflation(
    score: NDArray[np.float64], block: NDArray[np.int64], independent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (G,) how far dependence within blocks raises the variance, 1 at least.

    A gene's own ratio rests on few blocks, so it is drawn half of the way to that of all genes.
    """
    sums = np.zeros((block.max() + 1, score.shape[1]))
    np.add.at(sums, block, score)
    varied = independent > _TINY
    ratio = np.ones(len(independent))
    ratio[varied] = np.square(sums).sum(0)[varied] / independent[varied]
    ratio *= len(sums) / max(len(sums) - 1, 1)
    common = float(np.median(ratio[varied])) if varied.any() else 1.0
    return np.maximum(0.5 * (ratio + common), 1.0)


def _powers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean()
    return np.column_stack([centred, np.square(centred)])


def _without(values: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a regression on ``known`` and a constant leaves of the columns of ``values``."""
    known = known - known.mean(0)
    size = known.std(0)
    known = known[:, size > 1e-9] / size[size > 1e-9]
    centred = values - values.mean(0)
    gram = known.T @ known + 1e-6 * len(known) * np.eye(known.shape[1])
    return np.asarray(centred - known @ np.linalg.solve(gram, known.T @ centred))


def _detrended(
    values: NDArray[np.float64], coords: NDArray[np.float64], section: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return columns less their Gaussian local means among the given cells of a section."""
    out = np.empty_like(values)
    for s in np.unique(section):
        inside = section == s
        out[inside] = values[inside] - _local_means(values[inside], coords[inside])
    return out


def _local_means(values: NDArray[np.float64], coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, k) Gaussian means around each cell, worked out on a grid."""
    place = np.floor((coords - coords.min(0)) / (_PIXEL * _TREND_UM)).astype(np.int64)
    n_rows, n_columns = place.max(0) + 1
    flat = place[:, 0] * n_columns + place[:, 1]

    def spread(weight: NDArray[np.float64] | None) -> NDArray[np.float64]:
        image = np.bincount(flat, weight, n_rows * n_columns).astype(float)
        image = image.reshape(n_rows, n_columns)
        for axis in (0, 1):
            image = gaussian_filter1d(image, 1 / _PIXEL, axis, mode="constant", truncate=3.0)
        return np.asarray(image.ravel()[flat])

    count = spread(None)
    return np.column_stack([spread(column) for column in values.T]) / count[:, None]
