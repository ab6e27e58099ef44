"""What earlier runs wrote of cells that are generated again, and that is not of the new result."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.tissue.kept import kept_column

if TYPE_CHECKING:
    from anndata import AnnData

_OURS, _CONFIDENT = "gest_", "_confidence"
# Kept beside the niches of generated cells; they mean nothing without them.
_BESIDE_NICHES = (keys.GENERATED_NICHE_COLORS, keys.GENERATED_NICHED)


def clear_earlier(adata: AnnData, again: NDArray[np.int64], own: Collection[str]) -> set[str]:
    """Clear donors, types and niches of cells that are generated again.

    A column in which no cell has a value any more is removed. Columns are replaced, never changed
    in place.

    Parameters
    ----------
    adata
        The tissue.
    again
        (m,) rows of the cells that were generated before and are generated again.
    own
        The obs columns that the new result writes; they stay as they are.

    Returns
    -------
    The names of the keys that changed.
    """
    changed: set[str] = set()
    for key in (keys.DONOR, keys.GENERATED_NICHE, *_type_columns(adata)):
        if key in own or key not in adata.obs or not adata.obs[key].iloc[again].notna().any():
            continue
        changed.add(key)
        left = _without(adata.obs[key], again)
        confidence = key + _CONFIDENT
        beside = confidence in adata.obs and key not in (keys.DONOR, keys.GENERATED_NICHE)
        if left.notna().any():
            adata.obs[key] = left
            if beside:
                values = kept_column(adata, confidence)
                values[again] = np.nan
                adata.obs[confidence] = values
        else:
            del adata.obs[key]
            if beside:
                del adata.obs[confidence]
            if key == keys.GENERATED_NICHE:
                changed |= {
                    name for name in _BESIDE_NICHES if adata.uns.pop(name, None) is not None
                }
        if beside:
            changed.add(confidence)
    return changed


def _type_columns(adata: AnnData) -> list[str]:
    """Return the obs columns that hold types of generated cells, as ``NamedTypes`` writes them."""
    others = {value for value in vars(keys).values() if isinstance(value, str)}
    return [
        key
        for key in map(str, adata.obs.columns)
        if key.startswith(_OURS) and key not in others and key + _CONFIDENT in adata.obs
    ]


def _without(column: pd.Series, rows: NDArray[np.int64]) -> pd.Series:
    """Return a copy of a column of names without a value in some rows."""
    gone = np.zeros(len(column), bool)
    gone[rows] = True
    left = column.mask(gone)
    if isinstance(left.dtype, pd.CategoricalDtype) and column.name == keys.DONOR:
        return left.cat.remove_unused_categories()
    return left
