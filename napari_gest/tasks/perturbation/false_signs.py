"""The probability that the sign of a response is wrong: empirical Bayes over genes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

SIGN_LEVEL = 0.05  # expected share of wrong signs among those that are reported
_PENALTY = 10.0  # genes without a response that are seen before any data (Stephens 2017)
_N_SCALES = 8
_MOST_PATTERNS = 255
_REACHED = 0.01  # of the dose: identities that get less do not count
_ROUNDS = 500
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Signs:
    """What is known of the sign of each gene's response.

    Attributes
    ----------
    falls, rises
        (G,) probability that the mean response over the reached cells is negative or positive.
        What is left is the probability that there is none.
    silent
        Estimated share of genes without any response.
    """

    falls: NDArray[np.float64]
    rises: NDArray[np.float64]
    silent: float

    def false_rate(self, sign: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (G,) the local false sign rate of given signs; 1 where a sign is 0.

        A gene that does not respond has a wrong sign whichever is given.
        """
        right = np.where(sign > 0, self.rises, np.where(sign < 0, self.falls, 0.0))
        return np.asarray(np.clip(1 - right, 0, 1))


@dataclass(frozen=True, eq=False)
class SignModel:
    """Adaptive shrinkage (Stephens 2017) of slopes, over genes and identities at once.

    A gene responds in no identity, with a probability that is learned, or by the same slope in a
    set of identities. Which sets is learned too; the slopes of all genes are drawn from a mixture
    of normals around 0, whose weights are learned.

    Attributes
    ----------
    patterns
        (K, C) bool, the sets.
    silent
        Share of genes that do not respond.
    weight
        (K, G) posterior probability of each set.
    rises
        (K, G) probability that the slope is positive, given the set.
    """

    patterns: NDArray[np.bool_]
    silent: float
    weight: NDArray[np.float64]
    rises: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        slope: NDArray[np.float64],
        error: NDArray[np.float64],
        counted: NDArray[np.bool_],
    ) -> SignModel:
        """Learn the mixture from slopes and standard errors (C, G).

        Parameters
        ----------
        slope, error
            By identity and gene; an infinite error is no information.
        counted
            (G,) genes that the mixture is learned from: not the edited ones.
        """
        precision = np.zeros(error.shape)
        known = np.isfinite(error) & (error > _TINY)
        precision[known] = error[known] ** -2
        patterns = _patterns(np.asarray(known.any(1), bool))
        total = patterns.astype(float) @ precision  # (K, G)
        informed = total > 0
        mean = np.divide(
            patterns.astype(float) @ (precision * slope), total, where=informed, out=total * 0
        )
        variance = np.divide(1.0, total, where=informed, out=np.full(total.shape, np.inf))
        scale = _scales(slope[known], error[known])
        wide = variance[:, None] + np.square(scale)[:, None]  # (K, S, G)
        held = np.where(informed, variance, 1.0)[:, None]
        gain = 0.5 * np.where(
            informed[:, None],
            mean[:, None] ** 2 * (1 / held - 1 / wide) - np.log(wide / held),
            0.0,
        )
        top = np.maximum(gain.max((0, 1), initial=0.0), 0.0)
        silent, prior = _learn(np.exp(gain - top)[:, :, counted], np.exp(-top)[counted])
        joint = prior[:, :, None] * np.exp(gain - top) * (1 - silent)
        post = joint / (silent * np.exp(-top) + joint.sum((0, 1)))
        z = np.where(informed[:, None], mean[:, None] * np.sqrt(1 / held - 1 / wide), 0.0)
        weight = post.sum(1)
        up = (post * norm.cdf(z)).sum(1)
        rises = np.divide(up, weight, out=np.full(weight.shape, 0.5), where=weight > 0)
        return cls(patterns, silent, weight, rises)

    def signs(self, doses: NDArray[np.float64]) -> Signs:
        """Return what is known of the response of cells that get ``doses`` (C,) by identity."""
        reached = self.patterns @ doses > _REACHED * max(float(doses.sum()), _TINY)
        weight = self.weight * reached[:, None]
        rises = (weight * self.rises).sum(0)
        return Signs(weight.sum(0) - rises, rises, self.silent)


def s_values(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) expected share of wrong signs among genes of no larger rate; NaN stays."""
    out = np.full(len(rate), np.nan)
    known = np.flatnonzero(np.isfinite(rate))
    order = known[np.argsort(rate[known], kind="stable")]
    means = np.cumsum(rate[order]) / np.arange(1, len(order) + 1)
    out[order] = means
    for value in np.unique(rate[order]):  # equal rates share the largest
        out[rate == value] = out[rate == value].max()
    return out


def _patterns(usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (K, C) sets of usable identities: all of them, or the small ones and the whole."""
    cells: list[int] = np.flatnonzero(usable).tolist()
    sets: list[tuple[int, ...]] = []
    for size in range(1, len(cells) + 1):
        more = list(combinations(cells, size))
        if len(sets) + len(more) > _MOST_PATTERNS:
            sets.append(tuple(cells))
            break
        sets = list(chain(sets, more))
    out = np.zeros((len(sets), len(usable)), bool)
    for row, members in zip(out, sets, strict=True):
        row[list(members)] = True
    return out


def _scales(slope: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (S,) standard deviations of slopes, from far below their errors to above them all."""
    if not len(slope):
        return np.ones(_N_SCALES)
    low = 0.5 * float(error.min())
    high = 2 * float(np.sqrt(max((slope**2 - error**2).max(), np.median(error) ** 2)))
    return np.geomspace(low, max(high, 2 * low), _N_SCALES)


def _learn(
    likelihood: NDArray[np.float64], null: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the share of silent genes and weights (K, S), by expectation maximisation.

    Weights are products of one for the set and one for the scale.
    """
    n_patterns, n_scales, n_genes = likelihood.shape
    if not n_patterns or not n_genes:
        return 1.0, np.zeros((n_patterns, n_scales))
    silent = 0.5
    by_pattern = np.full(n_patterns, 1 / n_patterns)
    by_scale = np.full(n_scales, 1 / n_scales)
    for _ in range(_ROUNDS):
        joint = (1 - silent) * by_pattern[:, None, None] * by_scale[:, None] * likelihood
        quiet = silent * null
        total = quiet + joint.sum((0, 1))
        joint /= total
        left = (quiet / total).sum() + _PENALTY
        found = joint.sum()
        before, silent = silent, float(left / (left + found))
        by_pattern = joint.sum((1, 2)) + 1e-9
        by_pattern /= by_pattern.sum()
        by_scale = joint.sum((0, 2)) + 1e-9
        by_scale /= by_scale.sum()
        if abs(before - silent) < 1e-7:
            break
    return silent, by_pattern[:, None] * by_scale
