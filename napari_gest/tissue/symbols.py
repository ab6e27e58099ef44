"""Symbols of genes that are named by ids: for searching, and where no model knows the ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

# Columns of var that hold symbols, the most common first; compared in lower case.
COLUMNS = ("gene_symbol", "gene_symbols", "symbol", "gene_name", "gene_names", "feature_name")


_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")


def why_none_fits(genes: Sequence[str], wanted: Sequence[str]) -> tuple[str, str] | None:
    """Return cause and remedy where two panels share no gene because of how genes are named.

    None where genes are named in the same way, or in no way that is known here.

    Parameters
    ----------
    genes
        Names of the genes of a section.
    wanted
        Names of the genes of a model.
    """
    theirs, ours = ({gene.casefold(): gene for gene in panel} for panel in (genes, wanted))
    same = sorted(theirs.keys() & ours.keys())
    if same:
        return (
            f"{len(same)} of them differ in upper and lower case alone, such as"
            f" '{theirs[same[0]]}' and '{ours[same[0]]}'",
            "If both are of one species, rename the genes in adata.var_names to those of the"
            " model.",
        )
    ids = [sum(bool(_ENSEMBL.fullmatch(g)) for g in p) * 2 > len(p) for p in (genes, wanted)]
    if ids == [True, False]:
        return (
            f"the section names genes by Ensembl ids, such as '{genes[0]}', the model by symbols",
            "Name them by symbols: adata.var_names = adata.var[KEY].astype(str), where KEY is the"
            f" column of var that holds them, often '{COLUMNS[0]}' or '{COLUMNS[-1]}'.",
        )
    if ids == [False, True]:
        return (
            f"the model names genes by Ensembl ids, such as '{wanted[0]}', the section by symbols",
            "Name them by their ids in adata.var_names.",
        )
    return None


def gene_texts(adata: AnnData, genes: Sequence[str]) -> dict[str, str]:
    """Return the gene of each text: "Gad1 (ENSMUSG00000070880)", or the name alone.

    Parameters
    ----------
    adata
        Cells x genes. Never modified.
    genes
        Names of genes, such as ``Section.genes``; those without a symbol stay as they are.
    """
    found = {str(c).lower(): c for c in adata.var.columns}
    column = next((found[c] for c in COLUMNS if c in found), None)
    if column is None:
        return {gene: gene for gene in genes}
    values = adata.var[column]
    if not isinstance(values, pd.Series):  # a duplicate column
        return {gene: gene for gene in genes}
    names = adata.var_names.astype(str)
    known = values.notna().to_numpy() & (values.astype(str) != names).to_numpy()
    symbol = dict(zip(names[known], np.asarray(values.astype(str))[known], strict=True))
    return {f"{symbol[g]} ({g})" if symbol.get(g) else g: g for g in genes}
