"""Which sections train and which are held out, for the real data sets and for any file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.data_folder import data_dir
from benchmarks.common.holes import RADII_UM, Case, case_seed, cases, draw_holes
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tasks.generation.cell_types import CellTypes
from napari_gest.tasks.labels.annotate import labels_from_obs
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import Section, section_names

TEST_SEED = 0
VALIDATION_SEED = 1000  # added to the test seed: no hole is drawn twice

# obs columns that name the animal or donor of a section; the first existing one is used.
ANIMAL_KEYS = ("animal", "donor", "patient", "subject")

_MPOA = "merfish_mpoa_a1_135g.h5ad"
_REP1, _SEC_B = "xenium_breast_rep1_313g.h5ad", "xenium_breast_secB_313g.h5ad"
_MOLCART = "molcart_cortex_100g.h5ad"


@dataclass(frozen=True)
class Source:
    """Sections of one file.

    Attributes
    ----------
    path
        ``.h5ad`` or ``.zarr``; a relative path is searched in `data_dir`.
    sections
        Names of the sections; all if empty.
    section_key, spatial_key, layer, um_per_unit
        As for `Section.from_anndata`.
    type_key
        obs column of cell types, if there is one.
    """

    path: str
    sections: tuple[str, ...] = ()
    section_key: str = keys.SECTION
    spatial_key: str = keys.SPATIAL
    layer: str | None = None
    um_per_unit: float = 1.0
    type_key: str | None = None

    def resolve(self) -> Path:
        """Return the path unchanged, or in the data folder."""
        path = Path(self.path)
        return path if path.exists() else data_dir() / path

    def names(self) -> list[str]:
        """Return the names of the sections, read from the file if none is given."""
        return list(self.sections) or section_names(read_tissue(self.resolve()), self.section_key)

    def animals(self) -> dict[str, str]:
        """Return the animal of each section, if an obs column names it."""
        obs = read_tissue(self.resolve()).obs
        key = next((key for key in ANIMAL_KEYS if key in obs), None)
        if key is None or self.section_key not in obs:
            return {}
        found = obs.groupby(self.section_key, observed=True)[key].first()
        return {str(section): str(animal) for section, animal in found.items()}

    def types(self) -> NDArray[np.object_] | None:
        """Return the cell type of every row of the file; None if no column is given."""
        if self.type_key is None:
            return None
        adata = read_tissue(self.resolve())
        return labels_from_obs(adata, self.type_key, np.arange(adata.n_obs))

    def read(self) -> list[Section]:
        """Return the sections, checked."""
        adata = read_tissue(self.resolve())
        return [
            Section.from_anndata(
                adata,
                name,
                spatial_key=self.spatial_key,
                section_key=self.section_key,
                layer=self.layer,
                um_per_unit=self.um_per_unit,
            )
            for name in self.sections or section_names(adata, self.section_key)
        ]


def _mpoa(*sections: str) -> Source:
    return Source(_MPOA, sections, type_key="cell_type")


@dataclass(frozen=True)
class Split:
    """Training sections and held-out sections.

    Attributes
    ----------
    name
        Name of the row in the table, and of the folder of its models.
    train
        Sources of training sections; empty to train on the test section outside its holes.
    test
        Source of the held-out sections.
    dataset
        The data set of the split, which may have several; the split's name by default.
    """

    name: str
    train: tuple[Source, ...]
    test: Source
    dataset: str = ""

    @property
    def missing(self) -> list[str]:
        """Files that are missing."""
        paths = [s.resolve() for s in (*self.train, self.test)]
        return sorted({str(p) for p in paths if not p.exists()})


SPLITS = {
    s.name: s
    for s in (
        Split(
            "mpoa+0.26",
            (_mpoa("A1_-0.29", "A1_-0.09", "A1_+0.21"),),
            _mpoa("A1_+0.26"),
            "MERFISH mPOA",
        ),
        Split(
            "mpoa-0.09",
            (_mpoa("A1_-0.29", "A1_+0.21", "A1_+0.26"),),
            _mpoa("A1_-0.09"),
            "MERFISH mPOA",
        ),
        Split("xenium", (Source(_REP1),), Source(_SEC_B)),
        Split("molcart", (Source(_MOLCART, ("A1", "A2")),), Source(_MOLCART, ("B1",))),
    )
}


def leave_one_out(source: Source, only: Sequence[str] = ()) -> list[Split]:
    """Return one split per section of a file, the others training.

    A file with one section trains on that section outside its test holes.

    Parameters
    ----------
    source
        The file and its sections.
    only
        Sections to hold out; every one in turn if empty.
    """
    names = source.names()
    unknown = set(only) - set(names)
    if unknown:
        raise InputError(
            f"There is no section {', '.join(sorted(unknown))} in {source.path}.",
            f"Its sections are {', '.join(names)}.",
        )
    stem = Path(source.path).stem
    return [
        Split(
            f"{stem}-{held_out}",
            (replace(source, sections=tuple(n for n in names if n != held_out)),)
            if len(names) > 1
            else (),
            replace(source, sections=(held_out,)),
            stem,
        )
        for held_out in (only or names)
    ]


@dataclass(frozen=True, eq=False)
class Loaded:
    """The sections of a split, all on one panel.

    Attributes
    ----------
    train
        Training sections; if the split has none, the test sections outside their holes.
    test
        Held-out sections, complete.
    genes
        The panel: genes measured in every section, in the order of the first.
    target_sum
        Total of a cell in model space: the median total of the training cells.
    seed
        Seed of the test holes.
    radii_um, buffer_um
        The holes.
    animals
        Animal of each held-out section, if it is known.
    type_key, types
        obs column of cell types, if one is given, and for each section's name the type of every
        row of its file.
    """

    train: list[Section]
    test: list[Section]
    genes: tuple[str, ...]
    target_sum: float
    seed: int
    radii_um: tuple[float, ...]
    buffer_um: float
    animals: dict[str, str] = field(default_factory=dict)
    type_key: str | None = None
    types: dict[str, NDArray[np.object_]] = field(default_factory=dict)

    def types_of(self, section: Section) -> CellTypes | None:
        """Return the types of a section's cells, None where there are none."""
        if self.type_key is None or section.name not in self.types:
            return None
        return CellTypes(self.type_key, self.types[section.name][section.rows])

    def test_cases(self, section: Section) -> list[Case]:
        """Return the test cases of one held-out section."""
        return self._cases(section, self.seed)

    def validation_cases(self) -> list[Case]:
        """Return cases in the training sections, from other seeds than any test case."""
        return [c for s in self.train for c in self._cases(s, VALIDATION_SEED + self.seed)]

    def _cases(self, section: Section, seed: int) -> list[Case]:
        return cases(
            section.name,
            section.coords_um,
            section.model_space(self.target_sum),
            seed,
            radii_um=self.radii_um,
            buffer_um=self.buffer_um,
        )


def load(
    split: Split,
    *,
    seed: int = TEST_SEED,
    radii_um: tuple[float, ...] = RADII_UM,
    buffer_um: float = 0.0,
    genes: tuple[str, ...] | None = None,
    target_sum: float | None = None,
) -> Loaded:
    """Read the sections of a split.

    Parameters
    ----------
    split
        The split to read.
    seed
        Seed of the test holes.
    radii_um, buffer_um
        Holes, as for `draw_holes`.
    genes, target_sum
        Panel and total of a given model; from the training sections otherwise.

    Raises
    ------
    InputError
        If a file is missing or the sections share fewer than two genes.
    """
    if split.missing:
        raise InputError(
            f"'{split.name}' needs {', '.join(split.missing)}.",
            "Point GEST_DATA at the folder of the data sets.",
        )
    test = split.test.read()
    parts = [(source, source.read()) for source in split.train]
    train = [section for _, sections in parts for section in sections]
    types = {}
    for source, sections in (*parts, (split.test, test)):
        labels = source.types()
        if labels is not None:
            types |= {section.name: labels for section in sections}
    wanted = genes if genes is not None else (train + test)[0].genes
    shared = tuple(g for g in wanted if all(g in set(s.genes) for s in train + test))
    if len(shared) < 2:
        raise InputError(
            f"The sections of '{split.name}' share {len(shared)} genes.",
            "Use sections of one panel.",
        )
    train, test = ([_on_panel(s, shared) for s in part] for part in (train, test))
    if not train:
        train = [_outside_holes(s, seed, radii_um, buffer_um) for s in test]
    if target_sum is None:
        totals = [np.asarray(s.expression.sum(axis=1)).ravel() for s in train]
        target_sum = float(np.median(np.concatenate(totals)))
    radii, animals = tuple(radii_um), split.test.animals()
    return Loaded(
        train,
        test,
        shared,
        target_sum,
        seed,
        radii,
        buffer_um,
        animals,
        split.test.type_key,
        types,
    )


def _on_panel(section: Section, genes: tuple[str, ...]) -> Section:
    return replace(section, expression=section.align(genes)[0], genes=genes)


def _outside_holes(
    section: Section, seed: int, radii_um: tuple[float, ...], buffer_um: float
) -> Section:
    """Return the cells that no test hole of the section covers."""
    holes = draw_holes(
        section.coords_um, radii_um, case_seed(section.name, seed), buffer_um=buffer_um
    )
    return section.subset(np.logical_and.reduce([h.known for h in holes]))
