"""Scores of drawn cells as a distribution: proper scores and a classifier.

A method gives S draws of every cell of a hole, (S, m, G) model space. Genes are divided by their
standard deviation among the section's known cells, so that none dominates by its scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

Values = NDArray[np.floating]

LEVELS = (0.5, 0.8, 0.9, 0.95)
_PAIRS_WITH = 1  # nearest other cells of the hole with which a cell forms pairs


def scaled(values: Values, known: Values) -> Values:
    """Return ``values`` (..., G) divided by each gene's standard deviation in ``known`` (n, G).

    Genes that do not vary among the known cells are left out.
    """
    spread = np.asarray(known, np.float64).std(0)
    varies = spread > 1e-6
    return np.asarray(values[..., varies] / spread[varies], np.float64)


def energy_score(truth: Values, draws: Values) -> NDArray[np.float64]:
    """Return (m,) the energy score of each cell, a proper score; lower is better.

    It is ``mean_s |x_s - y| - mean_{s != t} |x_s - x_t| / 2`` with the second mean over pairs
    of different draws, so that its expectation does not depend on the number of draws.

    Parameters
    ----------
    truth
        (m, G), scaled.
    draws
        (S, m, G), scaled; S is 2 at least.
    """
    n_draws = len(draws)
    to_truth = np.mean([np.linalg.norm(one - truth, axis=1) for one in draws], axis=0)
    between = np.zeros(len(truth))
    for i in range(n_draws):
        for j in range(i):
            between += np.linalg.norm(draws[i] - draws[j], axis=1)
    return np.asarray(to_truth - between / (n_draws * (n_draws - 1)))


def crps(truth: Values, draws: Values) -> NDArray[np.float64]:
    """Return (G,) the continuous ranked probability score of each gene, its mean over cells.

    It is the energy score of one gene, with the same pairs.
    """
    n_draws = len(draws)
    to_truth = np.abs(draws - truth).mean((0, 1))
    ordered = np.sort(draws, axis=0)
    # The sum over pairs of |x_s - x_t| from order statistics.
    weight = 2 * np.arange(1, n_draws + 1) - n_draws - 1
    between = np.tensordot(weight, ordered, (0, 0)).mean(0) * 2
    return np.asarray(to_truth - between / (2 * n_draws * (n_draws - 1)))


def adjacent_pairs(coords_um: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (p, 2) pairs of a cell and the nearest other cell of the hole, each once."""
    nearest = cKDTree(coords_um).query(coords_um, _PAIRS_WITH + 1)[1][:, -1]
    pairs = np.sort(np.stack([np.arange(len(coords_um)), nearest], 1), axis=1)
    return np.asarray(np.unique(pairs, axis=0))


def pair_energy_score(
    truth: Values, draws: Values, coords_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (p,) the energy score of adjacent cells, stacked into one vector of 2 G genes.

    Draws with the right distribution of each cell, but unrelated neighbours, score worse here.
    """
    pairs = adjacent_pairs(coords_um)
    together = [
        np.concatenate([v[..., pairs[:, 0], :], v[..., pairs[:, 1], :]], -1) for v in (truth, draws)
    ]
    return energy_score(*together)


def two_sample_auc(truth: Values, made: Values, seed: int = 0) -> float:
    """Return the AUC of gradient-boosted trees that distinguish ``made`` from ``truth``.

    Five folds. Identical rows stay in one fold; otherwise the trees could memorise repeated rows.

    Parameters
    ----------
    truth, made
        (n, G) and (m, G).
    seed
        Seed of the folds and of the trees.
    """
    x = np.concatenate([truth, made])
    y = np.repeat([0, 1], [len(truth), len(made)])
    _, first, row = np.unique(x, axis=0, return_index=True, return_inverse=True)
    fold = np.empty(len(first), np.int64)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(folds.split(first, y[first])):
        fold[test] = number
    fold, score = fold[row.ravel()], np.zeros(len(x))
    for number in range(5):
        test = fold == number
        trees = HistGradientBoostingClassifier(
            max_iter=60,
            min_samples_leaf=10,
            max_bins=63,  # half the time of 255, and the same AUC
            early_stopping=False,
            random_state=seed,
        )
        score[test] = trees.fit(x[~test], y[~test]).predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, score))


def randomized_pit(truth: Values, draws: Values, seed: int = 0) -> NDArray[np.float64]:
    """Return (m, G) the randomised probability integral transform of the truth among the draws.

    It is uniform where truth and draws come from one distribution, ties at zero included: the
    truth's rank among S + 1 values, those equal to it in random order, plus a uniform share.
    """
    rng = np.random.default_rng(seed)
    below = (draws < truth).sum(0)
    equal = (draws == truth).sum(0)
    rank = below + np.floor(rng.uniform(size=truth.shape) * (equal + 1))
    return np.asarray((rank + rng.uniform(size=truth.shape)) / (len(draws) + 1))


def coverage(pit: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return (G,) the share of cells whose transform lies in the central ``level``."""
    return np.asarray((np.abs(pit - 0.5) <= level / 2).mean(0))


def zeros(values: Values) -> float:
    """Return the share of values that are zero."""
    return float((np.asarray(values) <= 0).mean())


def distinct(rows: NDArray[np.int64]) -> float:
    """Return the share of drawn cells that are distinct: 1 where no donor repeats."""
    return len(np.unique(rows)) / len(rows)


def skill(baseline: float, ours: float, oracle: float) -> float:
    """Return the skill: 0 at the baseline, 1 at the oracle; NaN if the two are equal."""
    way = baseline - oracle
    return (baseline - ours) / way if way > 0 else float("nan")
