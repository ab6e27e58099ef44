"""NicheCompass: variational graph autoencoder with gene programmes, Leiden on its latent.

As its tutorial of one sample has it: 4 nearest neighbours made symmetric, graph convolutions, 400
epochs with early stopping, batches of 1,024 edges with 4 sampled neighbours, the addon weight 100.
Its prior gene programmes are downloads from several data bases, absent here, so that one
programme of all genes stands for them and its 100 programmes learned from the data do the work.
"""

import anndata
import door
import numpy as np
import squidpy as sq
from nichecompass.models import NicheCompass
from nichecompass.utils import add_gps_from_gp_dict_to_adata
from scipy import sparse


def run(adata, n_clusters, seed, visium):
    adata = anndata.AnnData(
        sparse.csr_matrix(adata.X), obs=adata.obs, var=adata.var, obsm=dict(adata.obsm)
    )
    adata.layers["counts"] = adata.X.copy()
    sq.gr.spatial_neighbors(adata, coord_type="generic", n_neighs=4)
    graph = adata.obsp["spatial_connectivities"]
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix(graph.maximum(graph.T))
    genes = list(adata.var_names)
    programme = {
        "sources": genes,
        "targets": genes,
        "sources_categories": ["gene"] * len(genes),
        "targets_categories": ["gene"] * len(genes),
    }
    add_gps_from_gp_dict_to_adata({"all_genes_GP": programme}, adata, genes_uppercase=False)
    model = NicheCompass(
        adata, conv_layer_encoder="gcnconv", seed=seed, use_cuda_if_available=False
    )
    model.train(
        n_epochs=400,
        lambda_l1_addon=100.0,
        edge_batch_size=1024,
        n_sampled_neighbors=4,
        use_cuda_if_available=False,
        latent_dtype=np.float32,
    )
    latent = np.asarray(model.adata.obsm["nichecompass_latent"])
    return {
        "": door.leiden(latent, n_clusters, seed),
        "mixture": door.mixture(latent, n_clusters, seed),
    }


if __name__ == "__main__":
    door.niches(run)
