"""Open sections: what was read, and quick looks at its values for the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_gest.app.file_state import FileState
from napari_gest.app.gene_columns import GeneColumns
from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.obs import names_in, obs_column
from napari_gest.tissue.on_disk import matrices_on_disk
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.symbols import gene_texts

if TYPE_CHECKING:
    from anndata import AnnData
    from shapely import MultiPolygon

    from napari_gest.tasks.generation.generated import Generated

DEFAULT_TARGET_SUM = 1e4
_RUNS, _IN_A_RUN = 100, 50  # of cells that rank genes: near ones are read together
_SAMPLE = 2000  # cells whose neighbours are looked up to choose a size
_SPACED = 500  # cells whose distance to the next is taken
_SOME_CELLS, _NEIGHBOURS = 1000, 6  # whose names are compared
_OF_PLACES = 0.45  # of what chance leaves open, from which names are of places


@dataclass(frozen=True)
class Normalization:
    """Model space of the chosen model, in which measured and generated cells are compared."""

    target_sum: float = DEFAULT_TARGET_SUM
    panel: tuple[str, ...] | None = None


def cell_size(tree: cKDTree) -> float:
    """Return a diameter at which cells nearly touch: 1.15 times the median distance to the nearest.

    Parameters
    ----------
    tree
        Of the positions of cells, um.
    """
    step = max(tree.n // _SAMPLE, 1)
    nearest = tree.query(tree.data[::step], k=[2])[0]
    apart = nearest[np.isfinite(nearest) & (nearest > 0)]
    return 1.15 * (float(np.median(apart)) if len(apart) else 10.0)


class Result(Protocol):
    """What a task returns, as far as the session is concerned."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData, -1 for a new one."""

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write into the AnnData; return the names of the keys that changed."""


def is_about_others(result: Result) -> bool:
    """Tell whether a result speaks of others, such as a check, and is to be written after them."""
    return bool(getattr(result, "about_others", False))


@dataclass(eq=False)
class Opened:
    """An open section and what was kept for it.

    Attributes
    ----------
    label
        Name unique in the session; also the name of its layer.
    adata
        The AnnData the section came from; sections of one file share it.
    section
        The checked section. Row ``i`` of its layer is row ``i`` here.
    path
        File it was read from, if any.
    results
        Kept results, oldest first.
    file_results
        Those of all sections of its AnnData.
    found_generated
        Generated cells that the AnnData held when the section was opened.
    found_outline
        The outline of what they fill, um.
    made_ahead
        What a window will show it with, made before it is shown; None once that was taken.
    """

    label: str
    adata: AnnData
    section: Section
    path: Path | None = None
    results: list[Any] = field(default_factory=list)
    file_results: list[Any] = field(default_factory=list)
    found_generated: Generated | None = None
    found_outline: MultiPolygon | None = None
    made_ahead: Any = field(default=None, repr=False)
    _file: FileState | None = field(default=None, repr=False)  # where matrices are left in it
    _totals: dict[tuple[str, ...], NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _latest: tuple[tuple[Any, ...], NDArray[np.float32]] | None = field(default=None, repr=False)
    _names: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _n_names: dict[str, int] = field(default_factory=dict, repr=False)
    _marks: dict[str, bool] = field(default_factory=dict, repr=False)

    @cached_property
    def gene_texts(self) -> dict[str, str]:
        """The gene of each text it is searched by: its name, with its symbol if it has one."""
        return gene_texts(self.adata, self.section.genes)

    @cached_property
    def spacing_um(self) -> float:
        """The usual distance from a cell to the nearest other one."""
        step = max(self.section.n_obs // _SPACED, 1)
        if self.section.n_obs < 2:
            return 10.0
        return float(np.median(self.tree.query(self.section.coords_um[::step], k=2)[0][:, 1]))

    @cached_property
    def cell_um(self) -> float:
        """A diameter in um at which cells nearly touch."""
        return cell_size(self.tree)

    @property
    def tree(self) -> cKDTree:
        """Finds cells of the section by their place, (x, y) um."""
        return self.section.tree

    @cached_property
    def some_neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Some cells (m,), spread over the section, and the nearest ones of each (m, k)."""
        coords = self.section.coords_um
        cells = np.unique(np.linspace(0, len(coords) - 1, _SOME_CELLS).astype(np.int64))
        k = min(_NEIGHBOURS + 1, len(coords))
        near = self.tree.query(coords[cells], k=[*range(1, k + 1)])[1]
        return cells, np.asarray(near[:, 1:], np.int64)

    def are_of_places(self, codes: NDArray[np.int64]) -> bool:
        """Tell whether names are of places, as those of regions are, rather than of cells.

        Cells of a region have the name of their neighbours, and types are mixed. On eight data
        sets neighbours agree in the name of a region in 0.6 to 0.9 of what chance leaves open, in
        a type in 0.1 to 0.3.

        Parameters
        ----------
        codes
            (n_obs,) name of each cell, -1 where it has none.
        """
        cells, near = self.some_neighbours
        named = codes[codes >= 0]
        own = codes[cells] >= 0
        if not own.any() or not near.shape[1]:
            return False
        chance = float(np.square(np.bincount(named) / len(named)).sum())
        agree = float((codes[near[own]] == codes[cells[own], None]).mean())
        return agree - chance > _OF_PLACES * (1 - chance)

    def require_same_file(self) -> None:
        """Raise InputError where expression is read from a file that is no longer the same."""
        held, path = self._file, self.path
        if held is not None and path is not None and held != FileState.of(path, held.places):
            raise InputError(
                f"'{path.name}' was changed or moved since it was opened.",
                "Open it again, or put it back: a large tissue stays in its file.",
            )

    @cached_property
    def telling_gene(self) -> str:
        """The gene that varies most between cells, on a log scale."""
        section = self.section
        starts = np.linspace(0, max(section.n_obs - _IN_A_RUN, 0), _RUNS).astype(np.int64)
        cells = np.unique(starts[:, None] + np.arange(min(_IN_A_RUN, section.n_obs)))
        expression = section.expression[cells].copy()
        expression.data = np.log1p(expression.data)
        mean = np.asarray(expression.mean(axis=0)).ravel()
        variance = np.asarray(expression.multiply(expression).mean(axis=0)).ravel() - mean**2
        return section.genes[int(variance.argmax())]

    @cached_property
    def by_gene(self) -> GeneColumns:
        """Expression sorted by gene."""
        return GeneColumns.of(self.section)

    def gene_values(
        self,
        gene: str,
        target_sum: float = DEFAULT_TARGET_SUM,
        panel: tuple[str, ...] | None = None,
    ) -> NDArray[np.float32]:
        """Return (n_obs,) float32 of one gene, ``log1p(x / sum(x) * target_sum)``; read-only.

        The latest one is kept: colours, their legend and the cell under the mouse ask for it.

        Parameters
        ----------
        gene
            A gene that was not measured gives missing values.
        target_sum
            The model's, so that measured and generated values can share limits.
        panel
            Genes that count in ``sum(x)``; all of the section by default.
        """
        if gene not in self.section.genes:
            return np.full(self.section.n_obs, np.nan, np.float32)
        asked, latest = (gene, target_sum, panel), self._latest
        if latest is None or latest[0] != asked:
            column = self.by_gene[self.section.genes.index(gene)]
            totals = self._sum_of(panel)
            scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
            values = np.log1p(column * scale).astype(np.float32)
            values.flags.writeable = False
            latest = self._latest = asked, values
        return latest[1]

    def _sum_of(self, panel: tuple[str, ...] | None) -> NDArray[np.float64]:
        if panel is None or panel == self.section.genes:
            return self.by_gene.totals
        if panel not in self._totals:
            measured = np.isin(self.section.genes, panel)
            self._totals[panel] = self.by_gene.sums(np.flatnonzero(measured))
        return self._totals[panel]

    def obs_values(self, key: str) -> pd.Series:
        """Return the obs column ``key`` of the section's cells, (n_obs,)."""
        return obs_column(self.adata, key, "Choose another column.", self.section.rows)

    def names(self, key: str) -> list[str]:
        """Return the different names in an obs column of the section's cells, in a legend's order.

        To look through a large table takes a while, so they are kept until a result is.
        """
        if key not in self._names:
            self._names[key] = names_in(self.obs_values(key))
        return self._names[key]

    def n_names(self, key: str) -> int:
        """Return how many different names an obs column has in all sections of the file."""
        if key not in self._n_names:
            self._n_names[key] = int(obs_column(self.adata, key).nunique())
        return self._n_names[key]

    def marks_some(self, key: str) -> bool:
        """Tell whether a boolean obs column marks some but not all cells of the section.

        It is asked several times an action, so it is kept until a result is.
        """
        if key not in self._marks:
            values = self.obs_values(key)
            self._marks[key] = bool(values.any() and not values.all())
        return self._marks[key]

    def forget_names(self) -> None:
        """Look through obs columns again: they have changed."""
        self._names.clear()
        self._n_names.clear()
        self._marks.clear()

    def export(self) -> AnnData:
        """Return an AnnData with everything that was kept; it is for reading.

        It is the open one, into which kept cells were written, or, where some are new and have no
        row there, a copy with rows for them.
        """
        if not self.results:
            raise InputError(
                f"Nothing was kept for '{self.label}' yet.", "Run, then press Keep, then save."
            )
        adata = self.adata
        # Niches name new cells, so the rows of these come first, whenever they were kept.
        for result in sorted(
            self.file_results or self.results,
            key=lambda result: getattr(result, "names_cells", False),
        ):
            if (result.rows < 0).any():
                adata = result.to_anndata(adata)
        if adata is not self.adata:
            for result in filter(is_about_others, self.file_results):
                result.write(adata)
        return adata


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a run starts from: a section, under the label it had when the run began."""

    label: str
    section: Section

    @classmethod
    def of(cls, opened: Opened) -> Snapshot:
        """Return what a run starts from that begins now; raise as `Opened.require_same_file`."""
        opened.require_same_file()
        return cls(opened.label, opened.section)


def read_to_open(path: Path) -> AnnData:
    """Read tissue that will stay open: what is too large for memory stays on disk for good.

    anndata closes the file of a backed AnnData once it was copied to memory, as to save new cells.
    Matrices that are left on disk one by one keep it open.

    Raises
    ------
    InputError
        As ``read_tissue``.
    """
    adata = read_tissue(path)
    if not adata.isbacked:
        return adata
    adata.file.close()
    return read_tissue(path, lazy=True)


def open_sections(
    adata: AnnData,
    path: Path | None = None,
    names: Sequence[str] | None = None,
    reading: Reading | None = None,
) -> list[Opened]:
    """Check sections of an AnnData and return them ready for a session.

    Parameters
    ----------
    adata
        Cells x genes. Not modified.
    path
        File it came from.
    names
        Sections wanted; all by default.
    reading
        How they are read; in the usual way by default.

    Raises
    ------
    InputError
        As ``Section.from_anndata``.
    """
    from napari_gest.app.found_cells import generated_in
    from napari_gest.app.kept_regions import regions_in
    from napari_gest.app.regions import drawn_region, outline_of

    reading = reading or Reading()
    present = section_names(adata, reading.section_key)
    places = tuple(place for place, _ in matrices_on_disk(adata))
    state = None if path is None or not places else FileState.of(path, places)
    opened = []
    for name in present if names is None else names:
        section = Section.read(reading, adata, name, lazy=True)  # a large X stays in its file
        alone = len(present) == 1 and path is not None
        one = Opened(path.stem if alone and path else name, adata, section, path)
        one.found_generated = generated_in(adata, section)
        if one.found_generated is not None:
            shapes = regions_in(adata, section.name, one.label)
            roi = drawn_region(shapes) if shapes else None
            one.found_outline = outline_of(one.found_generated.coords_um, roi)
        if section.on_disk and path is not None:
            one._file = state
        opened.append(one)
    return opened
