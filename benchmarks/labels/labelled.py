"""Sections with region labels of cells: real ones, simulated ones, and any file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, concat
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.common.datasets import data_dir
from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.simulate import simulate

# Values of a label column that mean "no label".
UNLABELLED = (
    "unlabelled",
    "unlabeled",
    "undetermined",
    "excluded",
    "nan",
    "na",
    "none",
    "unknown",
    "",
)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A set of sections with labels.

    Attributes
    ----------
    name
        Name of the set.
    sections
        The sections, measured with one panel.
    labels
        One (n_obs,) object array per section; None where a cell has no label.
    train
        Number of first sections that train an annotation; the others test it. 0: no annotation.
    """

    name: str
    sections: list[Section]
    labels: list[NDArray[np.object_]]
    train: int = 0

    @property
    def classes(self) -> list[str]:
        return sorted({x for labels in self.labels for x in labels if x is not None})

    @property
    def n_niches(self) -> int:
        """Number of labels, which is the number of niches for every method."""
        return len(self.classes)

    def splits(self, n_labelled: int | None = None) -> list[tuple[list[int], int]]:
        """Return training sections and the test section of each annotation.

        The first ``train`` sections train and the others test. If that leaves only one section to
        test, every section tests in turn. With another number of labelled sections the same
        sections test, and those that follow each in turn train.
        """
        n = len(self.sections)
        if self.train == 0:
            return []
        tests = range(n) if n - self.train == 1 else range(self.train, n)
        if n_labelled is None or n_labelled == self.train:
            first = range(n if n - self.train == 1 else self.train)
            return [([j for j in first if j != i], i) for i in tests]
        if n_labelled >= n:
            return []
        return [([(i + j) % n for j in range(1, n_labelled + 1)], i) for i in tests]


def from_file(
    path: str | Path, label_key: str, *, train: int | None = None, **settings: str
) -> Labelled:
    """Read every section of a file that has labels.

    Parameters
    ----------
    path
        .h5ad or .zarr.
    label_key
        obs column of labels. A boolean column ``valid``, if there is one, says which count.
    train
        Sections that train an annotation; all but the last by default.
    settings
        Passed to ``Section.from_anndata``: section_key, spatial_key, layer, um_per_unit.
    """
    adata = read_tissue(path)
    if label_key not in adata.obs:
        raise InputError(
            f"{path} has no obs column '{label_key}'.",
            f"Columns are {', '.join(adata.obs.columns)}.",
        )
    keys = {k: v for k, v in settings.items() if k == "section_key"}
    sections, labels = [], []
    for name in section_names(adata, **keys):
        section = Section.from_anndata(adata, name, **settings)
        column = adata.obs[label_key].iloc[section.rows]
        counts = ~column.astype(str).str.lower().isin(UNLABELLED).to_numpy() & column.notna()
        if "valid" in adata.obs:
            counts &= adata.obs["valid"].iloc[section.rows].to_numpy(bool)
        if counts.any():
            sections.append(section)
            labels.append(np.where(counts, column.astype(str), None).astype(object))
    return Labelled(
        Path(path).stem, sections, labels, len(sections) - 1 if train is None else train
    )


def real(name: str) -> Labelled:
    """Return one of the real sets, by its name in `REAL`."""
    file, train = REAL[name]
    return replace(from_file(data_dir() / file, "region", train=train), name=name)


REAL = {
    "dlpfc": ("visium_dlpfc_3s_2000g.h5ad", 1),
    "starmap": ("starmap_mpfc_166g.h5ad", 2),
    "osmfish": ("osmfish_sscortex_33g.h5ad", 0),
    "her2st": ("her2st_patients_AtoF.h5ad", 5),  # a section of each of six patients
}


def simulated_cells(seed: int) -> Labelled:
    """Return three small simulated sections of cells, labelled by niche."""
    adata = simulate(n_cells=3300, n_genes=150, n_sections=3, seed=seed)
    return _by_niche(f"sim-cells-{seed}", adata)


def simulated_spots(seed: int) -> Labelled:
    """Return two simulated sections of spots that each pool some eight cells."""
    cells = simulate(n_cells=44_000, n_genes=400, n_sections=2, seed=seed)
    parts = []
    for name in section_names(cells):
        part = cells[cells.obs["section"] == name]
        where = np.asarray(part.obsm["spatial"])
        side = np.ptp(where, axis=0)
        step = float(np.sqrt(side.prod() / len(where) * 8 * 1.3))
        column, row = np.floor(where / step).astype(int).T
        spot = pd.factorize(column * 100_000 + row)[0]
        # A spot is slightly wider than half of the distance between spots.
        middle = (np.stack([column, row], 1) + 0.5) * step
        seen = np.linalg.norm(where - middle, axis=1) < 0.45 * step
        pool = sparse.csr_matrix(
            (np.ones(seen.sum()), (spot[seen], np.flatnonzero(seen))),
            shape=(spot.max() + 1, len(where)),
        )
        kept = np.asarray(pool.sum(1)).ravel() >= 2
        niche = part.obs["niche"].astype(str).to_numpy()
        table = pd.crosstab(spot[seen], niche[seen]).reindex(range(spot.max() + 1), fill_value=0)
        first = pd.Series(range(len(spot))).groupby(spot).first().to_numpy()
        rng = np.random.default_rng(seed)
        counts = sparse.csr_matrix(pool @ part.X)
        counts.data = rng.binomial(counts.data.astype(int), 0.5).astype(np.float32)
        obs = pd.DataFrame({"section": name, "niche": table.columns[table.to_numpy().argmax(1)]})
        made = AnnData(counts, obs=obs, var=cells.var)
        made.obsm["spatial"] = middle[first]
        parts.append(made[kept].copy())
    return _by_niche(f"sim-spots-{seed}", concat(parts, index_unique="-"))


def _by_niche(name: str, adata: AnnData) -> Labelled:
    names = section_names(adata)
    sections = [Section.from_anndata(adata, s) for s in names]
    niche = adata.obs["niche"].astype(str).to_numpy()
    return Labelled(
        name, sections, [niche[s.rows].astype(object) for s in sections], len(names) - 1
    )
