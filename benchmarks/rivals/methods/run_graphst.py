"""GraphST: graph self-supervised contrastive learning, PCA 20, mclust EEE, refinement.

As its tutorial has it: defaults of ``GraphST.GraphST`` (600 epochs, its own 3,000-gene selection
and scaling), then refinement by the majority of 50 neighbours on Visium. mclust needs R:
scikit-learn's tied mixture takes its place. Its adjacency is multiplied as a sparse matrix, which
spares time and changes the result by rounding alone.
"""

import door
import torch
from GraphST.GraphST import GraphST
from GraphST.utils import refine_label
from sklearn.decomposition import PCA


def run(adata, n_clusters, seed, visium):
    adata.var_names_make_unique()
    model = GraphST(adata, device=torch.device("cpu"), random_seed=seed)
    model.adj = model.adj.to_sparse()
    adata = model.train()
    pcs = PCA(20, random_state=42).fit_transform(adata.obsm["emb"])
    found = {}
    if door.wanted("k-means"):
        found["k-means"] = door.k_means(pcs, n_clusters, seed)
    if not (door.wanted("") or door.wanted("unrefined")):
        return found
    labels = door.mixture(pcs, n_clusters, seed)
    if not visium:
        return {"": labels} | found
    adata.obs["domain"] = labels.astype(str)
    return {"": refine_label(adata, 50, key="domain"), "unrefined": labels} | found


if __name__ == "__main__":
    door.niches(run)
