"""Symbols of genes that are named by ids, for searching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

# Columns of var that hold symbols, the most common first; compared in lower case.
COLUMNS = ("gene_symbol", "gene_symbols", "symbol", "gene_name", "gene_names", "feature_name")


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
