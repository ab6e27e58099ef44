"""mimyr: where cells are, what they are, and what they express, learned in three steps.

Its published weights are on a hub and not available offline, so `train` starts without weights, as
it allows. `train` and `generate` take sections in the Allen Common Coordinate Framework with
clusters of the Allen Brain Cell Atlas. Tissue of another kind is given as it is, with the types of
its own cells: whether it will do is for mimyr to say.
"""

import tempfile

import anndata
import door
import mimyr
import numpy as np


def run(known, positions, n_draws, seed):
    known.obs["cluster"] = door.types(known, seed)
    empty = np.zeros((len(positions), known.n_vars), dtype=np.float32)
    hole = anndata.AnnData(empty, var=known.var, obsm={"spatial": positions})
    model = mimyr.Mimyr(None, None, None)
    with tempfile.TemporaryDirectory() as folder:
        model.train(known, known, folder, model_size="small")
        made = [model.generate(known, hole, seed=seed + i) for i in range(n_draws)]
    return np.stack([np.expm1(draw[:, known.var_names].X) for draw in made])


if __name__ == "__main__":
    door.generation(run)
