"""Labelled sections as the rivals get them: without the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from benchmarks.labels.labelled import Labelled
from benchmarks.rivals.registry import NICHES
from napari_gest import keys
from napari_gest.tissue.section import Section

LABEL = "label"


@dataclass(frozen=True, eq=False)
class Case:
    """One section to cluster or to label.

    Attributes
    ----------
    task
        ``"niches"`` or ``"annotation"``.
    dataset, section
        Names.
    visium
        Whether the cells are spots of a Visium lattice.
    adata
        The section: counts in X, um in ``obsm["spatial"]``, the section's name in obs, no labels.
        Cells without a label are included, as context of their neighbours.
    labels
        (n_obs,) truth; None for cells without a label, which are not scored.
    train
        For annotation: labelled cells of other sections, with the label in ``obs["label"]``.
    """

    task: str
    dataset: str
    section: str
    visium: bool
    adata: AnnData
    labels: NDArray[np.object_]
    train: AnnData | None = None

    @property
    def name(self) -> str:
        """Name of the case in files."""
        return f"{self.dataset}-{self.section}"

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n_obs,) whether a cell has a label."""
        return np.array([label is not None for label in self.labels])

    @property
    def n_regions(self) -> int:
        """Number of regions in the section, which is the number of clusters for every method."""
        return len(set(self.labels[self.known]))


def cases(labelled: Labelled, task: str, *, visium: bool = False) -> list[Case]:
    """Return the cases of a set of sections, in their order.

    Parameters
    ----------
    labelled
        The sections. For niches each is a case; for annotation each of its ``splits`` is.
    task
        ``"niches"`` or ``"annotation"``.
    visium
        Whether the cells are spots of a Visium lattice.
    """
    alone: list[tuple[list[int], int]] = [([], i) for i in range(len(labelled.sections))]
    splits = alone if task == NICHES else labelled.splits()
    return [
        Case(
            task,
            labelled.name,
            labelled.sections[test].name,
            visium,
            bare(labelled.sections[test]),
            labelled.labels[test],
            _training(labelled, train) if train else None,
        )
        for train, test in splits
    ]


def bare(section: Section) -> AnnData:
    """Return a section's counts and positions, without region names."""
    return AnnData(
        section.expression.copy(),
        obs=pd.DataFrame({keys.SECTION: section.name}, index=np.asarray(section.obs_names, str)),
        var=pd.DataFrame(index=list(section.genes)),
        obsm={keys.SPATIAL: np.asarray(section.coords_um, dtype=np.float64)},
    )


def _training(labelled: Labelled, which: Sequence[int]) -> AnnData:
    parts = []
    for i in which:
        known = np.array([label is not None for label in labelled.labels[i]])
        part = bare(labelled.sections[i])[known].copy()
        part.obs[LABEL] = labelled.labels[i][known].astype(str)
        parts.append(part)
    return anndata.concat(parts, index_unique="-" if len(parts) > 1 else None)
