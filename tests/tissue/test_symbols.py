"""Symbols beside ids."""

from __future__ import annotations

import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.tissue.symbols import COLUMNS, gene_texts


@pytest.mark.parametrize("column", [*COLUMNS, "Gene_Symbol"])
def test_genes_are_shown_by_symbol_and_id(tissue: AnnData, column: str) -> None:
    genes = list(tissue.var_names)
    tissue.var[column] = pd.Categorical([f"Sym{i % 7}" for i in range(tissue.n_vars)])
    texts = gene_texts(tissue, genes)
    assert list(texts.values()) == genes  # two genes may have one symbol
    assert texts[f"Sym3 ({genes[10]})"] == genes[10]


def test_a_gene_without_a_symbol_has_its_name(tissue: AnnData) -> None:
    genes = list(tissue.var_names)
    assert gene_texts(tissue, genes) == dict(zip(genes, genes, strict=True))
    tissue.var["symbol"] = [None, "", genes[2], "Gad1", *genes[4:]]
    texts = gene_texts(tissue, genes[:5])
    assert list(texts) == [*genes[:3], f"Gad1 ({genes[3]})", genes[4]]
    assert gene_texts(tissue, ["absent"]) == {"absent": "absent"}
