"""STAGATE (stagate-modern, a maintained fork of STAGATE_pyG): graph attention autoencoder, mclust.

As its tutorial has it: 3,000 variable genes of raw counts, totals 10,000, log1p, neighbours within
150 um on Visium, else the six nearest, 1,000 epochs. mclust needs R: scikit-learn's tied mixture
takes its place.
"""

import door
import scanpy as sc
from STAGATE_pyG import Cal_Spatial_Net, train_STAGATE


def run(adata, n_clusters, seed, visium):
    adata.var_names_make_unique()
    if adata.n_vars > 3000:
        sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=3000)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    if visium:
        Cal_Spatial_Net(adata, rad_cutoff=150)
    else:
        Cal_Spatial_Net(adata, k_cutoff=6, model="KNN")
    adata = train_STAGATE(adata, random_seed=seed, device="cpu", verbose=False)
    embedding = adata.obsm["STAGATE"]
    return {
        "": door.mixture(embedding, n_clusters, seed),
        "k-means": door.k_means(embedding, n_clusters, seed),
    }


if __name__ == "__main__":
    door.niches(run)
