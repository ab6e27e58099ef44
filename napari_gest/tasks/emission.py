"""Emission: whole cells drawn from measured donors, given what the model expects at a place.

A meta cell is a mean, and no cell is one. A donor is a measured cell of the same section: with
it come zeros, noise, co-variation and depth. What decides is the probability of each donor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_gest.model.axes import principal_axes
from napari_gest.model.config import EmissionConfig

_TINY = 1e-12


class Donors:
    """Measured cells of a section, and the probability that each stands at another place.

    The log weight of donor ``i`` at a place is, up to a constant,

        log p(t_i) - (1 - s) log n(t_i) - s log f(t_i) - l log(1 + d_i^2 / r^2) + theta . z_i

    with ``t_i`` its meta cell, ``n`` the donors of that meta cell, ``f`` the donors expected of
    it from its frequency in training, ``d_i`` the distance, and ``z_i`` its principal
    components. The exponential tilt ``theta`` moves the mean over donors towards the expression
    that the model and the section's field expect: the distribution nearest to the untilted one
    (in relative entropy) that has this mean is of this form.

    Parameters
    ----------
    values
        (n, G) float32, model space.
    token
        (n,) meta cell of each.
    coords_um
        (n, 2) um, (x, y).
    spacing_um
        Typical distance between neighbouring cells.
    frequency
        (K,) share of each meta cell among the training cells.
    measured
        (G,) bool, genes that were measured here.
    config
        The settings ``s``, ``l``, ``r`` and those of the tilt.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        token: NDArray[np.int64],
        coords_um: NDArray[np.float64],
        spacing_um: float,
        frequency: NDArray[np.float32],
        measured: NDArray[np.bool_],
        config: EmissionConfig,
    ) -> None:
        self.values, self.token, self.coords = values, token, coords_um
        self.config, self.reach = config, config.locality_reach * spacing_um
        n, k = len(values), len(frequency)
        count = np.maximum(np.bincount(token, minlength=k), 1)
        expected = np.maximum(n * frequency.astype(np.float64), _TINY)
        shift = config.prior_shift
        self.prior = -((1 - shift) * np.log(count) + shift * np.log(expected))[token]
        spread = values.std(0)
        self.used_genes = measured & (spread > 1e-6)
        self.mean, self.spread = values.mean(0)[self.used_genes], spread[self.used_genes]
        n_pcs = min(config.n_pcs, n - 1, int(self.used_genes.sum()))
        scaled = self._scaled(values)
        self.axes = principal_axes(scaled, n_pcs)[1] if n_pcs > 0 else scaled[:0]
        self.scores = scaled @ self.axes.T

    def __len__(self) -> int:
        return len(self.values)

    def log_weights(
        self,
        probability: NDArray[np.float32],
        expected: NDArray[np.float32],
        coords_um: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return (q, n) log weights of the donors at q places.

        Parameters
        ----------
        probability
            (q, K) p(meta cell). Meta cells without a donor here are excluded.
        expected
            (q, G) expected expression, model space.
        coords_um
            (q, 2) um, (x, y).
        """
        weights = np.log(probability.astype(np.float64) + _TINY)[:, self.token] + self.prior
        if self.config.locality:
            squared = cdist(coords_um, self.coords, "sqeuclidean")
            weights -= self.config.locality * np.log1p(squared / self.reach**2)
        if self.config.tilt and len(self.axes):
            weights += self._tilt(normalized(weights), expected) @ self.scores.T
        return weights

    def _tilt(
        self, weights: NDArray[np.float64], expected: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return (q, p) the tilt that moves the mean over donors to what is expected."""
        before = weights @ self.scores
        wanted = self._scaled(expected) @ self.axes.T
        # Covariance of the donors of one place, averaged over the places.
        second = (self.scores * weights.mean(0)[:, None]).T @ self.scores
        covariance = second - before.T @ before / len(before)
        ridge = self.config.tilt_ridge * np.trace(covariance) / len(covariance)
        covariance += max(ridge, 1e-6) * np.eye(len(covariance))
        theta = np.linalg.solve(covariance, (wanted - before).T).T
        return np.asarray(self.config.tilt * theta)

    def _scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (values[:, self.used_genes] - self.mean) / self.spread
        return np.asarray(scaled, np.float32)

    def spread_of(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (q, G) standard deviation over donors of ``weights`` (q, n), model space."""
        light = weights.astype(np.float32)
        mean = light @ self.values
        second = light @ np.square(self.values)
        return np.asarray(np.sqrt(np.maximum(second - np.square(mean), 0)), np.float32)


def normalized(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (q, n) whose rows sum to 1."""
    weights = np.exp(log_weights - log_weights.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def draw_once(
    log_weights: NDArray[np.float64], free: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one donor for each of q places, none of them twice while supply lasts.

    Parameters
    ----------
    log_weights
        (q, n).
    free
        (n,) bool, donors that have not given yet; changed in place. Once all have given, all
        are free again.
    rng
        Source of the draws.

    Returns
    -------
    (q,) int64, indices of donors.
    """
    # The Gumbel trick: the largest of log weight plus noise is a draw.
    noisy = log_weights + rng.gumbel(size=log_weights.shape)
    drawn = np.empty(len(noisy), np.int64)
    for i, row in enumerate(noisy):
        if not free.any():
            free[:] = True
        drawn[i] = np.where(free, row, -np.inf).argmax()
        free[drawn[i]] = False
    return drawn
