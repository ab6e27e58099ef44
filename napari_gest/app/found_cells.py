"""Generated cells that a file holds of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from napari_gest import keys
from napari_gest.errors import GestError
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tissue.kept import kept_column

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.tissue.section import Section


def generated_in(adata: AnnData, section: Section) -> Generated | None:
    """Return the generated cells of a section that its tissue holds.

    None where there are none, or what is there is not what this program writes.
    """
    if keys.GENERATED not in adata.obs or keys.EXPRESSION not in adata.layers:
        return None
    try:
        return _read(adata, section)
    except (GestError, KeyError, TypeError, ValueError, IndexError):
        return None


def _read(adata: AnnData, section: Section) -> Generated | None:
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
    known = np.asarray(np.isfinite(expression).all(axis=0), bool)  # genes that the model knows
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
        donor=_donors(adata, section, rows),
        expected=_expected(adata, rows, known),
    )


def _expected(
    adata: AnnData, rows: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """Return (n, G) the expected expression; None where the file says it of no cell."""
    if keys.EXPECTED not in adata.layers:
        return None
    expected = _rows(adata.layers[keys.EXPECTED], rows)[:, known]
    return None if np.isnan(expected).all() else np.ascontiguousarray(expected)


def _donors(adata: AnnData, section: Section, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return (n,) index of the donors in the section; None unless all are named and there."""
    if keys.DONOR not in adata.obs:
        return None
    names = adata.obs[keys.DONOR].to_numpy(object)[rows]
    places = pd.Index(section.obs_names)
    if not places.is_unique:
        return None
    donor = np.asarray(places.get_indexer(pd.Index(names)), np.int64)
    return donor if (donor >= 0).all() else None


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
