"""Niches of a hole: clustered with its cells in place, measured or generated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from benchmarks.common.holes import Case
from napari_gest.model.gest import GeST
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tissue.section import Section

N_NICHES = 8


@dataclass(frozen=True, eq=False)
class NicheShares:
    """A section, its hole, and the niches with the measured cells in place.

    Attributes
    ----------
    section, model, case, seed
        The section, the model, the hole, and the seed of the clustering.
    true
        (n_obs,) niche of every cell of the section with the truth in the hole.
    """

    section: Section
    model: GeST
    case: Case
    seed: int
    true: NDArray[np.int64]

    @classmethod
    def of(cls, section: Section, model: GeST, case: Case, seed: int) -> NicheShares:
        """Cluster the measured section."""
        made = cls(section, model, case, seed, np.empty(0, np.int64))
        return replace(made, true=made._clustered(case.truth, seed))

    def filled(self, inside: NDArray[np.float32], seed: int | None = None) -> NDArray[np.int64]:
        """Return (m,) the niche of each cell of the hole, filled with ``inside`` (m, G).

        Niches are matched to those of the truth by the known cells they share.
        """
        label = self._clustered(inside, self.seed if seed is None else seed)
        name = self._names(label[self.case.hole.known], self.true[self.case.hole.known])
        return name[label[self.case.hole.mask]]

    def unfilled(self) -> NDArray[np.int64]:
        """Return (m,) the niche of the nearest known cell, the known cells clustered alone."""
        known = self.case.hole.known
        label = _niches(self.section.subset(known), self.model, self.seed)
        name = self._names(label, self.true[known])
        nearest = cKDTree(self.case.known_coords).query(self.case.hole_coords)[1]
        return name[label[nearest]]

    def compare(self, niche: NDArray[np.int64]) -> dict[str, float]:
        """Return ``niche_error``, total variation of shares, and ``niche_same``, share of cells."""
        true = self.true[self.case.hole.mask]
        shares = [np.bincount(part, minlength=2 * N_NICHES) / len(true) for part in (true, niche)]
        return {
            "niche_error": float(np.abs(shares[0] - shares[1]).sum() / 2),
            "niche_same": float((true == niche).mean()),
        }

    def _clustered(self, inside: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
        """Return (n_obs,) niches with ``inside`` in the hole; cells of a buffer do not change."""
        values = self.case.values.copy()
        values[self.case.hole.mask] = inside
        linear = sparse.csr_matrix(np.expm1(values))
        return _niches(replace(self.section, expression=linear), self.model, seed)

    def _names(self, label: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the true niche with most known cells in common with each label, one to one."""
        common = np.zeros((2 * N_NICHES, 2 * N_NICHES))
        np.add.at(common, (label, true), 1)
        return np.asarray(linear_sum_assignment(-common)[1], np.int64)


def _niches(section: Section, model: GeST, seed: int) -> NDArray[np.int64]:
    return cluster_niches(embed_niches(section, model), N_NICHES, seed=seed).labels
