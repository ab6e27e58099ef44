"""Sections whose cells carry region labels, as the rivals are given them: without the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from benchmarks.datasets import data_dir
from benchmarks.rivals.registry import ANNOTATION, NICHES
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import section_names
from napari_gest.tissue.simulate import simulate

# Values of a label column that mean "no label".
UNLABELLED = ("unlabelled", "unlabeled", "excluded", "nan", "na", "none", "unknown", "")


@dataclass(frozen=True)
class Labelled:
    """A file whose cells carry region labels.

    Attributes
    ----------
    name
        Name in the tables.
    path
        ``.h5ad`` or ``.zarr``; a relative one is looked for in `data_dir`.
    label_key
        obs column of labels. A boolean column ``valid``, if there is one, says which count.
    visium
        Whether the cells are spots of a Visium lattice.
    splits
        For annotation: the sections that train and the one that tests. None: one section at a
        time tests and the others train.
    """

    name: str
    path: str
    label_key: str = "region"
    visium: bool = False
    splits: tuple[tuple[tuple[str, ...], str], ...] | None = None

    def resolve(self) -> Path:
        """Return the path as it is, or in the data folder."""
        path = Path(self.path)
        return path if path.exists() else data_dir() / path


REAL = (
    Labelled("starmap", "starmap_mpfc_166g.h5ad"),
    Labelled(
        "dlpfc",
        "visium_dlpfc_3s_2000g.h5ad",
        visium=True,
        splits=((("151673",), "151674"), (("151673",), "151675")),
    ),
    Labelled("osmfish", "osmfish_sscortex_33g.h5ad"),
)


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
        Cells without a label are there, since they are their neighbours' context.
    labels
        (n_obs,) truth; None where a cell has none, and is not scored.
    train
        For annotation: labelled cells of the other sections, with the label in obs.
    label_key
        Its obs column in `train`.
    """

    task: str
    dataset: str
    section: str
    visium: bool
    adata: AnnData
    labels: NDArray[np.object_]
    train: AnnData | None = None
    label_key: str = "label"

    @property
    def name(self) -> str:
        """Name of the case in files."""
        return f"{self.dataset}-{self.section}"

    @property
    def n_regions(self) -> int:
        """Regions in the section: the number of clusters everyone is asked for."""
        return len({label for label in self.labels if label is not None})


def cases(labelled: Labelled, task: str) -> list[Case]:
    """Return the cases of a file, in the order of its sections.

    Raises
    ------
    InputError
        If the file has no such label column.
    """
    return cases_of(
        read_tissue(labelled.resolve()),
        labelled.name,
        task,
        label_key=labelled.label_key,
        visium=labelled.visium,
        splits=labelled.splits,
    )


def simulated_cases(task: str, seed: int = 0) -> list[Case]:
    """Return cases of a small simulated tissue, labelled by its planted niches."""
    adata = simulate(n_cells=1200, n_genes=60, n_sections=2, seed=seed)
    return cases_of(adata, "simulated", task, label_key="niche")


def cases_of(
    adata: AnnData,
    dataset: str,
    task: str,
    *,
    label_key: str = "region",
    visium: bool = False,
    splits: Sequence[tuple[Sequence[str], str]] | None = None,
) -> list[Case]:
    """Return the cases of a tissue; see `Labelled` for the arguments."""
    if label_key not in adata.obs:
        raise InputError(
            f"'{dataset}' has no obs column '{label_key}'.",
            f"Columns are {', '.join(adata.obs.columns)}.",
        )
    labels = _labels(adata.obs, label_key)
    names = section_names(adata)
    of = {name: adata.obs[keys.SECTION].astype(str).to_numpy() == name for name in names}
    if task == NICHES:
        splits = [((), name) for name in names]
    elif splits is None:
        splits = [([n for n in names if n != name], name) for name in names if len(names) > 1]
    made = []
    for train, test in splits:
        rows = of[test]
        if not any(label is not None for label in labels[rows]):
            continue
        made.append(
            Case(
                task,
                dataset,
                test,
                visium,
                _bare(adata, rows),
                labels[rows],
                _trained_on(adata, labels, of, train) if task == ANNOTATION else None,
            )
        )
    return made


def _labels(obs: pd.DataFrame, label_key: str) -> NDArray[np.object_]:
    column = obs[label_key]
    counts = ~column.astype(str).str.lower().isin(UNLABELLED).to_numpy()
    if "valid" in obs:
        counts &= obs["valid"].to_numpy(bool)
    return np.where(counts, column.astype(str), None).astype(object)


def _bare(adata: AnnData, rows: NDArray[np.bool_]) -> AnnData:
    """Return cells with their counts, places and section, and nothing that names their region."""
    part = adata[rows]
    where = np.asarray(part.obsm[keys.SPATIAL], dtype=np.float64)
    return AnnData(
        part.X.copy(),
        obs=pd.DataFrame(
            {keys.SECTION: part.obs[keys.SECTION].astype(str).to_numpy()},
            index=part.obs_names.astype(str),
        ),
        var=pd.DataFrame(index=part.var_names.astype(str)),
        obsm={keys.SPATIAL: where},
    )


def _trained_on(
    adata: AnnData,
    labels: NDArray[np.object_],
    of: dict[str, NDArray[np.bool_]],
    sections: Sequence[str],
) -> AnnData:
    known = np.array([label is not None for label in labels])
    parts = []
    for name in sections:
        part = _bare(adata, of[name] & known)
        part.obs["label"] = labels[of[name] & known].astype(str)
        parts.append(part)
    return anndata.concat(parts, index_unique="-" if len(parts) > 1 else None)
