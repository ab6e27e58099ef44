"""k-means whose start, solver and order of sums are settled here, not by a library's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.cluster import KMeans, MiniBatchKMeans

_MOST = 50_000  # points the starting centres are drawn from


def kmeans(
    points: NDArray[np.floating],
    k: int,
    rng: np.random.Generator,
    *,
    starts: int = 1,
    max_iter: int = 300,
    batch_size: int | None = None,
) -> KMeans | MiniBatchKMeans:
    """Return the best of several fits, with ``labels_`` and ``cluster_centers_``.

    One thread adds up, since several add in an order that changes from run to run. Where cores
    are busy that is faster, too.

    Parameters
    ----------
    points
        (n, p), n of ``k`` at least.
    k
        Number of clusters.
    rng
        Draws the centres to start from, and the mini-batches.
    starts
        Fits; the one with the least squared distance is returned.
    max_iter
        Lloyd's steps at most.
    batch_size
        Points in a mini-batch; every step takes all points by default.
    """
    # Slow to import, and not needed to generate.
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    best: KMeans | MiniBatchKMeans | None = None
    with threadpool_limits(1, user_api="openmp"):
        for _ in range(starts):
            some = points
            if len(points) > _MOST:
                some = points[np.sort(rng.choice(len(points), _MOST, replace=False))]
            init = spread_centres(some, k, rng)
            if batch_size is None:
                fitted = KMeans(
                    k, init=init, n_init=1, max_iter=max_iter, tol=1e-4, algorithm="lloyd"
                )
            else:
                fitted = MiniBatchKMeans(
                    k,
                    init=init,
                    n_init=1,
                    batch_size=batch_size,
                    random_state=int(rng.integers(2**31)),
                )
            fitted.fit(points)
            if best is None or fitted.inertia_ < best.inertia_:
                best = fitted
    assert best is not None
    return best


def spread_centres(
    points: NDArray[np.floating], k: int, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return (k, p) of the points (n, p), far from each other (k-means++).

    Each is drawn by the squared distance to the centres so far; of a few drawn, the one that
    brings all points nearest is taken (Arthur and Vassilvitskii 2007).
    """
    n, norm = len(points), np.square(points, dtype=np.float64).sum(1)
    tries = 2 + int(np.log(k))
    chosen = [int(rng.integers(n))]
    nearest = _squared(points, norm, chosen)[0]
    while len(chosen) < k:
        total = np.cumsum(nearest)
        drawn = np.searchsorted(total, rng.random(tries) * total[-1], side="right")
        drawn = np.minimum(drawn, n - 1)
        closer = np.minimum(nearest, _squared(points, norm, drawn))
        best = int(closer.sum(1).argmin())
        chosen.append(int(drawn[best]))
        nearest = closer[best]
    return points[chosen]


def _squared(
    points: NDArray[np.floating], norm: NDArray[np.float64], chosen: list[int] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (m, n) squared distances of the chosen points (m,) to all."""
    away = norm[chosen][:, None] + norm - 2.0 * (points[chosen] @ points.T)
    away[np.arange(len(chosen)), chosen] = 0
    return np.maximum(away, 0)
