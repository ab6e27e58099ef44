"""SpaGCN: graph convolution on an expression graph weighted by distance, deep embedded clustering.

As its tutorial has it, without histology: genes in at least three cells, p 0.5, the resolution
searched from 0.7, 200 epochs; labels refined by the six neighbours on Visium, not elsewhere, since
refinement assumes a lattice. A panel too small for its 50 principal components gives all but one.
"""

import functools
import random

import door
import numpy as np
import scanpy as sc
import SpaGCN as spg
import torch


def run(adata, n_clusters, seed, visium):
    x, y = adata.obsm["spatial"].T
    distance = spg.calculate_adj_matrix(x=x, y=y, histology=False)
    adata.var_names_make_unique()
    adata.X = np.asarray(adata.X.todense())  # its PCA asks for an attribute scipy has dropped
    spg.prefilter_genes(adata, min_cells=3)
    spg.prefilter_specialgenes(adata)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    if adata.n_vars <= 50:
        fewer = functools.partialmethod(spg.SpaGCN.train, num_pcs=adata.n_vars - 1)
        spg.SpaGCN.train = fewer  # here, since the search for the resolution does not pass it on
    scale = spg.search_l(0.5, distance, start=0.01, end=1000, tol=0.01, max_run=100)
    seeds = {"r_seed": seed, "t_seed": seed, "n_seed": seed}
    resolution = spg.search_res(
        adata,
        distance,
        scale,
        n_clusters,
        start=0.7,
        step=0.1,
        tol=5e-3,
        lr=0.05,
        max_epochs=20,
        **seeds,
    )
    model = spg.SpaGCN()
    model.set_l(scale)
    random.seed(seed)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the package draws from the global generator
    model.train(
        adata,
        distance,
        init_spa=True,
        init="louvain",
        res=resolution,
        tol=5e-3,
        lr=0.05,
        max_epochs=200,
    )
    labels, _ = model.predict()
    if not visium:
        return {"": labels}
    refined = spg.refine(adata.obs_names.tolist(), list(labels), distance, shape="hexagon")
    return {"": refined, "unrefined": labels}


if __name__ == "__main__":
    door.niches(run)
