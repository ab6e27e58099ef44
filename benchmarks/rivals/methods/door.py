"""What every rival's script says to the command that runs it.

A script runs in the rival's own environment: it reads ``.h5ad`` files named on its command line
and writes one ``.npz``. Nothing here imports the project, which that environment does not have.

The ``.npz`` holds ``seconds`` (wall time of the method alone, without imports and reading), and
for each clustering or read-out that the script offers ``labels/NAME`` (n_obs,). NAME is empty for
the one that the rival's documentation recommends. An annotator adds ``probability/NAME``
(n_obs, n_classes) and ``classes`` where it has them. A generator writes ``draws`` (n_draws, m,
n_genes) in place of labels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anndata
import numpy as np

_only: str | None = None  # the one clustering that was asked for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True, help=".npz to write")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def wanted(name: str) -> bool:
    """Return whether a clustering of this name was asked for; all are, unless one was named."""
    return _only is None or name == _only


def niches(method: Callable[[anndata.AnnData, int, int, bool], Mapping[str, np.ndarray]]) -> None:
    """Run a clustering script.

    Parameters
    ----------
    method
        Takes the section (counts in X, um in ``obsm["spatial"]``), the number of clusters, the
        seed, and whether the cells are spots of a Visium lattice; returns labels by name.
    """
    parser = _parser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--visium", action="store_true")
    parser.add_argument("--only", help="the one clustering to make, of several")
    given = parser.parse_args()
    global _only
    _only = given.only
    adata = anndata.read_h5ad(given.data)
    started = time.perf_counter()
    found = method(adata, given.clusters, given.seed, given.visium)
    seconds = time.perf_counter() - started
    labels = {
        f"labels/{name}": np.unique(np.asarray(values).astype(str), return_inverse=True)[1]
        for name, values in found.items()
    }
    np.savez(given.out, seconds=seconds, **labels)


def annotation(
    method: Callable[
        [anndata.AnnData, anndata.AnnData, str, int],
        tuple[Mapping[str, np.ndarray], np.ndarray, np.ndarray],
    ],
) -> None:
    """Run an annotation script.

    Parameters
    ----------
    method
        Takes the labelled sections, the section to label, the obs column of labels and the seed;
        returns labels by name, probabilities (n_obs, n_classes) of the first, and classes.
    """
    parser = _parser()
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--label-key", required=True)
    given = parser.parse_args()
    train, test = anndata.read_h5ad(given.train), anndata.read_h5ad(given.data)
    started = time.perf_counter()
    found, probability, classes = method(train, test, given.label_key, given.seed)
    seconds = time.perf_counter() - started
    labels = {f"labels/{name}": np.asarray(values).astype(str) for name, values in found.items()}
    np.savez(
        given.out,
        seconds=seconds,
        probability=np.asarray(probability, dtype=np.float32),
        classes=np.asarray(classes).astype(str),
        **labels,
    )


def generation(
    method: Callable[[anndata.AnnData, np.ndarray, int, int], np.ndarray],
) -> None:
    """Run a generation script.

    Parameters
    ----------
    method
        Takes the known cells (counts in X, um in ``obsm["spatial"]``), the positions (m, 2) um of
        the cells to generate, the number of draws and the seed; returns their counts
        (n_draws, m, n_genes), genes as in the known cells.
    """
    parser = _parser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--positions", type=Path, required=True, help=".npy, (m, 2) um")
    parser.add_argument("--draws", type=int, required=True)
    given = parser.parse_args()
    known, positions = anndata.read_h5ad(given.data), np.load(given.positions)
    started = time.perf_counter()
    draws = method(known, positions, given.draws, given.seed)
    seconds = time.perf_counter() - started
    np.savez(given.out, seconds=seconds, draws=np.asarray(draws, dtype=np.float32))


def types(known: anndata.AnnData, seed: int) -> np.ndarray:
    """Return (n_obs,) the cell type of each known cell: its Leiden cluster at resolution 1.

    Counts are normalised, logged and reduced with scanpy's defaults. The cells to generate have
    no part in it.
    """
    import scanpy as sc

    adata = known.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, random_state=seed)
    sc.pp.neighbors(adata, random_state=seed)
    sc.tl.leiden(adata, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
    return adata.obs["leiden"].to_numpy().astype(str)


def mixture(embedding: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster with one covariance for all components: what mclust calls EEE.

    Several rivals call mclust through R for this step; scikit-learn's mixture takes its place.
    """
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(n_clusters, covariance_type="tied", n_init=3, random_state=seed)
    return model.fit_predict(np.asarray(embedding, dtype=np.float64))


def k_means(embedding: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster with k-means, ten starts."""
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(embedding)


def leiden(embedding: np.ndarray, n_clusters: int, seed: int, n_neighbors: int = 15) -> np.ndarray:
    """Cluster with Leiden at a resolution that gives the number of clusters, or the nearest to it.

    The resolution is halved in on: at most 20 runs between 0.01 and 3.
    """
    import scanpy as sc

    adata = anndata.AnnData(np.asarray(embedding, dtype=np.float32))
    sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
    low, high = 0.01, 3.0
    best, best_gap = None, np.inf
    for _ in range(20):
        middle = (low + high) / 2
        sc.tl.leiden(
            adata,
            resolution=middle,
            random_state=seed,
            flavor="igraph",
            n_iterations=2,
            directed=False,
        )
        labels = adata.obs["leiden"].to_numpy()
        gap = len(np.unique(labels)) - n_clusters
        if abs(gap) < best_gap:
            best, best_gap = labels, abs(gap)
        if gap == 0:
            break
        low, high = (middle, high) if gap < 0 else (low, middle)
    return best
