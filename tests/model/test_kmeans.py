"""k-means: finds clusters, and the same ones whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from napari_gest.model.kmeans import kmeans, spread_centres


def _clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 800)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    return (centres[label] + rng.normal(0, 0.5, (800, 2))).astype(np.float32), label


@pytest.mark.parametrize("batch_size", [None, 100])
def test_clusters_that_stand_apart_are_found(batch_size: int | None) -> None:
    points, label = _clusters()
    found = kmeans(points, 4, np.random.default_rng(1), starts=3, batch_size=batch_size)
    pairs = {(a, b) for a, b in zip(label, found.labels_, strict=True)}
    assert len(pairs) == 4


def test_threads_change_nothing() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            found.append(kmeans(points, 20, np.random.default_rng(1)).cluster_centers_)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_starting_centres_are_spread_points() -> None:
    points, label = _clusters()
    centres = spread_centres(points, 4, np.random.default_rng(0))
    assert all((points == centre).all(1).any() for centre in centres)
    which = [label[(points == centre).all(1).argmax()] for centre in centres]
    assert sorted(which) == [0, 1, 2, 3]
    same = np.ones((10, 2), np.float32)
    assert spread_centres(same, 3, np.random.default_rng(0)).shape == (3, 2)
