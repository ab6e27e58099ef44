"""Novae, trained here: its published weights are on a hub, and none of them saw these panels.

As its documentation has it: Delaunay graph within 80 um (the lattice on Visium), defaults of
``Novae`` and ``fit``, domains cut from its tree at the number asked for. Cells outside its graph
get no domain from it; they take that of the nearest cell that has one.
"""

import door
import lightning
import novae
import numpy as np
from scipy.spatial import cKDTree


def run(adata, n_clusters, seed, visium):
    lightning.seed_everything(seed)
    if visium:
        novae.spatial_neighbors(adata, technology="visium")
    else:
        novae.spatial_neighbors(adata, radius=80)
    model = novae.Novae(adata)
    model.fit(enable_progress_bar=False)
    model.compute_representations()
    key = model.assign_domains(n_domains=n_clusters)
    domain = adata.obs[key].to_numpy(dtype=object)
    missing = adata.obs[key].isna().to_numpy()
    where = np.asarray(adata.obsm["spatial"])
    domain[missing] = domain[~missing][cKDTree(where[~missing]).query(where[missing])[1]]
    return {"": domain}


if __name__ == "__main__":
    door.niches(run)
