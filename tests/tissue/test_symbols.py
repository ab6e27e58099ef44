"""Symbols beside ids."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue.section import Section
from napari_gest.tissue.symbols import COLUMNS, gene_texts, why_none_fits


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


IDS = tuple(f"ENSMUSG{i:011}" for i in range(30))


@pytest.mark.parametrize(
    ("genes", "wanted", "cause", "remedy"),
    [
        (("GAD1", "Aqp4"), ("Gad1", "Sox9"), "1 of them .* 'GAD1' and 'Gad1'", "var_names"),
        (IDS, ("Gad1", "Sox9"), f"section .* Ensembl ids, such as '{IDS[0]}'", "gene_symbol"),
        (("ENSG00000128683.14",), ("GAD1",), "section .* Ensembl ids", "gene_symbol"),
        (("Gad1", "Sox9"), IDS, "model .* Ensembl ids", "var_names"),
    ],
)
def test_how_genes_are_named_is_told_where_none_fits(
    genes: tuple[str, ...], wanted: tuple[str, ...], cause: str, remedy: str
) -> None:
    told = why_none_fits(genes, wanted)
    assert told is not None
    assert re.search(cause, told[0])
    assert remedy in told[1]
    with pytest.raises(InputError, match=f"none of the model's {len(wanted)} genes: .*{cause}"):
        _of(genes).measured(wanted)


def test_other_panels_are_just_other_panels() -> None:
    assert why_none_fits(("Gad1", "Sox9"), ("Aqp4",)) is None
    assert why_none_fits(IDS[:3], IDS[3:]) is None
    with pytest.raises(InputError, match="0 of the model's 3 genes"):
        _of(("Gad1",)).measured(("a", "b", "c"))


def _of(genes: tuple[str, ...]) -> Section:
    """Return a section of three cells with these genes."""
    coords = np.array([[0.0, 0], [9, 0], [0, 9]])
    names = pd.Index([*genes])
    adata = AnnData(np.ones((3, len(genes)), "f4"), var=pd.DataFrame(index=names))
    adata.obsm["spatial"] = coords
    return Section.from_anndata(adata)
