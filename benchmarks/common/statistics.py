"""Intervals and tests; replicates are sections or animals, not holes of one section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from scipy.stats import wilcoxon


@dataclass(frozen=True)
class Estimate:
    """A mean over sections or animals, with its 95 % interval (Student's t).

    Attributes
    ----------
    mean, low, high
        The ends of the interval are NaN if there is only one section or animal.
    n
        Number of sections or animals.
    unit
        ``"section"`` or ``"animal"``.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str

    def text(self, form: str = "+.3f") -> str:
        """Return mean, interval and n, or a note that there is no interval."""
        if self.n < 2:
            return f"{self.mean:{form}} (1 {self.unit}: no interval)"
        interval = f"[{self.low:{form}}, {self.high:{form}}]"
        return f"{self.mean:{form}} {interval} ({self.n} {self.unit}s)"


def over_sections(values: ArrayLike, animals: Sequence[str] = ()) -> Estimate:
    """Return the mean over animals where there are several, and over sections otherwise.

    Parameters
    ----------
    values
        (n,) one value per section, a mean over its holes.
    animals
        (n,) the animal of each section, an empty name if it is unknown.
    """
    values, unit = np.asarray(values, dtype=np.float64), "section"
    kinds = list(dict.fromkeys(animals))
    if len(kinds) > 1 and all(kinds):
        of = np.asarray(animals)
        values, unit = np.array([values[of == kind].mean() for kind in kinds]), "animal"
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(mean, float("nan"), float("nan"), n, unit)
    return Estimate(mean, *student_interval(values), n, unit)


def student_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval (Student's t) of the mean of values (n,), 2 at least."""
    n, mean = len(values), float(values.mean())
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean - half, mean + half


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, n: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval of the mean, values drawn with replacement."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (n, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_p(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Return the two-sided Wilcoxon signed-rank p; 1 where all pairs are equal.

    With five pairs the smallest possible p is 0.0625 for every effect.
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    if len(difference) == 0 or not difference.any():
        return 1.0
    return float(wilcoxon(difference).pvalue)
