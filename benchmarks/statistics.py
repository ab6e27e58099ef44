"""Intervals and tests over holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wilcoxon


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, n: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval of the mean, holes drawn with replacement."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (n, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_p(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Return the two-sided Wilcoxon signed-rank p; 1 where all pairs are equal.

    With five pairs the smallest possible p is 0.0625, whatever the effect.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    if len(difference) == 0 or not difference.any():
        return 1.0
    return float(wilcoxon(difference).pvalue)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return Holm-adjusted p values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
