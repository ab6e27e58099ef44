"""Fingerprints follow a cell, whatever file it is in."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_gest.tissue.fingerprint import fingerprints


def _counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.7, (400, 30)).astype(np.float32)


def test_they_follow_cells_and_genes_wherever_they_stand() -> None:
    counts, genes = _counts(), [f"g{i}" for i in range(30)]
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(400), rng.permutation(30)
    first = fingerprints(sparse.csr_matrix(counts), genes)
    moved = sparse.csr_matrix(counts[rows][:, columns])
    again = fingerprints(moved, [genes[i] for i in columns])
    np.testing.assert_array_equal(first[rows], again)


def test_they_tell_cells_and_genes_apart() -> None:
    counts, genes = _counts(), [f"g{i}" for i in range(30)]
    first = fingerprints(sparse.csr_matrix(counts), genes)
    distinct = len(np.unique(counts, axis=0))
    assert len(np.unique(first)) == distinct
    other = fingerprints(sparse.csr_matrix(counts), [f"h{i}" for i in range(30)])
    assert not np.isin(first, other).any()
    changed = counts.copy()
    changed[:, 3] += 1
    assert not (fingerprints(sparse.csr_matrix(changed), genes) == first).any()


def test_an_empty_cell_and_a_stored_zero() -> None:
    matrix = sparse.csr_matrix(
        (np.array([0.0, 2.0], np.float32), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 2)
    )
    first, second = fingerprints(matrix, ["a", "b"])
    assert first == 0
    assert second != 0
