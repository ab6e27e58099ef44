"""Columns of cells x genes, in blocks, are those of the matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_gest.app import gene_columns
from napari_gest.app.gene_columns import GeneColumns


def test_columns_in_blocks_are_those_of_the_matrix(monkeypatch):
    monkeypatch.setattr(gene_columns, "_ROWS", 7)
    for n in (1, 7, 20):
        matrix = sparse.random(n, 5, 0.4, "csr", np.float32, random_state=n)
        made = GeneColumns.of(matrix)
        whole = np.stack([made[gene] for gene in range(5)], 1)
        np.testing.assert_array_equal(whole, matrix.toarray())
        assert whole.dtype == np.float32


def test_a_value_that_is_stored_in_parts_is_their_sum():
    parts = (np.float32([1, 2, 4]), np.int32([0, 0, 1]), np.int32([0, 2, 3]))
    made = GeneColumns.of(sparse.csr_matrix(parts, (2, 2)))
    np.testing.assert_array_equal(made[0], [3, 0])
    np.testing.assert_array_equal(made[1], [0, 4])
