"""A mixture of Gaussians with one covariance, on a random field: niches and their smoothness."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from napari_gest.model.kmeans import kmeans
from napari_gest.tissue.neighbours import Neighbours

_STEPS = 30
_FIELD_STEPS = 3  # mean-field updates in an E-step
_RIDGE = 1e-3  # of each feature's variance


@dataclass(frozen=True, eq=False)
class FieldMixture:
    """A fitted mixture.

    Attributes
    ----------
    probability
        (n, K) float32 of the fitted cells, rows sum to 1.
    likelihood
        Mean log-likelihood of a cell given its neighbours' niches; higher is better.
    precision
        (p, p) inverse of the covariance that all niches share.
    """

    probability: NDArray[np.float32]
    likelihood: float
    precision: NDArray[np.float64]


def fit_field_mixture(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    k: int,
    *,
    smoothing: float,
    starts: int,
    seed: int,
) -> Generator[float, None, FieldMixture]:
    """Fit a mixture by expectation-maximisation from several starts and return the likeliest.

    All niches share one covariance: what varies inside niches (how cells differ, the noise of
    counts) counts for little, whichever niches it varies in, and what varies between them counts
    for much. The niche of a cell leans on those around it, a Potts field in mean-field form.

    Parameters
    ----------
    features
        (n, p), the sections one after another.
    neighbours
        Of each section.
    k
        Number of niches K.
    smoothing
        Strength of the field; 0: none.
    starts, seed
        k-means partitions to start from, and their seed.

    Yields
    ------
    The share that is done, after every step.
    """
    best: FieldMixture | None = None
    for start in range(starts):
        rng = np.random.default_rng([seed, start])
        yield start / starts
        labels = kmeans(features, k, rng, max_iter=50).labels_
        fitted = yield from _climb(features, neighbours, labels, k, smoothing, start, starts)
        if best is None or fitted.likelihood > best.likelihood:
            best = fitted
    assert best is not None
    return best


def _climb(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    labels: NDArray[np.int64],
    k: int,
    smoothing: float,
    start: int,
    starts: int,
) -> Generator[float, None, FieldMixture]:
    x = features.astype(np.float64)
    x = x - x.mean(0)
    n, p = x.shape
    total = x.T @ x / n
    ridge = _RIDGE * np.diag(np.diag(total)) + 1e-12 * np.eye(p)
    share = np.full((n, k), 0.02 / k, np.float32)
    share[np.arange(n), labels] += 0.98
    for step in range(_STEPS):
        weight = share.sum(0, dtype=np.float64) + 1e-9
        mean = (share.T @ x) / weight[:, None]
        covariance = total - (mean.T * weight) @ mean / n + ridge
        precision = np.linalg.inv(covariance)
        towards = precision @ mean.T
        own = x @ towards - 0.5 * (mean.T * towards).sum(0) + np.log(weight / n)
        for _ in range(_FIELD_STEPS if smoothing else 1):
            logits = own + smoothing * around(share, neighbours) if smoothing else own
            top = logits.max(1, keepdims=True)
            share = np.exp(logits - top).astype(np.float32)
            norm = share.sum(1, keepdims=True)
            share /= norm
        yield (start + (step + 1) / _STEPS) / starts
    spread = np.einsum("np,np->n", x @ precision, x).mean() + np.linalg.slogdet(covariance)[1]
    # Without what the field alone says of a cell, the likeliest would be to have fewer niches.
    expected = logsumexp(logits - own + np.log(weight / n), axis=1)
    likelihood = (np.log(norm[:, 0]) + top[:, 0] - expected).mean() - 0.5 * spread
    return FieldMixture(share, float(likelihood), precision)


def around(
    probability: NDArray[np.float32], neighbours: Sequence[Neighbours]
) -> NDArray[np.float32]:
    """Return (n, K) means of ``probability`` (n, K) over each cell's neighbours."""
    parts, start = [], 0
    for near in neighbours:
        parts.append(near.mean(probability[start : start + near.n_cells]))
        start += near.n_cells
    return np.concatenate(parts)
