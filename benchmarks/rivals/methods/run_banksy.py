"""BANKSY (pybanksy): own, neighbour-mean and gradient expression, PCA, clustering.

As its documentation has it: counts scaled to the median total and not logged, max_m 1, Gaussian
decay, 18 neighbours on Visium (two rings) and 15 elsewhere, 20 PCs; lambda 0.8 to find domains,
0.2 for Visium. Its default clustering is Leiden; the number of clusters is fixed here, so
k-means and a tied mixture (its mclust option) stand beside Leiden at that number.
"""

import door
import scanpy as sc
from banksy.embed_banksy import generate_banksy_matrix
from banksy.initialize_banksy import initialize_banksy
from sklearn.decomposition import PCA


def run(adata, n_clusters, seed, visium):
    sc.pp.normalize_total(adata)
    adata.obs["x"], adata.obs["y"] = adata.obsm["spatial"].T
    graphs = initialize_banksy(
        adata,
        ("x", "y", "spatial"),
        num_neighbours=18 if visium else 15,
        nbr_weight_decay="scaled_gaussian",
        max_m=1,
        plt_edge_hist=False,
        plt_nbr_weights=False,
        plt_theta=False,
    )
    found = {}
    for weight in (0.2, 0.8):
        ways = {
            "Leiden": lambda pcs: door.leiden(pcs, n_clusters, seed, n_neighbors=50),
            "k-means": lambda pcs: door.k_means(pcs, n_clusters, seed),
            "mixture": lambda pcs: door.mixture(pcs, n_clusters, seed),
        }
        named = {f"lambda {weight}, {name}": way for name, way in ways.items()}
        asked = [name for name in named if door.wanted(name)]
        if not asked:
            continue
        _, matrix = generate_banksy_matrix(adata, graphs, [weight], 1, verbose=False)
        pcs = PCA(20, random_state=seed).fit_transform(matrix.X)
        found |= {name: named[name](pcs) for name in asked}
    return found


if __name__ == "__main__":
    door.niches(run)
