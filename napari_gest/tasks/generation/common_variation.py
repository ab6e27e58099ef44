"""Common variation: what neighbouring cells share beyond their expected expression.

A cell drawn independently is as variable as measured ones. But independently drawn neighbours do
not resemble each other enough: their spatial autocorrelation is too low. So the common part of
their unpredicted variation is drawn jointly, as a Gaussian random field (decision 32).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_NEAR = 6  # neighbours whose covariance with a cell is measured
_CELLS, _AT_ONCE = 3000, 256  # cells on which it is measured; cells in memory at a time
_WAVES = 256
_LARGEST = 0.8  # share of the variance between cells that may be common


@dataclass(frozen=True, eq=False)
class Common:
    """A draw of the common variation of neighbours, at q positions.

    Attributes
    ----------
    unit
        (q, p) of unit variance, one column for each principal component.
    unknown
        (q,) share of it that known cells nearby do not determine, 0 at the rim to 1 far inside.
    """

    unit: NDArray[np.float64]
    unknown: NDArray[np.float64]

    def __getitem__(self, places: NDArray[np.int64]) -> Common:
        return Common(self.unit[places], self.unknown[places])


def draw_common(
    coords_um: NDArray[np.float64],
    depth_um: NDArray[np.float64],
    n_pcs: int,
    reach_um: float,
    rng: np.random.Generator,
) -> Common:
    """Draw a random field whose correlation falls as ``exp(-distance / reach)``.

    It is a sum of waves of random length and direction (random Fourier features of that kernel),
    with independent amplitudes in each column.

    Parameters
    ----------
    coords_um
        (q, 2) um, (x, y).
    depth_um
        (q,) um to the nearest known cell.
    n_pcs
        Columns, independent of each other.
    reach_um
        Correlation length, um.
    rng
        Draws the waves.
    """
    place = (coords_um - coords_um.mean(0)) / reach_um
    waves = rng.normal(size=(2, _WAVES)) / np.sqrt(rng.chisquare(1, _WAVES))
    phase = place @ waves
    strength = rng.normal(size=(2, _WAVES, n_pcs)) / np.sqrt(_WAVES)
    unit = np.cos(phase) @ strength[0] + np.sin(phase) @ strength[1]
    return Common(unit, 1 - np.exp(-2 * depth_um / reach_um))


class CommonVariance:
    """The part of the variance between measured cells that neighbours share.

    Parameters
    ----------
    scores
        (n, p) principal components of the measured cells.
    coords_um
        (n, 2) um, (x, y).
    """

    def __init__(self, scores: NDArray[np.floating], coords_um: NDArray[np.float64]) -> None:
        self.scores, self.coords = scores, coords_um
        self.tree = cKDTree(coords_um)
        self.known: dict[int, NDArray[np.float64]] = {}

    def within(self, n_cells: int) -> NDArray[np.float64]:
        """Return (p,) the covariance of a cell and its neighbours about the local mean.

        Parameters
        ----------
        n_cells
            Number of cells in the local mean; rounded to a power of two.
        """
        size = 2 ** round(np.log2(max(n_cells, 1)))
        if size not in self.known:
            self.known[size] = self._measured(size)
        return self.known[size]

    def _measured(self, size: int) -> NDArray[np.float64]:
        n, p = self.scores.shape
        if min(size, n) <= _NEAR + 1:
            return np.zeros(p)
        cells = np.arange(n)[:: max(1, n // _CELLS)]
        total = np.zeros(p)
        for start in range(0, len(cells), _AT_ONCE):
            part = cells[start : start + _AT_ONCE]
            near = self.tree.query(self.coords[part], min(size, n))[1]
            mean = self.scores[near].mean(1)
            beside = self.scores[near[:, 1 : _NEAR + 1]].mean(1)
            total += ((self.scores[part] - mean) * (beside - mean)).sum(0)
        return np.maximum(total / len(cells), 0)


def common_log_weights(
    weights: NDArray[np.float64],
    scores: NDArray[np.floating],
    shared: NDArray[np.float64],
    common: Common,
) -> NDArray[np.float64]:
    """Return (q, n) the change of the donors' log weights by a draw of the common variation.

    Where donors are Gaussian in a component, the drawn part is added to the mean of the weighted
    donors and its variance is removed from theirs. So over all draws the distribution is unchanged.

    Parameters
    ----------
    weights
        (q, n) weights of the donors, rows sum to 1.
    scores
        (n, p) their principal components.
    shared
        (p,) variance to be shared by neighbours, including the part that is already expected.
    common
        The draw at the q positions.
    """
    mean = weights @ scores
    variance = np.maximum((weights @ np.square(scores) - np.square(mean)).mean(0), 1e-9)
    # Neighbours already share the variation of their expected expression.
    left = np.clip((shared - mean.var(0)) / variance, 0, _LARGEST)
    share = left * common.unknown[:, None]
    drawn = common.unit * np.sqrt(share * variance)
    precision = 1 / (variance * (1 - share))
    linear = precision * (mean + drawn) - mean / variance
    square = precision - 1 / variance
    return np.asarray(linear @ scores.T - 0.5 * square @ np.square(scores).T)
