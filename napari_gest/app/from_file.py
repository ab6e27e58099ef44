"""Generated cells that a file holds already: shown as a run that is kept and not run again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from napari_gest import keys
from napari_gest.app.kept_regions import regions_in
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import Load, RunEntry, RunKind
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.errors import GestError, InputError
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.kept import kept_column

if TYPE_CHECKING:
    from napari_gest.app.script import Script
    from napari_gest.app.state import State

NAME = "from the file"
WHY_NOT = "These cells were read from the file, which does not say all that made them."


@dataclass(frozen=True, eq=False)
class FileRun:
    """Stands for the run that made the cells of a file."""

    kind: ClassVar[RunKind] = "generation"

    snapshot: Snapshot
    seed: int = 0
    mode: str = ""
    model: None = None

    @property
    def title(self) -> str:
        """Where the cells are from."""
        return NAME

    @property
    def settings(self) -> str:
        """The read-out, where the file says it."""
        return self.mode

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section they belong to."""
        return (self.snapshot,)

    def changed_since(self, state: State) -> str | None:
        """Return nothing: they are what the file holds."""
        return None

    def check(self) -> None:
        """Refuse to run again."""
        raise InputError(WHY_NOT, "Draw a region and generate it anew.")

    def work(self, load: Load) -> Generator[Progress, None, Any]:
        """Refuse to run again."""
        self.check()
        yield Progress("", 0, 1)

    def script(self) -> str:
        """Refuse to be written as code."""
        raise InputError(WHY_NOT, "Read the file instead: it holds the cells.")


@dataclass(frozen=True, eq=False)
class FileOutcome:
    """The cells of a file.

    Attributes
    ----------
    run
        Stands for what made them.
    result
        The cells.
    cells
        The same cells, as the canvas shows them.
    """

    run: FileRun
    result: Generated
    cells: GeneratedCells
    agreement: None = None
    agreement_text: ClassVar[str] = ""

    def add_to(self, script: Script) -> None:
        """Add nothing: the file that a script reads holds them."""

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return nothing: they are in the tissue already."""
        return []


def is_from_file(entry: RunEntry) -> bool:
    """Tell whether a run stands for the cells of a file."""
    return isinstance(entry.run, FileRun)


def entry_of(opened: Opened) -> RunEntry | None:
    """Return a run that stands for the generated cells that a section was opened with."""
    result = opened.found_generated
    if result is None:
        return None
    about = result.settings
    snapshot = Snapshot(opened.label, opened.section)
    seed = about.get("seed", 0)
    seed = int(seed) if isinstance(seed, int | np.integer) else 0
    run = FileRun(snapshot, seed, str(about.get("mode", "")))
    unseen = np.zeros(opened.section.n_obs, bool)
    unseen[result.index] = True
    new = result.coords_um[len(result.index) :]
    cells = GeneratedCells(snapshot, result.genes, unseen, new)
    cells.finish(result)
    name = f"{opened.label}, {NAME}"
    return RunEntry(f"file:{opened.label}", name, run, FileOutcome(run, result, cells))


def shapes_of(opened: Opened) -> tuple[Shape, ...]:
    """Return the region that the cells of a section were generated for, where the file has it."""
    return regions_in(opened.adata, opened.section.name, opened.label)


def generated_in(opened: Opened) -> Generated | None:
    """Return the generated cells of a section that its tissue holds.

    None where there are none, or what is there is not what this program writes.
    """
    adata = opened.adata
    if keys.GENERATED not in adata.obs or keys.EXPRESSION not in adata.layers:
        return None
    try:
        return _read(opened)
    except (GestError, KeyError, TypeError, ValueError, IndexError):
        return None


def _read(opened: Opened) -> Generated | None:
    adata, section = opened.adata, opened.section
    made = kept_column(adata, keys.GENERATED)
    if section.section_key in adata.obs:
        made &= (adata.obs[section.section_key].astype(str) == section.name).to_numpy()
    mask = np.zeros(adata.n_obs, bool)
    mask[section.rows] = True
    rows = np.flatnonzero(made)
    if not len(rows):
        return None
    old, new = rows[mask[rows]], rows[~mask[rows]]
    rows = np.concatenate([old, new])
    expression = _rows(adata.layers[keys.EXPRESSION], rows)
    known = np.isfinite(expression).all(axis=0)  # genes that the model knows
    if not known.any():
        return None
    sd = np.zeros_like(expression)
    if keys.SD in adata.layers:
        sd = _rows(adata.layers[keys.SD], rows)
    at = np.asarray(adata.obsm[section.spatial_key])[new, :2].astype(np.float64)
    coords = [section.coords_um[place_of(section.rows, old)], at * section.um_per_unit]
    about = adata.uns.get(keys.UNS, {})
    return Generated(
        section,
        np.concatenate([old, np.full(len(new), -1)]),
        place_of(section.rows, old),
        np.concatenate(coords),
        np.ascontiguousarray(expression[:, known]),
        np.ascontiguousarray(sd[:, known]),
        kept_column(adata, keys.ENTROPY)[rows],
        kept_column(adata, keys.META_CELL)[rows],
        np.zeros(len(rows), np.float32),
        tuple(pd.Index(adata.var_names.astype(str))[known]),
        dict(about),
    )


def place_of(rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where in ``rows`` the rows ``wanted`` stand."""
    return np.asarray(pd.Index(rows).get_indexer(pd.Index(wanted)), np.int64)


def _rows(layer: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return rows of a layer, in memory or on disk, as (n, G) float32."""
    order = np.argsort(rows)  # files are read in ascending order
    taken = layer[rows[order]]
    if hasattr(taken, "compute"):  # dask, as of zarr
        taken = taken.compute()
    dense = taken.toarray() if sparse.issparse(taken) else np.asarray(taken)
    out = np.empty(dense.shape, np.float32)
    out[order] = dense
    return out
