"""Differential expression of a region against the tissue around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import false_discovery_control, spearmanr, ttest_ind

from benchmarks.common.holes import Case

N_TOP = 20  # genes of the largest absolute t, a fifth of a small panel
FDR = 0.05


@dataclass(frozen=True, eq=False)
class Change:
    """Differential expression between two groups of cells.

    Attributes
    ----------
    difference, t, q
        (G,) difference of means (model space), Welch's t, and Benjamini-Hochberg's q.
    """

    difference: NDArray[np.float64]
    t: NDArray[np.float64]
    q: NDArray[np.float64]

    @classmethod
    def of(cls, one: NDArray[np.float32], other: NDArray[np.float32]) -> Change:
        """Compare two groups of cells (n, G) and (m, G)."""
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        with np.errstate(all="ignore"):
            t, p = ttest_ind(one, other, axis=0, equal_var=False)
        # A gene that is constant in both groups has no t.
        t, p = np.nan_to_num(t, posinf=1e6, neginf=-1e6), np.nan_to_num(p, nan=1.0)
        return cls(one.mean(0) - other.mean(0), t, false_discovery_control(p))

    @property
    def called(self) -> NDArray[np.bool_]:
        """(G,) genes called different at a false discovery rate of 5 %."""
        return self.q < FDR


def ring(case: Case) -> NDArray[np.int64]:
    """Return the known cells around the hole, nearest first: as many as it has cells."""
    depth = cKDTree(case.hole_coords).query(case.known_coords)[0]
    return np.argsort(depth, kind="stable")[: len(case.truth)]


def region_against_ring(case: Case, inside: NDArray[np.float32]) -> Change:
    """Return the change between the cells of a hole, measured or generated (m, G), and its ring."""
    return Change.of(inside, case.known_values[ring(case)])


def inner_against_outer(case: Case) -> Change:
    """Return the change between the inner and the outer half of the ring.

    This is the prediction from the surroundings alone: the trend at the rim continues inside.
    """
    cells = ring(case)
    half = len(cells) // 2
    return Change.of(case.known_values[cells[:half]], case.known_values[cells[half:]])


def compare_changes(truth: Change, made: Change) -> dict[str, float]:
    """Score the differential expression of a filled hole.

    Returns
    -------
    ``de_sign``: share of the truth's top genes with the right sign. ``de_rank``: Spearman over
    genes of the differences. ``de_precision``: share of the genes called that the truth calls
    too, with the same sign. ``de_recall``: share of the truth's calls found, with the same sign.
    The last two are NaN where nothing is called.
    """
    n_top = min(N_TOP, max(1, len(truth.t) // 5))
    top = np.argsort(-np.abs(truth.t), kind="stable")[:n_top]
    same = np.sign(truth.difference) == np.sign(made.difference)
    right = (truth.called & made.called & same).sum()
    flat = np.ptp(made.difference) == 0 or np.ptp(truth.difference) == 0
    rank = 0.0 if flat else float(spearmanr(truth.difference, made.difference)[0])
    return {
        "de_sign": float(same[top].mean()),
        "de_rank": rank,
        "de_precision": float(right / made.called.sum()) if made.called.any() else np.nan,
        "de_recall": float(right / truth.called.sum()) if truth.called.any() else np.nan,
    }
