"""What neighbouring cells have in common beyond what is expected of them.

A cell drawn by itself is as variable as measured ones, but neighbours drawn each by itself do not
resemble each other: their spatial autocorrelation is too low. What neighbours share and nobody
can predict is therefore drawn once for all of them, as a Gaussian random field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_NEAR = 6  # neighbours whose covariance with a cell is what they share
_CELLS, _AT_ONCE = 3000, 256  # cells it is measured on; of them in memory at a time
_WAVES = 256
_LARGEST = 0.8  # share of the variance between cells that may be common


@dataclass(frozen=True, eq=False)
class Common:
    """A draw of what is common to neighbours, at q places.

    Attributes
    ----------
    unit
        (q, p) of unit variance, one column for each principal component.
    unknown
        (q,) share of it that the known cells nearby do not tell, 0 at the rim to 1 far inside.
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
    with strengths of its own in each column.

    Parameters
    ----------
    coords_um
        (q, 2) um, (x, y).
    depth_um
        (q,) um to the nearest known cell.
    n_pcs
        Columns, independent of each other.
    reach_um
        Distance over which neighbours have something in common, um.
    rng
        Source of the waves.
    """
    place = (coords_um - coords_um.mean(0)) / reach_um
    waves = rng.normal(size=(2, _WAVES)) / np.sqrt(rng.chisquare(1, _WAVES))
    phase = place @ waves
    strength = rng.normal(size=(2, _WAVES, n_pcs)) / np.sqrt(_WAVES)
    unit = np.cos(phase) @ strength[0] + np.sin(phase) @ strength[1]
    return Common(unit, 1 - np.exp(-2 * depth_um / reach_um))


class CommonVariance:
    """How much of the variance between measured cells their neighbours share.

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
        """Return (p,) the covariance of a cell and its neighbours about the mean around them.

        Parameters
        ----------
        n_cells
            Cells around each that the mean is of; rounded to a power of two.
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
    """Return (q, n) what a draw of the common part adds to the donors' log weights.

    Where donors are Gaussian in a component, the weights then have the drawn part in their mean
    and lack its variance, so that over all draws they are what they were.

    Parameters
    ----------
    weights
        (q, n) of the donors, rows sum to 1.
    scores
        (n, p) their principal components.
    shared
        (p,) variance that is to be common to neighbours, of which a part is expected already.
    common
        The draw at the q places.
    """
    mean = weights @ scores
    variance = np.maximum((weights @ np.square(scores) - np.square(mean)).mean(0), 1e-9)
    # What is expected differs between the places: neighbours share that already.
    left = np.clip((shared - mean.var(0)) / variance, 0, _LARGEST)
    share = left * common.unknown[:, None]
    drawn = common.unit * np.sqrt(share * variance)
    precision = 1 / (variance * (1 - share))
    linear = precision * (mean + drawn) - mean / variance
    square = precision - 1 / variance
    return np.asarray(linear @ scores.T - 0.5 * square @ np.square(scores).T)
