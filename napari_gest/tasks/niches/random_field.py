"""A mixture of Gaussians with one covariance, on a random field: niches and their smoothness."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from napari_gest.files import Scratch
from napari_gest.memory import give_back
from napari_gest.model.kmeans import kmeans
from napari_gest.tissue.neighbours import Neighbours

_STEPS = 30
# Updates of all cells at most once some have settled the niches, and the share of them that may
# still change their niche in an update that is the last; cells updated at a time.
_LAST_STEPS, _STILL, _AT_ONCE = 20, 1e-3, 8192
_FIELD_STEPS = 3  # mean-field updates in an E-step
_RIDGE = 1e-3  # of each feature's variance
# Of sections apart: how many cells of a niche count as much as what the other sections say of it.
NICHE_PRIOR = 60.0


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
    means
        (1, K, p) of the niches, less the mean of the fitted cells; (S, K, p) of sections apart.
    shift
        (S, p) what sets each section apart as a whole; (1, p) zeros where all are as one.
    """

    probability: NDArray[np.float32]
    likelihood: float
    precision: NDArray[np.float64]
    means: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Some cells in whole tiles, which stand for all of many.

    Attributes
    ----------
    cells
        (m,) index of each.
    neighbours
        Of each tile; the tiles one after another are ``cells``.
    """

    cells: NDArray[np.int64]
    neighbours: Sequence[Neighbours]


def fit_field_mixture(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    k: int,
    *,
    smoothing: float,
    starts: int,
    seed: int,
    sample: Sample | None = None,
    files: Scratch | None = None,
    section: NDArray[np.int64] | None = None,
    prior: float = NICHE_PRIOR,
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
    sample
        Cells on which the starts are tried. The likeliest goes on with all cells.
    files
        What features and neighbours are in, if they are in files; they are let go of after every
        some thousand cells.
    section
        (n,) section of each cell, 0 on. If given, sections are apart: each has a shift of its own,
        and the means of its niches may differ from the others' a little.
    prior
        How many cells of a niche in a section it takes for its mean to lie halfway between their
        own and what the other sections say; infinite: sections have shifts alone.

    Yields
    ------
    The share that is done, after every step.
    """
    some, near = features, neighbours
    if sample is not None:
        some, near = features[sample.cells], sample.neighbours
        if files is not None:
            files.release()
    of = np.zeros(len(features), np.int64) if section is None else section
    if sample is not None:
        of = of[sample.cells]
    begin = some
    if section is not None:
        begin = some - np.stack([some[of == s].mean(0) for s in range(int(of.max()) + 1)])[of]
    best: FieldMixture | None = None
    for start in range(starts):
        rng = np.random.default_rng([seed, start])
        part = start / starts if sample is None else 0.5 * start / starts
        yield part
        labels = kmeans(begin, k, rng, max_iter=50).labels_
        share = np.full((len(some), k), 0.02 / k, np.float32)
        share[np.arange(len(some)), labels] += 0.98
        end = (start + 1) / starts if sample is None else 0.5 * (start + 1) / starts
        fitted = yield from _climb(some, near, share, smoothing, (part, end), of, prior)
        if best is None or fitted.likelihood > best.likelihood:
            best = fitted
        give_back()
    assert best is not None
    if sample is None:
        return best
    return (yield from _all_cells(features, neighbours, some, best, smoothing, files, prior))


def _all_cells(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    some: NDArray[np.float32],
    fitted: FieldMixture,
    smoothing: float,
    files: Scratch | None,
    prior: float,
) -> Generator[float, None, FieldMixture]:
    """Go on with all cells from a mixture that was fitted to some of them (m, p).

    Cells are updated in place, some thousands at a time, each by what the cells around it have
    come to meanwhile; the mixture after each round. Beside the probabilities nothing is kept of a
    cell. Of tissue in files they are in files, too, until the end.
    """
    middle = some.mean(0, dtype=np.float64)
    weight = fitted.probability.sum(0, dtype=np.float64) + 1e-9
    means, precision = fitted.means, fitted.precision
    n, p = features.shape
    own = None if files is None else Scratch(secrets.token_hex(8))
    kept = [each for each in (files, own) if each is not None]
    shape, total = (n, len(weight)), np.zeros((p, p))
    share = (
        np.empty(shape, np.float32) if own is None else np.asarray(own.make("share", shape, "f4"))
    )
    for sweep in range(_LAST_STEPS + 1):
        start, changed, sums = 0, 0, np.zeros_like(means)
        size, mass = np.zeros(means.shape[:2]), np.zeros(len(weight))
        for number, near in enumerate(neighbours):
            of = min(number, len(means) - 1)  # all are as one, or apart
            towards = precision @ means[of].T
            bias = np.log(weight / weight.sum()) - 0.5 * (means[of].T * towards).sum(0)
            here = share[start : start + near.n_cells]
            for first in range(0, near.n_cells, _AT_ONCE):
                cells = slice(first, min(first + _AT_ONCE, near.n_cells))
                x = features[start + first : start + cells.stop] - middle
                logits = x @ towards + bias
                if sweep:  # the first is without field
                    before = here[cells].argmax(1)
                    if smoothing:
                        logits += smoothing * near.mean_of(cells, here)
                else:
                    before = None
                    total += x.T @ x
                logits -= logits.max(1, keepdims=True)
                np.exp(logits, out=logits)
                here[cells] = logits / logits.sum(1, keepdims=True)
                if before is not None:
                    changed += int((before != here[cells].argmax(1)).sum())
                sums[of] += here[cells].T @ x
                size[of] += here[cells].sum(0, dtype=np.float64)
                mass = np.concatenate([mass[None], here[cells]]).sum(0)  # as NumPy adds up all
                for each in kept:
                    each.release()
            start += near.n_cells
        yield 0.5 + 0.5 * (sweep + 1) / (_LAST_STEPS + 1)
        if sweep and changed < _STILL * n:
            break
        weight = mass + 1e-9
        means, shift = _means(size, sums, prior)
        covariance = (total - _explained(size, sums, means)) / n
        precision = np.linalg.inv(covariance + _ridge(total / n))
        fitted = replace(fitted, precision=precision, means=means, shift=shift)
    if own is not None:
        in_files, share = share, np.empty(shape, np.float32)
        for first in range(0, n, _AT_ONCE):
            share[first : first + _AT_ONCE] = in_files[first : first + _AT_ONCE]
            own.release()
        del here, in_files
        own.close()
    yield 1.0
    return replace(fitted, probability=share)


def _climb(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    share: NDArray[np.float32],
    smoothing: float,
    progress: tuple[float, float],
    section: NDArray[np.int64],
    prior: float,
) -> Generator[float, None, FieldMixture]:
    """Fit from probabilities (n, K), which are written over; yields progress between two numbers.

    ``section`` (n,) is 0 throughout where all sections are as one.
    """
    x = features.astype(np.float64)
    x -= x.mean(0)
    n = len(x)
    total = x.T @ x / n
    ridge = _ridge(total)
    parts: list[NDArray[np.int64] | slice] = [slice(None)]
    if section.any():
        parts = [np.flatnonzero(section == s) for s in range(int(section.max()) + 1)]
    own, logits = np.empty(share.shape), np.empty(share.shape)
    top, norm = np.empty((n, 1)), np.empty((n, 1), np.float32)
    blocks = [slice(i, min(i + _AT_ONCE, n)) for i in range(0, n, _AT_ONCE)]
    for step in range(_STEPS):
        weight = share.sum(0, dtype=np.float64) + 1e-9
        size, sums = _gathered(x, share, parts)
        means, _ = _means(size, sums, prior)
        covariance = total - _explained(size, sums, means) / n + ridge
        precision = np.asarray(np.linalg.inv(covariance), np.float64)
        for part, mean in zip(parts, means, strict=True):
            towards = precision @ mean.T
            made = x[part] @ towards
            made -= 0.5 * (mean.T * towards).sum(0)
            made += np.log(weight / n)
            own[part] = made
        del made
        for _ in range(_FIELD_STEPS if smoothing else 1):
            field = around(share, neighbours) if smoothing else None
            for cells in blocks:
                of_all = own[cells] if field is None else own[cells] + smoothing * field[cells]
                logits[cells], top[cells] = of_all, of_all.max(1, keepdims=True)
                share[cells] = np.exp(of_all - top[cells])
                norm[cells] = share[cells].sum(1, keepdims=True)
                share[cells] /= norm[cells]
            del field
        yield progress[0] + (step + 1) / _STEPS * (progress[1] - progress[0])
    # Without what the field alone says of a cell, the likeliest would be to have fewer niches.
    expected, alone = np.empty(n), np.log(weight / n)
    for cells in blocks:
        expected[cells] = logsumexp(logits[cells] - own[cells] + alone, axis=1)
    del own, logits
    spread = np.einsum("np,np->n", x @ precision, x).mean() + np.linalg.slogdet(covariance)[1]
    likelihood = (np.log(norm[:, 0]) + top[:, 0] - expected).mean() - 0.5 * spread
    means, shift = _means(*_gathered(x, share, parts), prior)
    return FieldMixture(share, float(likelihood), precision, means, shift)


def _gathered(
    x: NDArray[np.float64], share: NDArray[np.float32], parts: Sequence[NDArray[np.int64] | slice]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (S, K) how many cells each part has of each niche, and (S, K, p) their sums."""
    size = [share[part].sum(0, dtype=np.float64) for part in parts]
    sums = [np.asarray(share[part].T @ x[part], np.float64) for part in parts]
    return np.stack(size), np.stack(sums)


def _means(
    size: NDArray[np.float64], sums: NDArray[np.float64], prior: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (S, K, p) means of niches and (S, p) shifts of sections.

    ``size`` (S, K) is how many cells each section has of each niche, ``sums`` (S, K, p) their sum.
    Niches and shifts are fitted at once, by least squares, so that a section that has more of a
    niche than others is not taken for a shifted one.
    """
    weight = size.sum(0) + 1e-9
    if len(size) == 1:
        return sums / weight[:, None], np.zeros((1, sums.shape[2]))
    of_niche = size / weight
    left = np.diag(size.sum(1) + 1) - of_niche @ size.T  # a cell more that has no shift
    shift = np.linalg.solve(left, sums.sum(1) - of_niche @ sums.sum(0))
    mean = (sums.sum(0) - size.T @ shift) / weight[:, None]
    expected = mean + shift[:, None]
    beyond = (sums - size[..., None] * expected) / (size[..., None] + prior)
    return expected + beyond, shift


def _explained(
    size: NDArray[np.float64], sums: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (p, p) by how much less the cells' squares are around the means (S, K, p)."""
    if len(size) == 1:
        return np.asarray((means[0].T * (size[0] + 1e-9)) @ means[0])
    flat, sums = means.reshape(-1, means.shape[2]), sums.reshape(-1, means.shape[2])
    both = sums.T @ flat
    return np.asarray(both + both.T - (flat.T * size.ravel()) @ flat)


def _ridge(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what keeps a covariance (p, p) from being singular."""
    return _RIDGE * np.diag(np.diag(total)) + 1e-12 * np.eye(len(total))


def around(
    probability: NDArray[np.float32], neighbours: Sequence[Neighbours]
) -> NDArray[np.float32]:
    """Return (n, K) means of ``probability`` (n, K) over each cell's neighbours."""
    out, start = np.empty_like(probability), 0
    for near in neighbours:
        here = probability[start : start + near.n_cells]
        for first in range(0, near.n_cells, _AT_ONCE):
            cells = slice(first, min(first + _AT_ONCE, near.n_cells))
            out[start + first : start + cells.stop] = near.mean_of(cells, here)
        start += near.n_cells
    return out
