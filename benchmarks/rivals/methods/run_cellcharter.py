"""CellCharter: scVI latent, mean over three rings of neighbours, Gaussian mixture.

As its documentation has it: scVI on counts with early stopping, Delaunay graph without long links
(the lattice's six neighbours on Visium), n_layers 3, its own mixture.
"""

import cellcharter as cc
import door
import scvi
import squidpy as sq


def run(adata, n_clusters, seed, visium):
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(adata)
    model = scvi.model.SCVI(adata)
    model.train(early_stopping=True, accelerator="cpu", enable_progress_bar=False)
    adata.obsm["X_scVI"] = model.get_latent_representation()
    if visium:
        sq.gr.spatial_neighbors(adata, coord_type="grid", n_neighs=6)
    else:
        sq.gr.spatial_neighbors(adata, coord_type="generic", delaunay=True)
        cc.gr.remove_long_links(adata)
    cc.gr.aggregate_neighbors(adata, n_layers=3, use_rep="X_scVI")
    mixture = cc.tl.Cluster(
        n_clusters,
        random_state=seed,
        trainer_params={"accelerator": "cpu", "enable_progress_bar": False},
    )
    mixture.fit(adata)
    return {"": mixture.predict(adata)}


if __name__ == "__main__":
    door.niches(run)
