"""soGEN: a network from the niche of a cell to a distribution of its counts.

As its documentation has it: the zero-inflated negative binomial for counts, 300 epochs, learning
rate 1e-4, batches of 256. A niche is the share of each cell type among the nearest known cells, at
three scales; the numbers of cells are this script's. A known cell is no part of its own niche. The
program feeds cells in the order given, so they are put in random order first.
"""

import door
import numpy as np
import torch
from scipy.spatial import cKDTree
from sogen import soGEN

SCALES = (10, 30, 100)  # nearest known cells
BATCH = 256


def run(known, positions, n_draws, seed):
    torch.manual_seed(seed)
    names, kind = np.unique(door.types(known, seed), return_inverse=True)
    one_hot = np.eye(len(names), dtype=np.float32)[kind]
    coords = known.obsm["spatial"]
    counts = known.X.toarray() if hasattr(known.X, "toarray") else np.asarray(known.X)
    order = np.random.default_rng(seed).permutation(len(coords))
    if len(order) % BATCH == 1:  # its batch normalisation refuses a batch of one cell
        order = order[:-1]
    own = [niche[order] for niche in niches(coords, one_hot, coords, itself=True)]
    model = soGEN(own, counts, mode="ZINB", device="cpu")
    model.fit(own, counts[order], epochs=300, lr=1e-4, batch_size=BATCH)
    theirs = niches(coords, one_hot, positions, itself=False)
    return np.stack([model.generate(theirs) for _ in range(n_draws)])


def niches(coords, one_hot, positions, itself):
    """Return for each scale (m, n_types) the shares of types among the nearest known cells.

    Parameters
    ----------
    coords, one_hot
        (n, 2) um and (n, n_types) types of the known cells.
    positions
        (m, 2) um.
    itself
        Whether these are the known cells, each of which is then no part of its own niche.
    """
    tree, found = cKDTree(coords), []
    for k in SCALES:
        k = min(k, len(coords) - 1)
        near = tree.query(positions, k + 1 if itself else k)[1]
        if itself:
            # A cell is the first of its own neighbours, unless others lie on top of it.
            far = np.where(near == np.arange(len(near))[:, None], -1, np.arange(k + 1))
            near = np.take_along_axis(near, np.argsort(far, axis=1)[:, 1:], 1)
        found.append(one_hot[near].mean(1))
    return found


if __name__ == "__main__":
    door.generation(run)
