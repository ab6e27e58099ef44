"""Meta cells: the vocabulary that turns a cell into one token (Sec. 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.errors import InputError
from napari_gest.model.axes import Rows, principal_axes
from napari_gest.model.kmeans import kmeans

_CHUNK = 8192  # rows taken at a time, so memory does not grow with the number of cells
_EXACT_KMEANS = 60_000  # above this many cells, mini-batches
_MOST_KMEANS = 200_000  # cells that settle the centres; more are given to the nearest centre
_CELLS_PER_META_CELL = 6  # at least, on average: fewer and the variance of a cluster means nothing


@dataclass(frozen=True, eq=False)
class MetaCellTokenizer:
    """A fitted vocabulary of K meta cells in G genes and p principal components.

    Attributes
    ----------
    genes
        G gene names, in column order.
    target_sum
        Total every cell is scaled to before log1p.
    mean
        (G,) mean of the training cells, model space.
    components
        (p, G) principal axes.
    c_pca
        (K, p) centres in principal components.
    c_expr, v_expr
        (K, G) mean and within-cluster variance of expression, model space.
    frequency
        (K,) share of the training cells.
    levels
        (K, 3) int64, labels l1..l3 of each meta cell in the hierarchical loss.
    """

    genes: tuple[str, ...]
    target_sum: float
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    c_pca: NDArray[np.float32]
    c_expr: NDArray[np.float32]
    v_expr: NDArray[np.float32]
    frequency: NDArray[np.float32]
    levels: NDArray[np.int64]

    @property
    def n_meta_cells(self) -> int:
        return len(self.c_expr)

    @property
    def centred(self) -> NDArray[np.float64]:
        """(K, G) meta cells less their mean, each counted as often as it occurs."""
        profiles = self.c_expr.astype(np.float64)
        weight = self.frequency[:, None].astype(np.float64)
        return np.asarray(profiles - (weight * profiles).sum(0) / weight.sum())

    @property
    def spread(self) -> NDArray[np.float64]:
        """(G,) standard deviation of each gene over the vocabulary, floored."""
        weight = self.frequency[:, None].astype(np.float64)
        variance = (weight * np.square(self.centred)).sum(0) / weight.sum()
        return np.asarray(floored(np.sqrt(variance)), np.float64)

    def project(
        self,
        expression: NDArray[np.float32] | sparse.csr_matrix,
        measured: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return (n, p) principal components of ``expression`` (n, G), model space.

        Genes that are not ``measured`` (G,) count as the training mean. Of a CSR matrix each cell
        is summed up alone, so that a cell has the same components in a block of any size.
        """
        if sparse.issparse(expression):
            mean = self.mean.astype(np.float64)
            if measured is not None:
                mean = np.where(measured, mean, 0)
            axes = self.components.T.astype(np.float64)
            return np.asarray(expression @ axes - mean @ axes, dtype=np.float32)
        centred = expression - self.mean
        if measured is not None:
            centred[:, ~measured] = 0.0
        return np.asarray(centred @ self.components.T, dtype=np.float32)

    def tokens(
        self, expression: NDArray[np.float32], measured: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int16]:
        """Return (n,) int16, the nearest meta cell of each cell in principal components (Eq. 7)."""
        out = np.empty(len(expression), np.int16)
        half_norm = 0.5 * np.square(self.c_pca).sum(1)
        for start in range(0, len(expression), _CHUNK):
            part = self.project(expression[start : start + _CHUNK], measured)
            out[start : start + _CHUNK] = (half_norm - part @ self.c_pca.T).argmin(1)
        return out

    def nearest(self, components: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return (n,) int16, the nearest meta cell of each of ``components`` (n, p).

        In double precision, in which no cell that comes with another changes its token.
        """
        out = np.empty(len(components), np.int16)
        for start in range(0, len(components), _CHUNK):
            out[start : start + _CHUNK] = _nearest(components[start : start + _CHUNK], self.c_pca)
        return out

    @classmethod
    def fit(
        cls,
        expression: NDArray[np.float32] | Rows,
        genes: tuple[str, ...],
        target_sum: float,
        *,
        n_meta_cells: int,
        n_pcs: int,
        level_sizes: tuple[int, int, int],
        seed: int,
    ) -> MetaCellTokenizer:
        """Fit the vocabulary on training cells.

        Parameters
        ----------
        expression
            (n, G) float32, model space; some rows are looked at at a time, three times over. Of
            over 200,000 cells so many, drawn at random, settle the clusters; all make their means.
        genes, target_sum
            Names of the columns, and the total behind the model space.
        n_meta_cells, n_pcs, level_sizes, seed
            K, p, (K1, K2, K3) and the seed of k-means. K and p shrink where the data is too
            small for them.

        Raises
        ------
        InputError
            If there are too few cells for two meta cells.
        """
        n, n_genes = expression.shape
        k = min(n_meta_cells, n // _CELLS_PER_META_CELL)
        if k < 2:
            raise InputError(
                f"{n} training cells are too few for a vocabulary.",
                f"Train on {2 * _CELLS_PER_META_CELL} cells at least; thousands are sensible.",
            )
        mean, components = principal_axes(expression, min(n_pcs, n_genes, n - 1))
        rng = np.random.default_rng(seed)
        drawn = n > _MOST_KMEANS
        some = np.sort(rng.choice(n, _MOST_KMEANS, replace=False)) if drawn else np.arange(n)
        ends = np.searchsorted(some, range(0, n + _CHUNK, _CHUNK))
        pcs = np.empty((len(some), len(components)), np.float32)
        for i, first, last in zip(range(0, n, _CHUNK), ends, ends[1:], strict=False):
            own = (expression[i : i + _CHUNK] - mean) @ components.T
            pcs[first:last] = own[some[first:last] - i]
        batch_size = None if n <= _EXACT_KMEANS else 16_384
        clusters = kmeans(pcs, k, rng, max_iter=60, batch_size=batch_size)
        count, first, second = np.zeros(k, np.int64), *np.zeros((2, k, n_genes))
        for start in range(0, n, _CHUNK):
            part = expression[start : start + _CHUNK]
            if drawn:
                where = _nearest((part - mean) @ components.T, clusters.cluster_centers_)
            else:
                where = clusters.labels_[start : start + _CHUNK]
            count += np.bincount(where, minlength=k)
            order = np.argsort(where, kind="stable")
            present, begin = np.unique(where[order], return_index=True)
            first[present] += np.add.reduceat(part[order], begin, dtype=np.float64)
            second[present] += np.add.reduceat(np.square(part[order]), begin, dtype=np.float64)
        used = count > 0
        count = count[used]
        c_expr = first[used] / count[:, None]
        v_expr = np.maximum(second[used] / count[:, None] - np.square(c_expr), 0)
        c_pca = ((c_expr - mean) @ components.T).astype(np.float32)
        levels = np.stack(
            [kmeans(c_pca, min(size, len(count)), rng, starts=4).labels_ for size in level_sizes],
            axis=1,
        )
        return cls(
            tuple(genes),
            float(target_sum),
            mean,
            components,
            c_pca,
            c_expr.astype(np.float32),
            v_expr.astype(np.float32),
            (count / n).astype(np.float32),
            levels.astype(np.int64),
        )


def _nearest(points: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return (n,) the nearest of ``centres`` (K, p) to each of ``points`` (n, p)."""
    centres = centres.astype(np.float64)
    half_norm = 0.5 * np.square(centres).sum(1)
    return np.asarray((half_norm - points.astype(np.float64) @ centres.T).argmin(1))


ARRAYS = tuple(f.name for f in fields(MetaCellTokenizer) if f.name not in ("genes", "target_sum"))


def floored(spread: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return spreads (G,) no smaller than a twentieth of the largest.

    A gene that hardly varies carries little; the floor keeps its noise from being blown up.
    """
    least = 0.05 * spread.max() + 1e-12
    return np.maximum(spread, least).astype(spread.dtype)
