"""Results of generation, and how they are written into an AnnData."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest import keys
from napari_gest.limits import check_number
from napari_gest.tasks.generation.earlier import clear_earlier
from napari_gest.tasks.generation.filled_layers import (
    FilledLayer,
    count_rows,
    empty_rows,
    held_rows,
    measured_rows,
    partly,
)
from napari_gest.tasks.workers import HERE, Workers
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.io import in_memory, write_tissue
from napari_gest.tissue.kept import draw_name, is_draw, kept_column
from napari_gest.tissue.on_disk import matrices_on_disk, without
from napari_gest.tissue.reading import layer_names
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.tasks.generation.cell_types import NamedTypes

_NEIGHBOURS = 60


@dataclass(frozen=True, eq=False)
class Painted:
    """Cells finished in one step.

    Attributes
    ----------
    index
        (f,) index into the cells of the run: the unseen ones first, then the new ones.
    expression, sd
        (f, G) float32, model space.
    entropy
        (f,) float32, nats.
    meta_cell
        (f,) int32.
    drawn
        Whether the cells are drawn; otherwise they are expected means.
    """

    index: NDArray[np.int64]
    expression: NDArray[np.float32]
    sd: NDArray[np.float32]
    entropy: NDArray[np.float32]
    meta_cell: NDArray[np.int32]
    drawn: bool = False


@dataclass(frozen=True, eq=False)
class Draw:
    """A further draw of the same region in mode ``sample``, in the order of ``Generated``.

    Attributes
    ----------
    expression
        (n, G) float32, model space.
    meta_cell
        (n,) int32.
    donor
        (n,) index in the section of the measured cell that each was drawn from.
    """

    expression: NDArray[np.float32]
    meta_cell: NDArray[np.int32]
    donor: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Agreement of generated cells with measured ones, over n cells, model space.

    Genes that do not vary in the measured cells are left out.

    Attributes
    ----------
    n_cells
        Number of cells compared; cells without measured expression are left out.
    rmse
        Root mean squared error over cells and genes.
    rmse_z
        Mean over genes of ``sqrt(2 (1 - r))``: the error after both sides are z-scored per gene
        (Table 1). A gene predicted as a constant counts as sqrt(2).
    pearson, spearman
        Mean over genes of the correlation over cells.
    neighbours
        The same scores for a baseline: the mean of the 60 nearest measured cells.
    """

    n_cells: int
    rmse: float
    rmse_z: float
    pearson: float
    spearman: float
    neighbours: Agreement | None = None


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated cells: the unseen ones of the section in their order, then the new ones.

    Attributes
    ----------
    section
        The section they belong to.
    rows
        (n,) row in the AnnData, -1 for a new cell.
    index
        (n_unseen,) index of the unseen cells in the section.
    coords_um
        (n, 2) um, (x, y).
    expression, sd
        (n, G) float32, model space.
    entropy
        (n,) float32, nats, of p(meta cell).
    meta_cell
        (n,) int32.
    depth_um
        (n,) float32, distance to the nearest known cell.
    genes
        G gene names.
    settings
        Model, version, seed, mode and target_sum; in mode ``sample`` also the number of draws,
        the draw that ``expression`` holds, and the number of repeated donors.
    donor
        (n,) index in the section of the donor of each cell; None except in mode ``sample``.
    further
        Further draws, if more than one was requested.
    types
        Types of the cells, if they were requested.
    expected
        (n, G) float32, model space: the result of mode ``weighted``, if mode ``sample`` was
        requested with it. NaN where a file does not hold it.
    candidates
        (n, k) index in the section of donors that represent all possible donors of each cell,
        repeated by their weights; None except in mode ``sample``, or where a window has asked.
    """

    section: Section
    rows: NDArray[np.int64]
    index: NDArray[np.int64]
    coords_um: NDArray[np.float64]
    expression: NDArray[np.float32]
    sd: NDArray[np.float32]
    entropy: NDArray[np.float32]
    meta_cell: NDArray[np.int32]
    depth_um: NDArray[np.float32]
    genes: tuple[str, ...]
    settings: dict[str, Any]
    donor: NDArray[np.int64] | None = None
    further: tuple[Draw, ...] = ()
    types: NamedTypes | None = None
    expected: NDArray[np.float32] | None = None
    candidates: NDArray[np.int64] | None = None

    @property
    def section_name(self) -> str:
        return self.section.name

    @property
    def n_draws(self) -> int:
        """Number of draws; 1 for modes without draws."""
        return 1 + len(self.further)

    @property
    def is_drawn(self) -> bool:
        """Whether ``expression`` holds drawn cells; otherwise it holds means."""
        return self.settings.get("mode") == "sample"

    @property
    def mean(self) -> NDArray[np.float32] | None:
        """(n, G) the expected expression, model space; None for drawn cells without it."""
        return self.expected if self.is_drawn else self.expression

    def with_draws(self, draws: tuple[Draw, ...]) -> Generated:
        """Return the result with further draws appended."""
        further = (*self.further, *draws)
        return replace(self, further=further, settings=self.settings | {"draws": 1 + len(further)})

    def first_draws(self, n: int) -> Generated:
        """Return the result as if only ``n`` draws had been asked for, 1 to ``n_draws``."""
        check_number("n", n, 1, self.n_draws, whole=True)
        if n == self.n_draws or not self.is_drawn:
            return self
        return replace(self, further=self.further[: n - 1], settings=self.settings | {"draws": n})

    def draw_name(self, draw: int = 1) -> str:
        """Return the name of a draw, "draw 2 of 3"; empty for modes without draws."""
        return "" if self.donor is None else draw_name(draw, self.n_draws)

    def of_draw(self, draw: int) -> Generated:
        """Return the cells of one draw alone, 1 to ``n_draws``.

        Raises
        ------
        InputError
            If there is no such draw.
        """
        check_number("draw", draw, 1, self.n_draws, whole=True)
        if draw == 1:
            return self if not self.further else replace(self, further=())
        one = self.further[draw - 2]
        return replace(
            self,
            expression=one.expression,
            meta_cell=one.meta_cell,
            donor=one.donor,
            settings=self.settings | {"draw": draw},
            further=(),
        )

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the cells that have a row into ``adata``; ``X`` is never changed.

        Cells generated earlier keep their values unless they are generated again. New cells have
        no row: ``to_anndata`` adds them.

        Returns
        -------
        The names of the keys that changed.
        """
        old = self.rows >= 0
        return self._write(adata, self.rows[old], old)

    def to_anndata(self, adata: AnnData) -> AnnData:
        """Return a copy of ``adata`` with the result; new cells are appended as rows.

        A new cell has an empty row in ``X`` and ``True`` in ``obs["gest_new_cell"]``.
        """
        whole = in_memory(adata)
        if whole is adata:
            whole = adata.copy()
        new = self.rows < 0
        rows = self.rows.copy()
        if new.any():
            rows[new] = whole.n_obs + np.arange(new.sum())
            whole = _append(whole, self.coords_um[new], self.section)
        self._write(whole, rows, np.ones(len(rows), bool))
        return whole

    def write_copy(
        self,
        adata: AnnData,
        path: str | Path,
        *,
        overwrite: bool = False,
        workers: Workers = HERE,
    ) -> None:
        """Write a copy of ``adata`` with the result to a file, as ``to_anndata`` makes it.

        Of tissue whose matrices are on disk (``read_tissue(path, lazy=True)``) nothing that is as
        large as ``X`` is made in memory: layers are read, filled and written some thousand cells
        at a time. That needs the cells to have rows: where new ones are added, all is in memory.

        Parameters
        ----------
        adata
            The AnnData of the section; it stays as it is.
        path, overwrite
            As ``write_tissue``.
        workers
            What reads and fills the layers; the file does not depend on it.

        Raises
        ------
        InputError, CheckpointError
            As ``write_tissue``.
        """
        if adata.isbacked or (self.rows < 0).any() or not any(matrices_on_disk(adata)):
            write_tissue(self.to_anndata(adata), path, overwrite=overwrite)
            return
        copy = without(adata, {})
        copy.uns = dict(adata.uns)
        layers = self._fill(copy, self.rows, np.ones(len(self.rows), bool))[0]
        for key in layers:
            if key in copy.layers:
                del copy.layers[key]
        made = {f"layers/{key}": replace(v, workers=workers) for key, v in layers.items()}
        write_tissue(copy, path, overwrite=overwrite, made=made)

    def _write(
        self, adata: AnnData, rows: NDArray[np.int64], take: NDArray[np.bool_]
    ) -> frozenset[str]:
        layers, changed = self._fill(adata, rows, take)
        for key, layer in layers.items():
            adata.layers[key] = layer.whole
        return changed

    def _fill(
        self, adata: AnnData, rows: NDArray[np.int64], take: NDArray[np.bool_]
    ) -> tuple[dict[str, FilledLayer], frozenset[str]]:
        """Write all but layers; return those as they are to be, and the keys that change."""
        made_before = kept_column(adata, keys.GENERATED)
        for key, values in (
            (keys.GENERATED, True),
            (keys.ENTROPY, self.entropy[take]),
            (keys.META_CELL, self.meta_cell[take]),
        ):
            column = kept_column(adata, key)
            column[rows] = values
            adata.obs[key] = column
        own = {keys.EXPRESSION: self.expression[take], keys.SD: self.sd[take]}
        own |= {
            keys.DRAW.format(number): draw.expression[take]
            for number, draw in enumerate(self.further, 2)
        }
        other = made_before.copy()
        other[rows] = False  # generated before, and not again
        if self.expected is not None or (keys.EXPECTED in adata.layers and other.any()):
            own[keys.EXPECTED] = self._expected_or_nan[take]
        else:
            self._drop(adata, keys.EXPECTED)
        # Further draws of an earlier run belong to another result.
        for key in layer_names(adata):
            if is_draw(key) and key not in own:
                del adata.layers[key]
        place = pd.Index(adata.var_names.astype(str)).get_indexer(list(self.genes))
        inside = place >= 0
        n_genes = adata.n_vars
        measured = measured_rows(adata, self.section, self.genes, self.settings["target_sum"])
        single, layers = np.dtype(np.float32), {}
        for key, values in own.items():
            full = np.full((len(rows), n_genes), np.nan, np.float32)
            full[:, place[inside]] = values[:, inside]
            given, dtype = sparse.csr_matrix(full), single
            if key in adata.layers and not is_draw(key):
                base = held_rows(adata.layers[key], f"layers/{key}")
                dtype = np.result_type(adata.layers[key].dtype, dtype)
            elif key == keys.SD:
                base = empty_rows(n_genes)
            elif key == keys.EXPECTED:  # not known for cells of earlier runs
                earlier = np.flatnonzero(made_before)
                unknown = sparse.csr_matrix(np.full((len(earlier), n_genes), np.nan, np.float32))
                base = FilledLayer(adata.shape, single, measured, earlier, unknown)
            else:
                base = measured
            layers[key] = FilledLayer(adata.shape, dtype, base, rows, given)
        changed = {keys.GENERATED, keys.ENTROPY, keys.META_CELL, keys.UNS}
        writes = set() if self.types is None else {*self.types.columns}
        writes |= set() if self.donor is None else {keys.DONOR}
        named = keys.DONOR in adata.obs
        changed |= clear_earlier(adata, rows[made_before[rows]], writes)
        if self.donor is not None:
            self._write_donors(adata, rows, self.donor[take])
            changed.add(keys.DONOR)
        if self.donor is not None and self.section.holds_counts:
            layers[keys.COUNTS] = self._counts(adata, rows, self.donor[take])
        elif keys.COUNTS in adata.layers and self.section.layer != keys.COUNTS:
            changed.add(keys.COUNTS)
            if keys.DONOR in adata.obs if named else other.any():
                layers[keys.COUNTS] = self._own_counts(adata, rows)
            else:
                self._drop(adata, keys.COUNTS)
        if self.types is not None:
            changed |= self.types.write(adata, rows, take)
        adata.uns[keys.UNS] = dict(self.settings)
        return layers, frozenset({*changed, *layers})

    def _drop(self, adata: AnnData, key: str) -> None:
        """Remove a layer of which nothing is left, unless the section was read from it."""
        if key in adata.layers and key != self.section.layer:
            del adata.layers[key]

    @property
    def _expected_or_nan(self) -> NDArray[np.float32]:
        mean = self.mean
        return np.full_like(self.expression, np.nan) if mean is None else mean

    def _write_donors(
        self, adata: AnnData, rows: NDArray[np.int64], donor: NDArray[np.int64]
    ) -> None:
        """Write the name of the donor of each cell."""
        names = np.full(adata.n_obs, None, object)
        if keys.DONOR in adata.obs:
            names[:] = adata.obs[keys.DONOR].astype(object).where(adata.obs[keys.DONOR].notna())
            names[pd.isna(names)] = None
        names[rows] = self.section.names_of(donor)
        adata.obs[keys.DONOR] = pd.Categorical(names)

    def _counts(
        self, adata: AnnData, rows: NDArray[np.int64], donor: NDArray[np.int64]
    ) -> FilledLayer:
        """Return the layer of counts, in which generated cells have those of their donors."""
        own, dtype = sparse.csr_matrix(self.section.expression[donor].astype(np.int32)), np.int32
        held = adata.layers.get(keys.COUNTS)
        if held is None:
            base = count_rows(adata, self.section)
        else:
            base, dtype = held_rows(held, f"layers/{keys.COUNTS}"), held.dtype
        return FilledLayer(adata.shape, np.result_type(dtype, np.int32), base, rows, own)

    def _own_counts(self, adata: AnnData, rows: NDArray[np.int64]) -> FilledLayer:
        """Return the layer of counts, in which the cells ``rows`` have their own again."""
        held = adata.layers[keys.COUNTS]
        base = held_rows(held, f"layers/{keys.COUNTS}")
        nothing = sparse.csr_matrix((0, adata.n_vars), dtype=np.int32)
        return FilledLayer(
            adata.shape,
            np.result_type(held.dtype, np.int32),
            partly(base, count_rows(adata, self.section), rows),
            np.empty(0, np.int64),
            nothing,
        )

    def agreement(self, section: Section) -> Agreement | None:
        """Return agreement with the measured cells of ``section`` that were generated.

        The mean ``expected`` is compared if there is one, because a draw is as noisy as tissue.
        None if no gene varies in these cells, as in a single cell or in blanked cells.
        """
        expression, measured = section.align(self.genes)

        def values(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return log_normalize(expression[rows], self.settings["target_sum"])[:, measured]

        truth = values(self.index)
        there = truth.any(axis=1)
        truth, index = truth[there], self.index[there]
        if len(truth) < 2 or not _varies(truth).any():
            return None
        known = np.ones(section.n_obs, bool)
        known[self.index] = False
        known = np.flatnonzero(known)
        tree = cKDTree(section.coords_um[known])
        k = min(_NEIGHBOURS, tree.n)
        near = known[tree.query(section.coords_um[index], k=[*range(1, k + 1)])[1]]
        used, place = np.unique(near, return_inverse=True)
        neighbours = values(used)
        baseline = np.stack([neighbours[i].mean(0) for i in place.reshape(near.shape)])
        made = self.expression if self.expected is None else self.expected
        made = made[: len(self.index)][there][:, measured]
        return _compare(truth, made, _compare(truth, baseline, None))


def _compare(
    truth: NDArray[np.float32], made: NDArray[np.float32], baseline: Agreement | None
) -> Agreement:
    from scipy.stats import rankdata  # slow to import, and not needed to generate

    varies = _varies(truth)
    a, b = truth[:, varies].astype(np.float64), made[:, varies].astype(np.float64)
    pearson = _correlation(a, b)
    spearman = _correlation(rankdata(a, axis=0), rankdata(b, axis=0))
    return Agreement(
        len(truth),
        float(np.sqrt(np.square(a - b).mean())),
        float(np.sqrt(2 * (1 - pearson)).mean()),
        float(pearson.mean()),
        float(spearman.mean()),
        baseline,
    )


def _varies(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return values.std(0) > 1e-6


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = a - a.mean(0), b - b.mean(0)
    norm = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
    product = (a * b).sum(0)
    out = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 1e-12)
    return np.clip(out, -1, 1)


def _empty(layer: Any, n: int) -> Any:
    """Return n rows of zeros, or of empty text, that can follow those of a layer or of X."""
    if layer is None:
        return None
    shape = (n, layer.shape[1])
    if sparse.issparse(layer):
        return sparse.csr_matrix(shape, dtype=layer.dtype)
    return np.full(shape, "", object) if layer.dtype == object else np.zeros(shape, layer.dtype)


def _append(adata: AnnData, coords_um: NDArray[np.float64], section: Section) -> AnnData:
    """Return ``adata`` with new cells as last rows: empty X, positions, section and names.

    Positions that ``adata`` holds as text become numbers in it.
    """
    import anndata

    m = len(coords_um)
    taken, number = set(adata.obs_names), 0
    names: list[str] = []
    while len(names) < m:
        number += 1
        name = f"gest_{section.name}_{number}"
        if name not in taken:
            names.append(name)
    obs = pd.DataFrame(index=pd.Index(names))
    if section.section_key in adata.obs:
        # In the type of the column: the name is text, but sections may be numbered.
        obs = adata.obs[[section.section_key]].iloc[np.full(m, section.rows[0])].set_axis(obs.index)
    new = anndata.AnnData(X=_empty(adata.X, m), obs=obs, var=adata.var)
    held = adata.obsm[section.spatial_key]
    coords: Any = np.zeros((m, held.shape[1]))
    coords[:, :2] = coords_um / section.um_per_unit
    if isinstance(held, pd.DataFrame):  # numbers may be held as text
        adata.obsm[section.spatial_key] = held.astype(np.float64)
        coords = pd.DataFrame(coords, new.obs_names, held.columns)
    elif held.dtype.kind not in "biuf":
        adata.obsm[section.spatial_key] = np.asarray(held, np.float64)
    new.obsm[section.spatial_key] = coords
    for key in layer_names(adata):
        new.layers[key] = _empty(adata.layers[key], m)
    joined = anndata.concat([adata, new], join="outer", merge="first", uns_merge="first")
    joined.uns = adata.uns
    joined.var = adata.var
    added = kept_column(joined, keys.NEW_CELL)
    added[adata.n_obs :] = True
    joined.obs[keys.NEW_CELL] = added
    return joined
