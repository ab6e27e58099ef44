"""Calibration: whether predicted uncertainty matches the error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr

LEVELS = (0.5, 0.8, 0.9, 0.95)
_FLOOR = 1e-3  # of the standard deviation, model space: 0 would make one cell decide the NLL


def gaussian_nll(truth: NDArray, mean: NDArray, sd: NDArray) -> float:
    """Return the mean over cells and genes of ``-log N(truth; mean, sd)``, nats.

    Parameters
    ----------
    truth, mean, sd
        (n, G) model space.
    """
    sd = np.maximum(sd, _FLOOR)
    return float(-norm.logpdf(truth, mean, sd).mean())


def coverage(
    truth: NDArray, mean: NDArray, sd: NDArray, levels: tuple[float, ...] = LEVELS
) -> dict[str, float]:
    """Return the share of true values inside each central Gaussian interval, by its level."""
    z = np.abs(truth - mean) / np.maximum(sd, _FLOOR)
    return {
        f"coverage_{level:.0%}": float((z <= norm.ppf(0.5 + level / 2)).mean()) for level in levels
    }


def expected_calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], n_bins: int = 10
) -> float:
    """Return the mean ``|accuracy - confidence|`` over equal-width bins, weighed by cells.

    Parameters
    ----------
    confidence
        (n,) probability of the arg-max meta cell.
    correct
        (n,) whether it is the true cell's own token.
    n_bins
        Bins between 0 and 1.
    """
    return pooled_calibration_error([confidence_bins(confidence, correct, n_bins)])


def confidence_bins(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], n_bins: int = 10
) -> list[list[float]]:
    """Return, for each bin of the confidence: cells, sum of the confidence, cells that are right.

    Bins of several holes can be added up. Parameters are those of `expected_calibration_error`.
    """
    place = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    each = [place == b for b in range(n_bins)]
    return [[float(b.sum()), float(confidence[b].sum()), float(correct[b].sum())] for b in each]


def pooled_calibration_error(bins: Sequence[Sequence[Sequence[float]]]) -> float:
    """Return the expected calibration error of several holes' ``confidence_bins``, pooled."""
    total = np.sum([np.asarray(b) for b in bins], axis=0)
    return float(np.abs(total[:, 1] - total[:, 2]).sum() / total[:, 0].sum())


def calibration(
    truth: NDArray,
    mean: NDArray,
    sd: NDArray,
    depth_um: NDArray[np.float64],
    edges_um: tuple[float, ...] = (0.0, 50.0, 100.0, 200.0, np.inf),
) -> dict[str, float]:
    """Score one hole.

    Parameters
    ----------
    truth, mean, sd
        (n, G) model space.
    depth_um
        (n,) um from the nearest known cell.
    edges_um
        Bands of depth for which the coverage of the 90 % interval is given separately.

    Returns
    -------
    ``nll``, ``coverage_50%`` ... ``coverage_95%``, ``coverage_90%_<band>`` for each band that
    has cells, and ``error_rank``: Spearman over cells of mean absolute error with mean sd.
    """
    scores = {"nll": gaussian_nll(truth, mean, sd), **coverage(truth, mean, sd)}
    for low, high in pairwise(edges_um):
        inside = (depth_um >= low) & (depth_um < high)
        if inside.any():
            band = f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"
            found = coverage(truth[inside], mean[inside], sd[inside], (0.9,))
            scores[f"coverage_90%_{band}"] = found["coverage_90%"]
    error, spread = np.abs(truth - mean).mean(axis=1), sd.mean(axis=1)
    flat = np.ptp(spread) == 0 or np.ptp(error) == 0
    scores["error_rank"] = 0.0 if flat else float(spearmanr(error, spread)[0])
    return scores
