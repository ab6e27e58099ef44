"""Temperature that calibrates the confidence of labels.

One number, fitted to held-out labelled cells (Guo et al. 2017). It changes the confidence, not
the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

N_FOLDS = 2
_BLOCKS = 10  # along each axis of a section
_COOLEST, _HOTTEST = 0.5, 20.0
_FEWEST = 50  # held-out cells from which a temperature is fitted, at least
_SMALLEST = 1e-9  # probability

Held = tuple[NDArray[np.float32], NDArray[np.int64]]  # (n, C) probabilities, (n,) true labels


def chessboard(coords_um: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,) 0 or 1, the fold of each cell: blocks of equal cell number along x and y.

    Neighbouring cells resemble each other, so whole blocks are held out.
    """
    place = np.zeros(len(coords_um), np.int64)
    for axis in coords_um.T:
        rank = np.empty(len(axis), np.int64)
        rank[np.argsort(axis, kind="stable")] = np.arange(len(axis))
        place += rank * _BLOCKS // len(axis)
    return place % N_FOLDS


def fit_temperature(held: Sequence[Held]) -> float:
    """Return the maximum-likelihood temperature of held-out cells; 1 if there are too few."""
    if sum(len(right) for _, right in held) < _FEWEST:
        return 1.0

    def surprise(log_temperature: float) -> float:
        total = 0.0
        for probability, right in held:
            own = tempered(probability, float(np.exp(log_temperature)))[
                np.arange(len(right)), right
            ]
            total -= float(np.log(np.maximum(own, _SMALLEST)).sum())
        return total

    bounds = (np.log(_COOLEST), np.log(_HOTTEST))
    found = minimize_scalar(surprise, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def tempered(probability: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities (n, C) to the power of one over the temperature; rows sum to 1."""
    if temperature == 1:
        return probability
    logits = np.log(np.maximum(probability, _SMALLEST)) / temperature
    share = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(share / share.sum(1, keepdims=True), np.float32)
