"""Principal axes by fixed solvers, with the same signs on every machine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

_CHUNK = 8192  # rows taken at a time, so memory does not grow with the number of cells


class Rows(Protocol):
    """A matrix (n, G) float32 of which slices of rows are taken: an array, or what makes them."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


def principal_axes(
    expression: NDArray[np.float32] | Rows, n_pcs: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean (G,) and the first axes (p, G), exact, in one streaming pass."""
    n, n_genes = expression.shape
    total = np.zeros(n_genes)
    gram = np.zeros((n_genes, n_genes))
    for start in range(0, n, _CHUNK):
        part = expression[start : start + _CHUNK].astype(np.float64)
        total += part.sum(0)
        gram += part.T @ part
    mean = total / n
    gram -= n * np.outer(mean, mean)
    if n_genes > 2000 and n_pcs < n_genes // 4:
        start_vector = np.random.default_rng(0).standard_normal(n_genes)
        axes = eigsh(gram, n_pcs, v0=start_vector)[1]
    else:
        axes = np.linalg.eigh(gram)[1]
    return mean.astype(np.float32), signed(axes[:, ::-1][:, :n_pcs].T).astype(np.float32)


def approximate_axes(
    expression: NDArray[np.float32], n_pcs: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the same as ``principal_axes``, almost exactly, and faster with many genes."""
    from sklearn.utils.extmath import randomized_svd  # slow to import, seldom needed

    mean = expression.mean(0)
    axes = randomized_svd(
        expression - mean,
        n_pcs,
        n_oversamples=10,
        n_iter=7,
        power_iteration_normalizer="QR",
        flip_sign=False,
        svd_lapack_driver="gesdd",
        random_state=seed,
    )[2]
    return mean, signed(axes).astype(np.float32)


def signed(axes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return axes (p, G) with signs such that the largest entry of each is positive.

    An axis and its negative are equivalent, and a solver may return either.
    """
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    return axes * sign[:, None]
