"""scANVI (scvi-tools): semi-supervised variational autoencoder on a cell's own counts.

As its label-transfer tutorial has it: both sets together with the section as batch, scVI with two
layers, 30 latent dimensions and the negative binomial at the default number of epochs, then scANVI
for 20 epochs with 100 labelled cells per class in each.
"""

import anndata
import door
import numpy as np
import scvi


def run(train, test, label_key, seed):
    scvi.settings.seed = seed
    test.obs[label_key] = "Unknown"
    both = anndata.concat([train, test], index_unique="-", label="part", keys=["train", "test"])
    scvi.model.SCVI.setup_anndata(both, batch_key="section", labels_key=label_key)
    base = scvi.model.SCVI(both, n_layers=2, n_latent=30, gene_likelihood="nb")
    base.train(accelerator="cpu", enable_progress_bar=False)
    model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category="Unknown")
    model.train(
        max_epochs=20, n_samples_per_label=100, accelerator="cpu", enable_progress_bar=False
    )
    soft = model.predict(both[both.obs["part"] == "test"].copy(), soft=True)
    classes = np.asarray(soft.columns)
    return {"": classes[soft.to_numpy().argmax(axis=1)]}, soft.to_numpy(), classes


if __name__ == "__main__":
    door.annotation(run)
