"""Pairs of genes in neighbouring cells across the rim of a hole, such as ligand and receptor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from benchmarks.common.datasets import data_dir
from benchmarks.common.holes import Case
from napari_gest.tissue.neighbours import Neighbours

_KEYS = "cellchatdb_*_lr.csv.gz"
_FEWEST, _CORRELATED = 10, 30  # named pairs that are enough, and pairs taken by correlation
_NEIGHBOURS = 6


def named_pairs(genes: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of ligand and receptor among ``genes`` that CellChatDB lists.

    Every gene of a complex counts. Empty if the table is absent from the data folder.
    """
    place = {gene: i for i, gene in enumerate(genes)}
    best: list[tuple[int, int]] = []
    for path in sorted((data_dir() / "keys").glob(_KEYS)):
        table = pd.read_csv(path)
        found = {
            (place[one], place[two])
            for ligand, receptor in zip(
                table["ligand.symbol"], table["receptor.symbol"], strict=True
            )
            for one in _symbols(ligand)
            for two in _symbols(receptor)
            if one in place and two in place and one != two
        }
        # Mouse and human symbols differ in case, so only one table fits a panel.
        best = max(best, sorted(found), key=len)
    return best


def correlated_pairs(case: Case, n: int = _CORRELATED) -> list[tuple[int, int]]:
    """Return the pairs of genes most correlated between a known cell and its neighbours."""
    values = case.known_values.astype(np.float64)
    z = (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)
    around = Neighbours.of(case.known_coords, _NEIGHBOURS + 1).mean(z.astype(np.float32))
    cross = z.T @ around / len(z)
    strength = np.triu(np.abs(cross + cross.T), 1)
    order = np.argsort(-strength, axis=None, kind="stable")[:n]
    rows, columns = np.unravel_index(order, strength.shape)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def pairs_of(genes: Sequence[str], case: Case) -> list[tuple[int, int]]:
    """Return the listed pairs, or the most correlated ones if too few are listed."""
    named = named_pairs(genes)
    return named if len(named) >= _FEWEST else correlated_pairs(case)


@dataclass(frozen=True, eq=False)
class RimPairs:
    """Pairs of genes, and the pairs of neighbouring cells over which they are averaged.

    Attributes
    ----------
    case
        The hole.
    pairs
        (P, 2) columns of genes.
    across
        (e, 2) a cell of the hole and a known one, neighbours.
    rim
        (f, 2) two known cells, neighbours, the first of them at the rim.
    known
        (P,) mean product over all neighbouring known cells of the section.
    """

    case: Case
    pairs: NDArray[np.int64]
    across: NDArray[np.int64]
    rim: NDArray[np.int64]
    known: NDArray[np.float64]

    @classmethod
    def of(cls, case: Case, pairs: Sequence[tuple[int, int]]) -> RimPairs:
        """Find the neighbours, six nearest cells each."""
        coords = case.coords_um
        k = min(_NEIGHBOURS, len(coords) - 1)
        near = cKDTree(coords).query(coords, k=[*range(2, k + 2)])[1]
        edges = np.stack([np.repeat(np.arange(len(coords)), k), near.ravel()], 1)
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        inside, known = case.hole.mask, case.hole.known
        one, two = edges.T
        across = (inside[one] & known[two]) | (known[one] & inside[two])
        across_edges = edges[across]
        swap = known[across_edges[:, 0]]
        across_edges[swap] = across_edges[swap][:, ::-1]
        both = edges[known[one] & known[two]]
        at_rim = np.zeros(len(coords), bool)
        at_rim[across_edges[:, 1]] = True
        rim = both[at_rim[both].any(1)]
        asked = np.asarray(pairs, np.int64).reshape(-1, 2)
        return cls(case, asked, across_edges, rim, _products(case.values, both, asked))

    def enrichment(self, inside: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (P,) log2 of the mean product across the rim over that in the section.

        ``inside`` (m, G) are the cells of the hole, measured or generated.
        """
        values = self.case.values.copy()
        values[self.case.hole.mask] = inside
        return self._over_section(_products(values, self.across, self.pairs))

    def beside(self) -> NDArray[np.float64]:
        """Return the same for known cells at the rim and their known neighbours."""
        return self._over_section(_products(self.case.values, self.rim, self.pairs))

    def compare(self, truth: NDArray[np.float64], made: NDArray[np.float64]) -> dict[str, float]:
        """Return ``pairs_rank``, Spearman over pairs, and ``pairs_error``, mean |log2 ratio|."""
        flat = len(truth) < 3 or np.ptp(truth) == 0 or np.ptp(made) == 0
        return {
            "pairs_rank": np.nan if flat else float(spearmanr(truth, made)[0]),
            "pairs_error": float(np.abs(truth - made).mean()) if len(truth) else np.nan,
        }

    def _over_section(self, products: NDArray[np.float64]) -> NDArray[np.float64]:
        # A small constant keeps very rare pairs from dominating.
        least = 0.05 * np.median(self.known) + 1e-9
        return np.asarray(np.log2((products + least) / (self.known + least)))


def _products(
    values: NDArray[np.float32], edges: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (P,) mean over edges of the product of a pair's genes, in both directions."""
    if not len(edges):
        return np.zeros(len(pairs))
    a, b = values[edges[:, 0]].astype(np.float64), values[edges[:, 1]].astype(np.float64)
    ones = (a[:, pairs[:, 0]] * b[:, pairs[:, 1]]).mean(0)
    return np.asarray((ones + (b[:, pairs[:, 0]] * a[:, pairs[:, 1]]).mean(0)) / 2)


def _symbols(names: object) -> list[str]:
    return [name.strip() for name in str(names).split(",")]
