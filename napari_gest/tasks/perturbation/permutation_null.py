"""A null for responses: like cells exchange what an edit would change."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_gest.tasks.perturbation.respond import Residuals
from napari_gest.tasks.progress import Clock, Progress

_RIDGE = 0.02  # of the mean variance
_REACHED = 0.01  # of the dose: identities that get less do not count
_TINY = 1e-12


def exchange(
    tissue: Residuals,
    direction: NDArray[np.float64],
    doses: Sequence[NDArray[np.float64]],
    n_permutations: int,
    rng: np.random.Generator,
) -> Generator[Progress, None, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Ask whether cells respond to how strongly their neighbours express the edited genes.

    The level of a cell is its expression along the edit, less what its other genes say of it. In
    tissue without a response it makes no difference which of the like cells of a section (those
    of one identity) has which level. So levels are exchanged among them. What is compared is,
    for each identity that may respond and each that may signal, the sum of products of level and
    what is left of the neighbours' expression, over the standard error under exchange. Pairs of
    identities are weighted by how far the other genes exceed chance in them; identities that the
    edit does not reach do not count.

    Parameters
    ----------
    tissue
        Measured tissue.
    direction
        (G,) of the edit, in spreads.
    doses
        For each band (C,) the dose that reaches each identity.
    n_permutations
        Times that levels are exchanged.
    rng
        Of the exchange.

    Yields
    ------
    Progress; returns the statistic, (B, G), positive where a gene rises with the level, and the
    permuted ones, (B, P, G).
    """
    clock = Clock("Exchanging like cells", tissue.n_identities)
    edited = np.abs(direction) > 1e-6
    level = own_level(tissue, direction, edited)
    strata = [
        np.flatnonzero((tissue.identity == c) & (tissue.section == s))
        for c in range(tissue.n_identities)
        for s in range(len(tissue.sections))
    ]
    strata = [cells for cells in strata if len(cells) > 1]
    levels = np.zeros((1 + n_permutations, len(level)), np.float32)
    for cells in strata:
        centred = level[cells] - level[cells].mean()
        levels[0, cells] = centred
        levels[1:, cells] = rng.permuted(np.tile(centred, (n_permutations, 1)), axis=1)
    n_genes = len(direction)
    shape = (tissue.n_identities, 1 + n_permutations, n_genes)
    total = [np.zeros(shape[1:]) for _ in doses]
    square = [np.zeros(shape[1:]) for _ in doses]
    for receiver in range(tissue.n_identities):
        inside = tissue.identity == receiver
        # What the receivers around each cell have beyond what GeST explains.
        heard = np.asarray(tissue.near[inside].T @ tissue.own[inside])
        products, variance = np.zeros(shape), np.zeros((tissue.n_identities, n_genes))
        for cells in strata:
            sender = tissue.identity[cells[0]]
            centred = (heard[cells] - heard[cells].mean(0)).astype(np.float32)
            products[sender] += levels[:, cells] @ centred
            spread = np.square(levels[0, cells], dtype=np.float64).sum() / (len(cells) - 1)
            variance[sender] += spread * np.square(centred, dtype=np.float64).sum(0)
        error = np.sqrt(variance)[:, None]
        z = np.divide(products, error, out=np.zeros(shape), where=error > _TINY)
        share = _share(z, ~edited & tissue.measured)
        for band, dose in enumerate(doses):
            weight = share * (dose[receiver] > _REACHED * dose.sum())
            total[band] += (weight * z).sum(0)
            square[band] += np.square(weight).sum(0)
        yield clock.tick(receiver + 1)
    found = np.stack(
        [t / np.sqrt(np.maximum(s, _TINY)) for t, s in zip(total, square, strict=True)]
    )
    return found[:, 0], found[:, 1:]


def own_level(
    tissue: Residuals, direction: NDArray[np.float64], edited: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return (n,) expression along the edit less what the genes that are not edited predict."""
    values = tissue.values.astype(np.float64)
    level = values @ direction
    for c in np.unique(tissue.identity):
        inside = tissue.identity == c
        others = values[np.ix_(inside, ~edited & tissue.measured)]
        others -= others.mean(0)
        own = level[inside] - level[inside].mean()
        gram = others.T @ others
        gram += (_RIDGE * np.trace(gram) / max(len(gram), 1) + _TINY) * np.eye(len(gram))
        level[inside] = own - others @ np.linalg.solve(gram, others.T @ own)
    return np.asarray(level)


def _share(z: NDArray[np.float64], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (..., G) how far the squares of z (..., G) exceed chance in all judged genes but one.

    A gene has no say in its own weight: its chance of a large value would grow with it.
    """
    square = np.where(judged, np.square(z), 0.0)
    n = np.maximum(judged.sum() - judged, 1)
    mean = (square.sum(-1, keepdims=True) - square) / n
    return np.asarray(np.maximum(mean - 1, 0) / np.maximum(mean, 1))
