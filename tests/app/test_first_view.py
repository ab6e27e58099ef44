"""What a tissue is coloured by when it is opened."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_gest.app.first_view import first_view
from napari_gest.app.opened import open_sections
from napari_gest.app.view_state import ViewState


def test_the_annotation_that_looks_like_cell_types(opened):
    assert first_view(opened) == ViewState(column="cell_type")


def test_without_one_the_gene_that_varies_most(tissue):
    tissue.obs = tissue.obs[["section"]]
    values = tissue.X.toarray()
    values[:, 7] = np.where(np.arange(len(values)) % 2, 400.0, 0.0)
    tissue.X = sparse.csr_matrix(values)
    opened = open_sections(tissue)[0]
    gene = opened.section.genes[7]
    assert opened.telling_gene == gene
    assert first_view(opened) == ViewState(gene=gene)


def test_numbers_are_no_cell_types(opened):
    opened.adata.obs = opened.adata.obs[["section"]].assign(cell_type=1.5)
    assert first_view(opened).column is None
