"""Emission: whole cells drawn from measured donors, given the expected expression (decision 28).

A meta cell is a mean and does not look like a cell. A donor is a measured cell of the same section,
with a cell's zeros, noise, co-variation and depth. Donors are drawn by the weights below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_gest.model.axes import principal_axes
from napari_gest.model.config import EmissionConfig
from napari_gest.tasks.generation.common_variation import (
    Common,
    CommonVariance,
    common_log_weights,
    draw_common,
)

# Donors that stand for all that could have given a cell: a share among them is known to 0.02.
N_CANDIDATES = 64
_TINY = 1e-12
_PLACES = 50  # number of positions at which the ridge of their mean is doubled
_NEWTON_STEPS = 4


class Donors:
    """Measured cells of a section, and the weights with which they are drawn elsewhere.

    The log weight of donor ``i`` at a position is, up to a constant,

        log p(t_i) - (1 - s) log n(t_i) - s log f(t_i) - l log(1 + d_i^2 / r^2)
        + theta . z_i + c(z_i) + omega . z_i

    with ``t_i`` its meta cell, ``n`` the number of donors of that meta cell, ``f`` the number
    expected from its frequency in training, ``d_i`` the distance, and ``z_i`` its principal
    components. The exponential tilts move the mean over donors towards the expression that the
    model and the section's field expect. Of all distributions with that mean, the tilted one is
    nearest to the untilted one in relative entropy. ``theta`` is the tilt of one position, and
    shrunk. ``omega`` is shared by the positions of one frontier, because their mean is better
    known than the expectation at each. ``c`` is the common variation of neighbours, if a draw of
    it is given.

    Parameters
    ----------
    values
        (n, G) float32, model space.
    token
        (n,) meta cell of each donor.
    coords_um
        (n, 2) um, (x, y).
    spacing_um
        Typical distance between neighbouring cells.
    frequency
        (K,) share of each meta cell among the training cells.
    measured
        (G,) bool, genes that were measured here.
    config
        The settings ``s``, ``l``, ``r`` and those of the tilts.
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
        self.common_reach = config.common_reach * spacing_um
        self.in_training = np.maximum(len(values) * frequency.astype(np.float64), _TINY)
        spread = values.std(0)
        self.used_genes = measured & (spread > 1e-6)
        self.mean, self.spread = values.mean(0)[self.used_genes], spread[self.used_genes]
        wanted = max(config.n_pcs, config.shared_pcs, config.common_pcs)
        n_pcs = min(wanted, len(values) - 1, int(self.used_genes.sum()))
        scaled = self._scaled(values)
        # In descending order of variance; the tilt of one position uses the first.
        self.axes = principal_axes(scaled, n_pcs)[1] if n_pcs > 0 else scaled[:0]
        self.scores = scaled @ self.axes.T
        self.common_scores = self.scores[:, : config.common_pcs]
        self.common_variance = CommonVariance(self.common_scores, coords_um)

    def __len__(self) -> int:
        return len(self.values)

    def log_weights(
        self,
        probability: NDArray[np.float32],
        expected: NDArray[np.float32],
        coords_um: NDArray[np.float64],
        free: NDArray[np.bool_] | None = None,
        common: Common | None = None,
    ) -> NDArray[np.float64]:
        """Return (q, n) log weights of the donors at q positions, which are filled together.

        Parameters
        ----------
        probability
            (q, K) p(meta cell). Meta cells without a donor here are excluded.
        expected
            (q, G) expected expression, model space.
        coords_um
            (q, 2) um, (x, y).
        free
            (n,) bool, donors that are not used yet, all by default. The others have weight 0, and
            the tilts compensate for their absence.
        common
            A draw of the common variation at the q positions.
        """
        weights = np.log(probability.astype(np.float64) + _TINY)[:, self.token]
        weights += self._prior(free)
        if self.config.locality:
            squared = cdist(coords_um, self.coords, "sqeuclidean")
            weights -= self.config.locality * np.log1p(squared / self.reach**2)
        if self.config.tilt and len(self.axes):
            wanted = self._scaled(expected) @ self.axes.T
            n = self.config.n_pcs
            weights += self._tilt(normalized(weights), wanted[:, :n]) @ self.scores[:, :n].T
            if common is not None:
                shared = self.config.common_gain * self.common_variance.within(len(weights))
                plain = normalized(weights)
                weights += common_log_weights(plain, self.common_scores, shared, common)
            n = self.config.shared_pcs
            weights += self._shared_tilt(normalized(weights), wanted[:, :n]) @ self.scores[:, :n].T
        return weights

    def draw_common(
        self,
        coords_um: NDArray[np.float64],
        depth_um: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Common | None:
        """Draw the common variation at positions (q, 2); None if it is switched off."""
        n_pcs = self.common_scores.shape[1]
        if not self.config.tilt or not self.common_reach or not n_pcs:
            return None
        return draw_common(coords_um, depth_um, n_pcs, self.common_reach, rng)

    def _prior(self, free: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        """Return (n,) the part of the donors' log weights that is the same at all positions."""
        shift, k = self.config.prior_shift, len(self.in_training)
        token = self.token if free is None else self.token[free]
        count = np.maximum(np.bincount(token, minlength=k), 1)
        prior = -((1 - shift) * np.log(count) + shift * np.log(self.in_training))[self.token]
        return prior if free is None else np.where(free, prior, -np.inf)

    def _tilt(
        self, weights: NDArray[np.float64], wanted: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return (q, p) the tilt that moves the mean over donors to ``wanted`` (q, p)."""
        scores = self.scores[:, : wanted.shape[1]]
        before = weights @ scores
        # Covariance of the weighted donors of a position, averaged over the positions.
        second = (scores * weights.mean(0)[:, None]).T @ scores
        theta = _step(
            second - before.T @ before / len(before), self.config.tilt_ridge, wanted - before
        )
        return np.asarray(self.config.tilt * theta)

    def _shared_tilt(
        self, weights: NDArray[np.float64], wanted: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return (p,) one tilt for all positions that moves their mean to that of ``wanted``.

        Newton's method, starting from no tilt. The step with the nearest mean is returned, so the
        mean over the positions is never farther off than without the tilt.
        """
        scores, target = self.scores[:, : wanted.shape[1]], wanted.mean(0)
        # The mean of few positions is less well known.
        ridge = self.config.shared_ridge * (1 + _PLACES / len(weights))
        omega = best = np.zeros(scores.shape[1])
        least = np.inf
        for _ in range(_NEWTON_STEPS):
            factor = scores @ omega
            factor = np.exp(factor - factor.max())
            share = factor * (weights.T @ (1 / np.maximum(weights @ factor, _TINY))) / len(weights)
            mean = share @ scores
            off = float(np.square(target - mean).sum())
            if off >= least:
                break
            best, least = omega, off
            second = (scores * share[:, None]).T @ scores
            omega = omega + _step(second - np.outer(mean, mean), ridge, (target - mean)[None])[0]
        return np.asarray(self.config.tilt * best)

    def _scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (values[:, self.used_genes] - self.mean) / self.spread
        return np.asarray(scaled, np.float32)

    def quantiles(self, weights: NDArray[np.float64], n: int) -> NDArray[np.int64]:
        """Return (q, n) donors that represent ``weights`` (q, n_donors), each with weight 1/n.

        They are quantiles of the donors in the order of their meta cells, so the share of a name
        among them is close to its share of the weights. A donor of large weight is repeated.
        """
        order = np.argsort(self.token, kind="stable")
        below = weights[:, order].cumsum(1)
        places = (np.arange(n) + 0.5) / n
        found = [np.searchsorted(row, places * row[-1]) for row in below]
        return np.asarray(order[np.stack(found)], np.int64)

    def spread_of(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (q, G) standard deviation over donors with ``weights`` (q, n), model space."""
        light = weights.astype(np.float32)
        mean = light @ self.values
        second = light @ np.square(self.values)
        return np.asarray(np.sqrt(np.maximum(second - np.square(mean), 0)), np.float32)


def _step(
    covariance: NDArray[np.float64], ridge: float, gap: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return (q, p) the tilt that closes each gap (q, p) to first order, shrunk by the ridge."""
    least = max(ridge * np.trace(covariance) / len(covariance), 1e-6)
    shrunk = covariance + least * np.eye(len(covariance))
    return np.asarray(np.linalg.solve(shrunk, gap.T).T)


def normalized(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (q, n) whose rows sum to 1."""
    weights = np.exp(log_weights - log_weights.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def sharpened(probability: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return (q, K) ``probability ** power``, normalised; a power above 1 sharpens it."""
    logs = power * np.log(probability.astype(np.float64) + _TINY)
    return np.where(probability > 0, normalized(logs), 0).astype(np.float32)


def draw_once(
    log_weights: NDArray[np.float64], free: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one donor for each of q positions, each at most once while unused donors remain.

    Parameters
    ----------
    log_weights
        (q, n).
    free
        (n,) bool, donors that are not used yet; changed in place. Once all are used, all are free
        again.
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
