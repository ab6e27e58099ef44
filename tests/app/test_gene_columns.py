"""Columns of cells x genes, in blocks, are those of the matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_gest.app import gene_columns
from napari_gest.app.gene_columns import GeneColumns
from napari_gest.app.opened import Opened, open_sections
from napari_gest.tissue import io, rows
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section, section_names


def section_of(matrix: sparse.csr_matrix) -> Section:
    n, n_genes = matrix.shape
    coords = np.random.default_rng(0).random((n, 2))
    genes, names = tuple(f"g{i}" for i in range(n_genes)), np.arange(n).astype(bytes)
    return Section("one", coords, matrix, genes, names, np.arange(n))


def test_columns_in_blocks_are_those_of_the_matrix(monkeypatch):
    monkeypatch.setattr(gene_columns, "_ROWS", 7)
    for n in (1, 7, 20):
        matrix = sparse.random(n, 5, 0.4, "csr", np.float32, random_state=n)
        made = GeneColumns.of(section_of(matrix))
        whole = np.stack([made[gene] for gene in range(5)], 1)
        np.testing.assert_array_equal(whole, matrix.toarray())
        assert whole.dtype == np.float32


def test_a_value_that_is_stored_in_parts_is_their_sum():
    parts = (np.float32([1, 2, 4]), np.int32([0, 0, 1]), np.int32([0, 2, 3]))
    made = GeneColumns.of(section_of(sparse.csr_matrix(parts, (2, 2))))
    np.testing.assert_array_equal(made[0], [3, 0])
    np.testing.assert_array_equal(made[1], [0, 4])


@pytest.fixture
def stored(tissue, tmp_path, monkeypatch):
    """A section whose expression is left in its file, and the same in memory."""
    path = tmp_path / "tissue.h5ad"
    # Columns of a cell in no order, as some programs leave them.
    turned = sparse.csr_matrix(tissue.X)[:, ::-1]
    turned.sort_indices()
    tissue.X = turned[:, ::-1]
    write_tissue(tissue, path)
    name = section_names(tissue)[0]
    in_memory = Section.from_anndata(tissue, name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    monkeypatch.setattr(gene_columns, "_ROWS", 100)
    monkeypatch.setattr(gene_columns, "_HASHED", 1000)
    monkeypatch.setattr(rows, "STEP", 64)
    monkeypatch.setattr(rows, "BLOCK", 256)
    (opened,) = open_sections(read_tissue(path), path, [name])
    assert opened.section.on_disk
    return opened, in_memory


def test_columns_of_expression_on_disk_are_on_disk_too(stored):
    opened, in_memory = stored
    made = GeneColumns.of(opened.section)
    assert made.files is not None
    assert made.blocks == []
    whole = in_memory.expression.toarray()
    for gene in (0, 3, whole.shape[1] - 1):
        np.testing.assert_array_equal(made[gene], whole[:, gene])
    np.testing.assert_allclose(made.totals, whole.sum(1), rtol=1e-6)
    folder = made.files.folder
    assert folder.exists()
    del made
    assert not folder.exists()


def test_without_room_on_the_disk_columns_are_in_memory(stored, monkeypatch):
    opened, in_memory = stored
    monkeypatch.setattr(gene_columns, "_SPARE_BYTES", 10**18)
    made = GeneColumns.of(opened.section)
    assert made.files is None
    np.testing.assert_array_equal(made[2], in_memory.expression[:, [2]].toarray().ravel())


@pytest.mark.parametrize("on_disk", [False, True])
def test_sums_of_some_genes(stored, on_disk):
    opened, in_memory = stored
    made = GeneColumns.of(opened.section if on_disk else in_memory)
    genes = np.array([5, 0, 9])
    expected = in_memory.expression[:, genes].sum(axis=1)
    np.testing.assert_allclose(made.sums(genes), np.asarray(expected).ravel(), rtol=1e-6)


def test_the_window_looks_at_expression_on_disk_as_in_memory(stored):
    opened, in_memory = stored
    other = Opened("in memory", opened.adata, in_memory)
    GeneColumns.of(opened.section)
    panel = tuple(sorted(in_memory.genes)[:9])
    for gene in in_memory.genes[:2]:
        np.testing.assert_array_equal(opened.gene_values(gene), other.gene_values(gene))
        values = [one.gene_values(gene, 100.0, panel) for one in (opened, other)]
        np.testing.assert_allclose(*values, rtol=1e-6)
    assert vars(opened.section)["digest"] == in_memory.digest
    assert opened.telling_gene == other.telling_gene
