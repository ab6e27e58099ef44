"""Baselines: predictions without GeST, which every table shows.

A baseline is tuned on validation cases (holes in training sections), never on a test section. It
predicts a hole from the known cells of the hole's own section. All work in model space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from benchmarks.common.holes import Case
from benchmarks.common.metrics import accuracy

Coords = NDArray[np.float64]
Values = NDArray[np.float32]


class PointBaseline(ABC):
    """A method that fills a hole.

    Attributes
    ----------
    name
        Name of its row in the table.
    setting
        Tuned setting, for the table.
    """

    name: str
    setting: str = ""

    def fit(self, validation: Sequence[Case]) -> PointBaseline:
        """Tune on validation cases; by default there is nothing to tune."""
        return self

    @abstractmethod
    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        """Predict the cells of a hole.

        Parameters
        ----------
        known_coords
            (n, 2) um.
        known_values
            (n, G) model space.
        hole_coords
            (m, 2) um.

        Returns
        -------
        (m, G) model space.
        """


def predict_case(baseline: PointBaseline, case: Case) -> Values:
    """Return ``baseline``'s (m, G) prediction for the hole of ``case``."""
    return baseline.predict(case.known_coords, case.known_values, case.hole_coords)


def validation_score(baseline: PointBaseline, validation: Sequence[Case]) -> float:
    """Return mean SVG ``rmse_z`` over the cases, the score for tuning; lower is better."""
    scores = [accuracy(c.truth, predict_case(baseline, c), c.svg)["rmse_z_svg"] for c in validation]
    return float(np.mean(scores))


def choose(
    candidates: Iterable[PointBaseline], validation: Sequence[Case]
) -> tuple[PointBaseline, float]:
    """Return the candidate with the lowest validation score, and that score."""
    scored = [(validation_score(f, validation), i, f) for i, f in enumerate(candidates)]
    score, _, best = min(scored)
    return best, score


def spacing(coords_um: Coords) -> float:
    """Return the median distance to the nearest cell, um: the unit of tuned lengths."""
    return float(np.median(cKDTree(coords_um).query(coords_um, 2)[0][:, 1]))


class ConstantMean(PointBaseline):
    """The mean of the known cells everywhere."""

    name = "constant mean"

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        return np.repeat(known_values.mean(axis=0)[None], len(hole_coords), axis=0)


class NearestCopy(PointBaseline):
    """The nearest known cell, copied."""

    name = "nearest copy"

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        return known_values[cKDTree(known_coords).query(hole_coords)[1]]


class KnnMean(PointBaseline):
    """The mean of the k nearest known cells."""

    name = "kNN mean"
    grid = (5, 10, 20, 30, 45, 60, 90, 120, 180, 250)

    def __init__(self, k: int = 60) -> None:
        self.k = k

    def fit(self, validation: Sequence[Case]) -> KnnMean:
        best, _ = choose((KnnMean(k) for k in self.grid), validation)
        self.k = best.k
        self.setting = f"k {self.k}"
        return self

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        k = min(self.k, len(known_coords))
        nearest = cKDTree(known_coords).query(hole_coords, k)[1].reshape(len(hole_coords), k)
        return _weighted(np.ones_like(nearest, dtype=np.float32), nearest, known_values)


class KernelMean(PointBaseline):
    """A Gaussian kernel over the known cells, of width ``sigma_um``."""

    name = "Gaussian kernel"
    grid = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)  # in cell spacings

    def __init__(self, sigma_um: float = 40.0) -> None:
        self.sigma_um = sigma_um

    def fit(self, validation: Sequence[Case]) -> KernelMean:
        unit = float(np.median([spacing(c.known_coords) for c in validation]))
        best, _ = choose((KernelMean(s * unit) for s in self.grid), validation)
        self.sigma_um = best.sigma_um
        self.setting = f"{self.sigma_um:.0f} um"
        return self

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        result = np.empty((len(hole_coords), known_values.shape[1]), np.float32)
        for start in range(0, len(hole_coords), 512):  # limits the memory on large sections
            part = slice(start, start + 512)
            squared = cdist(hole_coords[part], known_coords, "sqeuclidean")
            # Relative to the nearest cell, so that the deepest cells do not divide 0 by 0.
            squared -= squared.min(axis=1, keepdims=True)
            weights = np.exp(squared / (-2 * self.sigma_um**2)).astype(np.float32)
            result[part] = weights @ known_values / weights.sum(axis=1, keepdims=True)
        return result


class InverseDistance(PointBaseline):
    """Known cells weighed by distance to the power ``-p``, the k nearest of them."""

    name = "inverse distance"
    grid = tuple((p, k) for p in (0.5, 1.0, 2.0, 3.0) for k in (30, 60, 120, 250))

    def __init__(self, power: float = 1.0, k: int = 60) -> None:
        self.power, self.k = power, k

    def fit(self, validation: Sequence[Case]) -> InverseDistance:
        best, _ = choose((InverseDistance(p, k) for p, k in self.grid), validation)
        self.power, self.k = best.power, best.k
        self.setting = f"p {self.power:g}, k {self.k}"
        return self

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        k = min(self.k, len(known_coords))
        distance, nearest = cKDTree(known_coords).query(hole_coords, k)
        return _weighted(np.maximum(distance, 1e-3) ** -self.power, nearest, known_values)


def _weighted(weights: NDArray, nearest: NDArray[np.int64], values: Values) -> Values:
    """Return (m, G) means of ``values[nearest (m, k)]`` under ``weights (m, k)``."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    m, k = nearest.shape
    rows = np.arange(0, m * k + 1, k)
    matrix = sparse.csr_matrix((weights.ravel(), nearest.ravel(), rows), (m, len(values)))
    return np.asarray(matrix @ values, dtype=np.float32)


def simple_baselines() -> list[PointBaseline]:
    """Return the baselines that need no training beyond one tuned number."""
    return [ConstantMean(), NearestCopy(), KnnMean(), KernelMean(), InverseDistance()]
