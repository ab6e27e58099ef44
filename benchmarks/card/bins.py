"""Cells added up in square bins: tissue as it looks where no cell is told from another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from napari_gest import keys


def binned(adata: AnnData, side_um: float, least_cells: int = 2) -> AnnData:
    """Return square bins made of cells, each the sum of its cells' expression.

    Parameters
    ----------
    adata
        Cells of several sections (obs ``section``), positions in um, linear expression.
    side_um
        Side of a bin.
    least_cells
        Bins of fewer cells, mostly at the edge of the tissue, are left out.

    Returns
    -------
    One row for each bin, at its centre; obs ``n_cells`` says how many cells it is made of.
    """
    names = adata.obs[keys.SECTION].astype(str).to_numpy()
    corner = np.floor(np.asarray(adata.obsm[keys.SPATIAL]) / side_um).astype(np.int64)
    place = pd.DataFrame({"section": names, "x": corner[:, 0], "y": corner[:, 1]})
    group = place.groupby(["section", "x", "y"], sort=True)
    bin_of, bins = group.ngroup().to_numpy(), group.size()
    n = len(bins)
    sums = sparse.csr_matrix((np.ones(adata.n_obs, np.float32), (bin_of, np.arange(adata.n_obs))))
    kept = bins.to_numpy() >= least_cells
    expression = sparse.csr_matrix(sums @ sparse.csr_matrix(adata.X))[kept].astype(np.float32)
    at = np.array([[x, y] for _, x, y in bins.index], np.float64).reshape(n, 2)[kept]
    obs = pd.DataFrame(
        {
            keys.SECTION: [
                str(section) for (section, _, _), k in zip(bins.index, kept, strict=True) if k
            ],
            "n_cells": bins.to_numpy()[kept],
        },
        index=[f"bin {i}" for i in range(int(kept.sum()))],
    )
    made = AnnData(expression, obs=obs, var=pd.DataFrame(index=adata.var_names))
    made.obsm[keys.SPATIAL] = (at + 0.5) * side_um
    return made
