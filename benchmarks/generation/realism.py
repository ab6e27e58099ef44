"""Realism of generated cells as a population.

All scores take (n, G) model-space expression of the cells of one hole and compare populations. So
a prediction may be good here and poor cell by cell, like a draw, or the reverse, like a mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from napari_gest.tissue.moran import morans_i

Values = NDArray[np.floating]

_NEIGHBOURS = 6  # neighbours of a cell for the enrichment of pairs of types


def realism(
    truth: Values, prediction: Values, coords_um: NDArray[np.float64], seed: int = 0
) -> dict[str, float]:
    """Score one hole.

    Parameters
    ----------
    truth, prediction
        (n, G) model space.
    coords_um
        (n, 2) um.
    seed
        Seed of the forest for the AUC.

    Returns
    -------
    ``moran_error``, ``variance_ratio`` (ideal 1), ``correlation_error``, ``energy`` and ``auc``
    (ideal 0.5).
    """
    return {
        "moran_error": moran_error(truth, prediction, coords_um),
        "variance_ratio": variance_ratio(truth, prediction),
        "correlation_error": correlation_error(truth, prediction),
        "energy": energy_distance(truth, prediction),
        "auc": two_sample_auc(truth, prediction, seed),
    }


def moran_error(
    truth: Values,
    prediction: Values,
    coords_um: NDArray[np.float64],
    predicted_coords_um: NDArray[np.float64] | None = None,
) -> float:
    """Return the mean over genes of ``|I(prediction) - I(truth)|`` inside the hole.

    ``predicted_coords_um`` are the prediction's positions, if it is another patch of tissue.
    """
    if predicted_coords_um is None:
        predicted_coords_um = coords_um
    difference = morans_i(prediction, predicted_coords_um) - morans_i(truth, coords_um)
    return float(np.abs(difference).mean())


def variance_ratio(truth: Values, prediction: Values) -> float:
    """Return the median over genes of the variance over cells, prediction over truth."""
    t, p = np.var(truth, axis=0, dtype=np.float64), np.var(prediction, axis=0, dtype=np.float64)
    return float(np.median(p[t > 0] / t[t > 0]))


def correlation_error(truth: Values, prediction: Values) -> float:
    """Return the mean over gene pairs of the absolute difference in Pearson over cells.

    Genes constant in the truth are left out; a gene constant in the prediction correlates 0.
    """
    varies = np.std(truth, axis=0) > 0
    upper = np.triu_indices(varies.sum(), 1)
    difference = _correlation(prediction[:, varies]) - _correlation(truth[:, varies])
    return float(np.abs(difference[upper]).mean())


def energy_distance(a: Values, b: Values) -> float:
    """Return ``sqrt(2 E|a - b| - E|a - a'| - E|b - b'|)``, Euclidean over genes, model space."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    square = 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()
    return float(np.sqrt(max(square, 0.0)))


def two_sample_auc(truth: Values, prediction: Values, seed: int = 0) -> float:
    """Return the cross-validated AUC of a forest that distinguishes truth from prediction.

    A cell's truth and its prediction stay in one fold.
    """
    x = np.concatenate([truth, prediction])
    y = np.repeat([0, 1], len(truth))
    cell = np.tile(np.arange(len(truth)), 2)
    score = np.zeros(len(x))
    for train, test in GroupKFold(3).split(x, y, cell):
        forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=seed)
        score[test] = forest.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, score))


def composition_error(truth_types: NDArray, predicted_types: NDArray) -> float:
    """Return the total variation distance between two lists of cell types, 0 to 1."""
    kinds = np.union1d(truth_types, predicted_types)
    share = [np.mean(types[:, None] == kinds, axis=0) for types in (truth_types, predicted_types)]
    return float(0.5 * np.abs(share[0] - share[1]).sum())


def enrichment_error(
    truth_types: NDArray[np.int64],
    predicted_types: NDArray[np.int64],
    coords_um: NDArray[np.float64],
    predicted_coords_um: NDArray[np.float64] | None = None,
) -> float:
    """Return the error in which types are adjacent, in log2 units.

    For each pair of types, the enrichment is log2 of how often they are neighbours (six nearest
    cells) over what their shares alone would give, one added to both. The error is the mean
    absolute difference over pairs of types, each weighted by how often it is expected in the
    truth.
    """
    if predicted_coords_um is None:
        predicted_coords_um = coords_um
    kinds = np.union1d(truth_types, predicted_types)
    true, expected = _enrichment(np.searchsorted(kinds, truth_types), coords_um, len(kinds))
    made, _ = _enrichment(np.searchsorted(kinds, predicted_types), predicted_coords_um, len(kinds))
    return float(np.average(np.abs(made - true), weights=expected))


def _enrichment(
    kind: NDArray[np.int64], coords_um: NDArray[np.float64], n_kinds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (t, t) log2 enrichment of pairs of types, and how often each pair is expected."""
    k = min(_NEIGHBOURS, len(kind) - 1)
    near = cKDTree(coords_um).query(coords_um, k=[*range(2, k + 2)])[1]
    seen = np.zeros((n_kinds, n_kinds))
    np.add.at(seen, (np.repeat(kind, k), kind[near].ravel()), 1)
    share = np.bincount(kind, minlength=n_kinds) / len(kind)
    expected = share[:, None] * share * seen.sum()
    return np.log2((seen + 1) / (expected + 1)), expected


def _correlation(values: Values) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    centered = values - values.mean(axis=0)
    norm = np.sqrt((centered**2).sum(axis=0))
    flat = norm <= 1e-6 * np.sqrt(len(values)) * np.abs(values.mean(axis=0)) + 1e-12
    scaled = np.where(flat, 0.0, centered / np.where(flat, 1.0, norm))
    return scaled.T @ scaled
