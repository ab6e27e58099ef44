"""Scores of a prediction against the truth, each named with its axis and scaling.

Axes: *per gene* scores run over the cells of a hole and are averaged over genes; *per cell*
scores run over genes and are averaged over cells. All values are in model space, ``log1p`` of
total-normalised expression. Genes without variance in the truth have no correlation and are
left out of the per-gene scores; their number is returned as well.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from napari_gest.tissue.moran import top_svgs

Values = NDArray[np.floating]


def n_svgs(n_genes: int) -> int:
    """Return how many genes count as spatially variable: 200, or a fifth of a small panel."""
    return min(200, max(1, round(n_genes / 5)))


def svgs(values: Values, coords_um: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray:
    """Return the columns of the top genes by Moran's I over the known cells only.

    Parameters
    ----------
    values
        (n_obs, G) model space.
    coords_um
        (n_obs, 2) um.
    known
        (n_obs,) bool; cells of the hole are false, so they do not affect the choice of genes.
    """
    return np.asarray(top_svgs(values[known], coords_um[known], n_svgs(values.shape[1])))


def pearson(truth: Values, prediction: Values, axis: int = 0) -> NDArray[np.float64]:
    """Return Pearson's r along ``axis``; NaN where truth is constant, 0 where only prediction is.

    Parameters
    ----------
    truth, prediction
        (n, G).
    axis
        0 for one r per gene (over cells), 1 for one per cell (over genes).
    """
    t, t_flat = _standardized(truth, axis)
    p, p_flat = _standardized(prediction, axis)
    r = np.where(p_flat, 0.0, (t * p).sum(axis=axis))
    return np.where(t_flat, np.nan, np.clip(r, -1.0, 1.0))


def spearman(truth: Values, prediction: Values, axis: int = 0) -> NDArray[np.float64]:
    """Return Spearman's rho along ``axis``, ties have their mean rank; otherwise as `pearson`."""
    # Ranks of a constant prediction would order rounding noise, so constancy is tested before.
    flat = _standardized(prediction, axis)[1]
    rho = pearson(rankdata(truth, axis=axis), rankdata(prediction, axis=axis), axis)
    return np.where(flat & ~np.isnan(rho), 0.0, rho)


def rmse_z(truth: Values, prediction: Values) -> float:
    """Return the RMSE after both are z-scored per gene over the cells.

    It equals ``sqrt(2 (1 - r))`` with ``r`` the mean Pearson per gene; a constant prediction has
    no z-score and counts as ``r = 0``, that is ``sqrt(2)``.
    """
    return float(np.sqrt(2 * (1 - _mean(pearson(truth, prediction)))))


def rmse(truth: Values, prediction: Values) -> float:
    """Return the RMSE over all cells and genes, model space."""
    return float(np.sqrt(np.mean((np.asarray(truth, np.float64) - prediction) ** 2)))


def accuracy(truth: Values, prediction: Values, svg: NDArray) -> dict[str, float]:
    """Score one hole.

    Parameters
    ----------
    truth, prediction
        (n, G) model space.
    svg
        Columns of the spatially variable genes.

    Returns
    -------
    ``rmse_z``, ``rmse``, ``pearson_gene``, ``spearman_gene``, ``pearson_cell`` and
    ``spearman_cell``, each for all genes and, ending in ``_svg``, for the SVGs;
    ``n_cells``, ``n_genes`` and ``n_constant`` (genes left out of the per-gene scores).
    """
    scores: dict[str, float] = {"n_cells": len(truth)}
    for suffix, columns in (("", slice(None)), ("_svg", svg)):
        t, p = truth[:, columns], prediction[:, columns]
        r = pearson(t, p)
        scores |= {
            f"n_genes{suffix}": t.shape[1],
            f"n_constant{suffix}": int(np.isnan(r).sum()),
            f"rmse_z{suffix}": float(np.sqrt(2 * (1 - _mean(r)))),
            f"rmse{suffix}": rmse(t, p),
            f"pearson_gene{suffix}": _mean(r),
            f"spearman_gene{suffix}": _mean(spearman(t, p)),
            f"pearson_cell{suffix}": _mean(pearson(t, p, axis=1)),
            f"spearman_cell{suffix}": _mean(spearman(t, p, axis=1)),
        }
    return scores


def by_depth(
    truth: Values,
    prediction: Values,
    depth_um: NDArray[np.float64],
    svg: NDArray,
    edges_um: tuple[float, ...] = (0.0, 50.0, 100.0, 200.0, np.inf),
    min_cells: int = 20,
) -> dict[str, dict[str, float]]:
    """Return `accuracy` for each band of depth from the known cells that has ``min_cells``."""
    bands = {}
    for low, high in pairwise(edges_um):
        inside = (depth_um >= low) & (depth_um < high)
        if inside.sum() >= min_cells:
            name = f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"
            bands[name] = accuracy(truth[inside], prediction[inside], svg)
    return bands


def _standardized(values: Values, axis: int) -> tuple[Values, NDArray[np.bool_]]:
    """Return values centred and scaled to unit norm along ``axis``, and which are constant."""
    values = np.asarray(values, dtype=np.float64)
    mean = values.mean(axis=axis, keepdims=True)
    centered = values - mean
    norm = np.sqrt((centered**2).sum(axis=axis, keepdims=True))
    # float32 predictions that should be equal differ by rounding, which is not a signal.
    size = np.sqrt(values.shape[axis]) * np.abs(mean)
    flat = norm <= 1e-6 * size + 1e-12
    return centered / np.where(flat, 1.0, norm), flat.squeeze(axis)


def _mean(values: NDArray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
