"""A checked tissue section: positions in um, linear expression, names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest import keys
from napari_gest.errors import InputError, ReadingError
from napari_gest.tissue.area import cell_areas_um2, on_lattice
from napari_gest.tissue.expression import check_linear, log_normalize, without_damage
from napari_gest.tissue.geometry import Geometry
from napari_gest.tissue.in_order import in_order
from napari_gest.tissue.kept import check_kept, draw_of, generated_cells
from napari_gest.tissue.obs import few, obs_column
from napari_gest.tissue.reading import MOST_UM, ExpressionScale, Reading, layer_names, where
from napari_gest.tissue.rows import STEP, StoredRows, blocks_of, can_stay, reader, take_rows
from napari_gest.tissue.section_digest import SectionDigest
from napari_gest.tissue.structure import check_sparse
from napari_gest.tissue.symbols import why_none_fits

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.tissue.roi import Roi

# A section smaller than this holds no cells, or its unit is wrong.
_LEAST_EXTENT_UM = 1e-3


@dataclass(frozen=True, eq=False)
class Section:
    """One tissue section, ready for the model.

    Attributes
    ----------
    name
        Name of the section.
    coords_um
        (n_obs, 2) float64, micrometres, axis order (x, y).
    expression
        (n_obs, n_genes) CSR float32, linear and non-negative (counts or normalised values); or
        ``StoredRows``, which gives the same for the cells that are asked for.
    genes
        n_genes unique gene names, in column order.
    names
        (n_obs,) unique cell names: bytes where all are ASCII, which take a quarter of the memory,
        else text. ``obs_names`` has them as text.
    rows
        (n_obs,) row of each cell in the AnnData it came from.
    spatial_key, section_key, layer, um_per_unit
        How it was read, so that results can be written back in the same way.
    scale
        What was said of the stored values; "log1p": ``expm1`` was applied to them.
    include_generated
        Whether generated cells were taken as if they had been measured.
    generated_from
        Where their values come from, such as "layer gest_draw_2, draw 2 of 3"; empty where there
        is none among the cells.
    generated_um
        (m, 2) um, (x, y), of the generated cells that were left out.
    """

    name: str
    coords_um: NDArray[np.float64]
    expression: sparse.csr_matrix
    genes: tuple[str, ...]
    names: NDArray[np.bytes_] | NDArray[np.str_]
    rows: NDArray[np.int64]
    spatial_key: str = keys.SPATIAL
    section_key: str = keys.SECTION
    layer: str | None = None
    um_per_unit: float = 1.0
    scale: ExpressionScale = "auto"
    include_generated: bool = False
    generated_from: str = ""
    generated_um: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))

    @property
    def n_obs(self) -> int:
        return len(self.coords_um)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(n_obs,) index of each cell when they are sorted by x, then y, then name.

        Tasks work in this order, so that a seed draws the same cells whatever the order of rows
        in the file; their results are in the order of rows (decision 25).
        """
        x, y = self.coords_um.T
        order = np.lexsort((y, x))
        sorted_um = self.coords_um[order]
        if (sorted_um[1:] == sorted_um[:-1]).all(1).any():
            order = np.lexsort((self.names, y, x))
        return order

    @property
    def obs_names(self) -> NDArray[np.str_]:
        """(n_obs,) unique cell names, made when asked for."""
        return self.names_of(slice(None))

    def names_of(self, cells: NDArray[np.int64] | slice) -> NDArray[np.str_]:
        """Return (m,) names of some cells."""
        return self.names[cells].astype(str)

    @cached_property
    def rank(self) -> NDArray[np.int64]:
        """(n_obs,) place of each cell in ``order``, its inverse."""
        return np.argsort(self.order)

    def where(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the indices of the cells where ``mask`` (n_obs,) is true, in ``order``."""
        return self.order[mask[self.order]]

    def ordered(self) -> Section:
        """Return the section with cells in ``order`` and columns ascending: itself if they are."""
        if (np.diff(self.order) > 0).all() and self.expression.has_sorted_indices:
            return self
        ordered = self.subset(self.order)
        return replace(ordered, expression=_sorted(ordered.expression))

    def gathered(self) -> Section:
        """Return the section as ``ordered`` does, for a task that reads all cells several times.

        Expression on disk is copied there in that order, once it is read; a little of it is read
        into memory at once. ``drop_copies`` removes the copy.
        """
        if not isinstance(self.expression, StoredRows):
            return self.ordered()
        expression = in_order(self.expression, self.order)
        return replace(self.subset(self.order), expression=expression)

    @property
    def on_disk(self) -> bool:
        """Whether expression is read from the file when it is asked for."""
        return isinstance(self.expression, StoredRows)

    def blocks(self) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Yield the expression of all cells in the order of rows, a few thousand at a time.

        Each comes with the slice of its cells, its columns ascending.
        """
        for part, values in blocks_of(self.expression):
            yield part, _sorted(values)

    def parts(
        self, genes: tuple[str, ...]
    ) -> tuple[list[slice], Iterator[sparse.csr_matrix | StoredRows]]:
        """Return the slices of all cells, some thousands each, and their expression on a panel.

        What is on disk is still there, for whoever works on a part; ``part[:]`` reads it.
        """
        pick, e = self._pick(genes)[0], self.expression
        if isinstance(e, StoredRows):
            stored = e if pick is None else e.aligned(pick)
            spans = stored.spans()
            return spans, (stored.take(span) for span in spans)
        spans = [slice(i, min(i + STEP, self.n_obs)) for i in range(0, self.n_obs, STEP)]
        cut = (e[span] for span in spans)
        return spans, (
            _sorted(part if pick is None else sparse.csr_matrix(part @ pick)) for part in cut
        )

    @cached_property
    def geometry(self) -> Geometry:
        """How the cells around each cell are arranged; measured once, a section does not change."""
        return Geometry(self.coords_um)

    @cached_property
    def tree(self) -> cKDTree:
        """Finds cells by their place, (x, y) um."""
        return cKDTree(self.coords_um)

    @cached_property
    def unit(self) -> str:
        """What a row is, for people: "spot" where they lie on a wide lattice, else "cell"."""
        return "spot" if on_lattice(self.tree) else "cell"

    @cached_property
    def holds_counts(self) -> bool:
        """Whether the expression is whole numbers, as raw counts are."""
        parts = (values.data for _, values in self.blocks())
        return all(bool(np.array_equal(data, np.rint(data))) for data in parts)

    @property
    def logged(self) -> bool:
        """Whether the stored values are logarithms, which ``expm1`` has undone here."""
        return self.scale == "log1p"

    @property
    def reading(self) -> Reading:
        """How it was read; the same again gives the same section."""
        return Reading(
            self.spatial_key,
            self.section_key,
            self.layer,
            self.um_per_unit,
            self.scale,
            self.include_generated,
        )

    @property
    def occupied_um(self) -> NDArray[np.float64]:
        """(n_obs + m, 2) um of all cells there are, generated ones that were left out last."""
        return np.concatenate([self.coords_um, self.generated_um])

    @cached_property
    def areas_um2(self) -> NDArray[np.float64]:
        """(n_obs,) um2 of tissue that each cell stands for; takes seconds for 100,000 cells."""
        return cell_areas_um2(self.coords_um)

    @cached_property
    def digest(self) -> str:
        """Hash of genes, positions and expression: the same cells read in the same way have it."""
        hashing, e = SectionDigest(self.genes, self.coords_um), self.expression
        parts = e.as_stored if isinstance(e, StoredRows) else lambda: iter([e])
        for values in parts():
            hashing.add_values(values)
        for values in parts():
            hashing.add_genes(values.indices)
        return hashing.end()

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Section:
        """Return the section with only the cells ``keep``: a mask (n_obs,), or their indices."""
        return replace(
            self,
            coords_um=self.coords_um[keep],
            expression=self.expression.take(keep) if self.on_disk else self.expression[keep],
            names=self.names[keep],
            rows=self.rows[keep],
        )

    def align(self, genes: tuple[str, ...]) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
        """Return expression on another panel, and which of its genes were measured here.

        Parameters
        ----------
        genes
            The panel wanted, in order.

        Returns
        -------
        expression
            (n_obs, len(genes)) CSR float32; columns not measured here are empty.
        measured
            (len(genes),) bool.

        Raises
        ------
        InputError
            If fewer than half of the panel's genes were measured here.
        """
        pick, measured = self._pick(genes)
        if pick is None:
            return _sorted(self.expression), measured
        if isinstance(self.expression, StoredRows):
            return self.expression.aligned(pick), measured
        return _sorted(sparse.csr_matrix(self.expression @ pick)), measured

    def expression_of(self, cells: NDArray[np.int64], genes: tuple[str, ...]) -> sparse.csr_matrix:
        """Return (m, len(genes)) expression of some cells (m,), as ``align`` gives all of it."""
        pick, values = self._pick(genes)[0], self.expression
        if self.on_disk or len(cells) < self.n_obs or (np.diff(cells) < 0).any():
            values = values[cells]
        return _sorted(values if pick is None else sparse.csr_matrix(values @ pick))

    def measured(self, genes: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return (len(genes),) bool: which genes of a panel were measured; raise as ``align``."""
        return self._pick(genes)[1]

    def _pick(self, genes: tuple[str, ...]) -> tuple[sparse.csr_matrix | None, NDArray[np.bool_]]:
        """Return what brings columns to a panel, None if they are it, and what was measured."""
        if genes == self.genes:
            return None, np.ones(len(genes), bool)
        column = pd.Index(self.genes).get_indexer(pd.Index(genes))
        measured = column >= 0
        if measured.sum() * 2 < len(genes):
            missing = [g for g, m in zip(genes, measured, strict=True) if not m]
            why = None if measured.any() else why_none_fits(self.genes, genes)
            if why is not None:
                raise InputError(
                    f"Section '{self.name}' has none of the model's {len(genes)} genes: {why[0]}.",
                    why[1],
                )
            raise InputError(
                f"Section '{self.name}' has {measured.sum()} of the model's {len(genes)} genes"
                f" (missing, for example: {', '.join(missing[:5])}).",
                "Choose a model trained on this panel, or train one with 'napari-gest fit' or"
                " 'napari-gest fine-tune'.",
            )
        pick = sparse.csr_matrix(
            (
                np.ones(measured.sum(), np.float32),
                (column[measured], np.flatnonzero(measured)),
            ),
            shape=(len(self.genes), len(genes)),
        )
        return pick, measured

    def model_space(self, target_sum: float) -> NDArray[np.float32]:
        """Return (n_obs, n_genes) float32 ``log1p(x / sum(x) * target_sum)``."""
        return log_normalize(self.expression_of(np.arange(self.n_obs), self.genes), target_sum)

    def linear_rows(self, adata: AnnData) -> Callable[[slice], sparse.csr_matrix]:
        """Return what reads linear expression of some cells of ``adata`` as the section was read.

        They may be cells of other sections, and are not checked: they may hold any values.
        """
        read = reader(_matrix(adata, self.layer), _matrix_name(self.layer))
        logged = self.logged  # the section does not travel with what reads its rows

        def rows(part: slice) -> sparse.csr_matrix:
            out = read(part)
            if logged:
                out = out.copy()
                np.expm1(out.data, out=out.data)
            return out

        return rows

    @classmethod
    def read(
        cls,
        reading: Reading,
        adata: AnnData,
        name: str | None = None,
        unseen: str | Roi | None = None,
        *,
        lazy: bool = False,
    ) -> Section:
        """Take one section out of an AnnData in some way; else as ``from_anndata``."""
        return cls.from_anndata(adata, name, **vars(reading), unseen=unseen, lazy=lazy)

    @classmethod
    def _read_logged(
        cls, reading: Reading, adata: AnnData, name: str | None, unseen: str | Roi | None
    ) -> Section:
        """Take one section as linear, or as logged where it looks like it."""
        try:
            return cls.read(reading, adata, name, unseen)
        except ReadingError as error:
            if error.option != "scale":
                raise
        return cls.read(replace(reading, scale="log1p"), adata, name, unseen)

    @classmethod
    def from_anndata(
        cls,
        adata: AnnData,
        name: str | None = None,
        *,
        spatial_key: str = keys.SPATIAL,
        section_key: str = keys.SECTION,
        layer: str | None = None,
        um_per_unit: float = 1.0,
        scale: ExpressionScale = "auto",
        include_generated: bool = False,
        unseen: str | Roi | None = None,
        allow_logged: bool = False,
        lazy: bool = False,
    ) -> Section:
        """Take one section out of an AnnData and check it.

        Generated cells are no observations and are left out (decision 31): of ``X`` and of layers
        of your own the new cells, which have no measurement there; of the layers that generation
        wrote, such as ``gest_counts``, all cells that were generated.

        Parameters
        ----------
        adata
            Cells x genes, in memory or on disk. Never modified.
        name
            Value of ``obs[section_key]`` to take; may be omitted where there is only one section.
        spatial_key
            Key of ``obsm`` with coordinates, (x, y) in its first two columns.
        section_key
            Column of ``obs`` that names sections; where it is absent all cells are one section.
        layer
            Layer with linear expression; ``X`` by default.
        um_per_unit
            Micrometres in one unit of the stored coordinates.
        scale
            What the stored values are: "linear", such as counts or values per volume; "log1p",
            to which ``expm1`` is applied; or "auto", linear unless they look logged, which is an
            error.
        include_generated
            Take generated cells too, as if they had been measured. New cells have no values in
            ``X``, so name the layer that holds them.
        unseen
            The cells that will be generated: a column of ``obs`` as ``mask_from_obs`` reads it, or
            a region. What they hold then decides nothing, neither whether values look logged nor
            whether any is missing or negative; those with such values are taken as empty. Cells
            that were generated before are not left out where they are to be generated again.
        allow_logged
            Of scripts of version 0.1.0: values that look logged are "log1p", others linear.
        lazy
            Leave expression in the file where it is there (``read_tissue(path, lazy=True)``) as CSR
            or dense. Some cells are checked now, and others as they are read: a ReadingError may
            come while a task is at work. A matrix in memory, or CSC, is taken as ever. Positions
            may be those of ``adata``, not copied: leave them as they are.

        Raises
        ------
        InputError
            For missing keys, an unknown or ambiguous section, duplicated names, coordinates or
            expression that are missing, infinite or negative, logged expression, a column that is
            no mask, and generated cells without values. It is a ReadingError where another of
            these parameters may do.
        """
        if allow_logged and scale == "auto":
            reading = Reading(
                spatial_key, section_key, layer, um_per_unit, scale, include_generated
            )
            return cls._read_logged(reading, adata, name, unseen)
        Reading(spatial_key, section_key, layer, um_per_unit, scale)  # checks them
        check_kept(adata)
        name, rows = _section_rows(adata, name, section_key)
        coords = _coordinates(adata, rows, spatial_key, um_per_unit, copy=not lazy)
        generated = generated_cells(adata, layer)[rows]
        again = np.zeros(len(rows), bool)
        if unseen is not None and generated.any():
            again[generated] = _asked_again(adata, unseen, rows[generated], coords[generated])
        kept = np.full(len(rows), True) if include_generated else ~generated | again
        if not kept.any():
            raise ReadingError(
                f"All {len(rows)} cells of section '{name}' were generated; none was measured.",
                f"Take them too ({where('include_generated')}), or open another section.",
                "include_generated",
            )
        generated, left_out_um = (generated & ~again)[kept], coords[~kept]
        if not kept.all():
            rows, coords = rows[kept], coords[kept]
        genes = pd.Index(adata.var_names.astype(str))
        names = _packed(adata.obs_names.to_numpy(), rows)
        for listed, what in ((np.asarray(genes, str), "gene"), (names, "cell")):
            if len(repeated := _repeated(listed)):
                raise InputError(
                    f"Section '{name}' has duplicated {what} names: {', '.join(repeated)}.",
                    f"Make them unique with adata.{'var' if what == 'gene' else 'obs'}"
                    "_names_make_unique() before opening.",
                )
        if layer is not None and layer not in adata.layers:
            raise ReadingError(
                f"There is no layer '{layer}'; layers here: {layer_names(adata) or 'none'}.",
                f"Name a layer with linear expression, or use X ({where('layer')}).",
                "layer",
            )
        if adata.is_view:
            # A view takes its rows out of the whole matrix by itself.
            whole = _matrix(adata._adata_ref, layer)
            if sparse.issparse(whole):
                check_sparse(whole, _matrix_name(layer))
        values = _matrix(adata, layer)
        if values is None:
            raise ReadingError(
                "The file has no expression matrix X.",
                f"Name a layer to use ({where('layer')}).",
                "layer",
            )
        if tuple(values.shape) != adata.shape:  # nobody looks at what is left on disk before
            raise ReadingError(
                f"'{_matrix_name(layer)}' has the shape {tuple(values.shape)} in a file of"
                f" {adata.n_obs:,} cells and {adata.n_vars:,} genes.",
                f"The file is damaged: write it again, or name another layer ({where('layer')}).",
                "layer",
            )
        hidden = None if unseen is None else _hidden(adata, unseen, rows, coords)
        marked = layer is None and "log1p" in adata.uns  # scanpy's mark
        expression: Any
        if lazy and can_stay(values):
            expression = StoredRows.checked(
                values,
                rows,
                _matrix_name(layer),
                name,
                scale=scale,
                marked_logged=marked,
                unseen=hidden,
            )
        else:
            stored = take_rows(values, rows, _matrix_name(layer))
            expression = check_linear(
                stored, name, scale=scale, marked_logged=marked, unseen=hidden
            )
        if generated.any() and not expression[generated].nnz:
            raise ReadingError(
                f"{_matrix_name(layer)} holds no values of {generated.sum()} generated cells.",
                f"Name a layer that holds them, such as '{keys.COUNTS}' or '{keys.EXPRESSION}'"
                f" ({where('layer')}), or leave these cells out.",
                "layer",
            )
        if hidden is not None and not isinstance(expression, StoredRows):
            expression = without_damage(expression, hidden)
        return cls(
            name,
            coords,
            expression,
            tuple(genes),
            names,
            rows,
            spatial_key,
            section_key,
            layer,
            um_per_unit,
            scale,
            include_generated,
            draw_of(adata, layer) if generated.any() else "",
            left_out_um,
        )


def section_record(section: Section, n_cells: int) -> dict[str, Any]:
    """Return what a record says of a section of which ``n_cells`` were used."""
    told = {"name": section.name, "cells": n_cells}
    return told | ({"generated_from": section.generated_from} if section.generated_from else {})


def name_order(sections: Sequence[Section]) -> list[int]:
    """Return the indices of sections sorted by name, whatever their order in a file.

    Sections of one name, as of several files, are sorted by their cells.
    """

    def key(i: int) -> tuple[str, int, bytes]:
        section = sections[i]
        alone = [s.name for s in sections].count(section.name) == 1
        cells = b"" if alone else section.coords_um[section.order].tobytes()
        return section.name, section.n_obs, cells

    return sorted(range(len(sections)), key=key)


def cell_order(sections: Sequence[Section]) -> NDArray[np.int64]:
    """Return (n,) the cells of sections, one after another, by name and then as in ``order``."""
    starts = np.cumsum([0, *(s.n_obs for s in sections)])
    return np.concatenate([starts[i] + sections[i].order for i in name_order(sections)])


def section_names(adata: AnnData, section_key: str = keys.SECTION) -> list[str]:
    """Return the names of the sections in ``adata``, in order of first appearance.

    ``section_key`` is the column of ``obs`` that names them; where it is absent all cells are one
    section.
    """
    if section_key not in adata.obs:
        return ["section"]
    named = obs_column(adata, section_key, f"Name another one ({where('section_key')}).")
    return [str(s) for s in named.unique() if not pd.isna(s)]


def _section_rows(
    adata: AnnData, name: str | None, section_key: str
) -> tuple[str, NDArray[np.int64]]:
    names = section_names(adata, section_key)
    if not adata.n_obs or not adata.n_vars or not names:
        raise ReadingError(
            f"The file has {adata.n_obs} cells, {adata.n_vars} genes, {len(names)} sections.",
            "Open a file with cells and genes, or name another obs column of sections"
            f" ({where('section_key')}).",
            "section_key",
        )
    if name is None:
        if len(names) != 1:
            raise InputError(
                f"The file has {len(names)} sections: {few(names)}.",
                "Name one of them (--section on the command line).",
            )
        name = names[0]
    elif name not in names:
        raise ReadingError(
            f"There is no section '{name}'; sections here: {few(names)}.",
            f"Name one of them, or the obs column that names sections ({where('section_key')}).",
            "section_key",
        )
    if section_key not in adata.obs:
        return name, np.arange(adata.n_obs, dtype=np.int64)
    column = adata.obs[section_key]
    if len(names) == 1 and not column.hasnans:
        return name, np.arange(adata.n_obs, dtype=np.int64)
    codes, labels = pd.factorize(column)
    wanted = [i for i, label in enumerate(labels) if str(label) == name]
    return name, np.flatnonzero(np.isin(codes, wanted)).astype(np.int64)


def _hidden(
    adata: AnnData, unseen: str | Roi, rows: NDArray[np.int64], coords_um: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (n_obs,) bool: the cells of an obs column or in a region."""
    if isinstance(unseen, str):
        from napari_gest.tissue.roi import mask_from_obs

        return mask_from_obs(adata, unseen, rows)
    return unseen.contains(coords_um)


def _asked_again(
    adata: AnnData, unseen: str | Roi, rows: NDArray[np.int64], coords_um: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (n,) bool: which generated cells are in a region or marked in an obs column.

    New cells may have no value in the column: they are not marked then.
    """
    if not isinstance(unseen, str):
        return unseen.contains(coords_um)
    from napari_gest.tissue.roi import is_true

    column = obs_column(adata, unseen, "Name a column of booleans.", rows)
    return np.array([is_true(value) is True for value in column], bool)


def _sorted(expression: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``expression`` with the columns of each row ascending, so that sums round alike."""
    return expression if expression.has_sorted_indices else expression.sorted_indices()


def _packed(names: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.bytes_] | NDArray[np.str_]:
    """Return (n,) names of the rows as bytes where all are ASCII, else as text."""
    taken = names if len(rows) == len(names) else names[rows]
    try:
        return np.asarray(taken, np.bytes_)
    except UnicodeEncodeError:
        return np.asarray(taken, str)


def _repeated(names: NDArray[np.bytes_] | NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the first five of the names (n,) that are there more than once."""
    listed = np.sort(names)
    if not (listed[1:] == listed[:-1]).any():
        return np.empty(0, str)
    index = pd.Index(names.astype(str))
    return np.asarray(index[index.duplicated()].unique()[:5], str)


def _matrix(adata: AnnData, layer: str | None) -> Any:
    return adata.X if layer is None else adata.layers[layer]


def _matrix_name(layer: str | None) -> str:
    return "X" if layer is None else f"layers/{layer}"


def stored_coordinates(adata: AnnData, spatial_key: str) -> NDArray[np.float64]:
    """Return (adata.n_obs, 2) x y as stored, or raise ReadingError; some may be missing."""
    if spatial_key not in adata.obsm:
        raise ReadingError(
            f"There are no coordinates obsm['{spatial_key}'];"
            f" obsm here: {list(adata.obsm) or 'none'}.",
            f"Name the key that holds them ({where('spatial_key')}).",
            "spatial_key",
        )
    try:
        stored = np.asarray(adata.obsm[spatial_key], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ReadingError(
            f"obsm['{spatial_key}'] is not numeric.",
            f"Name the key of the coordinates ({where('spatial_key')}).",
            "spatial_key",
        ) from error
    if stored.ndim != 2 or stored.shape[1] < 2:
        raise ReadingError(
            f"obsm['{spatial_key}'] has shape {stored.shape}; coordinates need columns x and y.",
            f"Name the key that holds them ({where('spatial_key')}).",
            "spatial_key",
        )
    return stored[:, :2]


def _coordinates(
    adata: AnnData, rows: NDArray[np.int64], spatial_key: str, um_per_unit: float, *, copy: bool
) -> NDArray[np.float64]:
    """Return (n, 2) um of the rows, checked; maybe those of ``adata`` itself unless ``copy``."""
    stored = stored_coordinates(adata, spatial_key)
    coords = stored if len(rows) == len(stored) else stored[rows]
    bad = ~np.isfinite(coords).all(axis=1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {len(rows)} cells have missing or infinite coordinates"
            f" (first: row {rows[np.flatnonzero(bad)[0]]}).",
            "Remove these cells or fill in their positions.",
        )
    if copy or um_per_unit != 1:
        with np.errstate(over="ignore"):
            coords = coords * um_per_unit
    low, high = coords.min(axis=0), coords.max(axis=0)
    farthest, extent = float(np.maximum(-low, high).max()), float((high - low).max())
    if farthest > MOST_UM:
        raise ReadingError(
            f"Cells lie {farthest:.3g} um from the origin; {MOST_UM:g} um is the most.",
            f"Say how long a unit of the coordinates is ({where('um_per_unit')}), or name others"
            f" ({where('spatial_key')}).",
            "um_per_unit",
        )
    if len(rows) > 1 and extent < _LEAST_EXTENT_UM:
        raise ReadingError(
            f"All {len(rows)} cells lie in one place (within {extent:.3g} um).",
            f"Name the key that holds their positions ({where('spatial_key')}), or say how long a"
            f" unit is ({where('um_per_unit')}).",
            "spatial_key" if extent == 0 else "um_per_unit",
        )
    return coords
