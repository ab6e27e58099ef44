"""Columns of obs, checked to be there once and to hold plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_gest.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_LISTED = 20  # names that an error lists


def obs_column(
    adata: AnnData, key: str, remedy: str = "Name another column.", rows: Any = None
) -> pd.Series:
    """Return the obs column ``key``, of all cells or of ``rows`` (n,).

    Raises
    ------
    InputError
        If it is absent, there more than once, or holds lists or other objects that are no names,
        numbers or truth values.
    """
    if key not in adata.obs:
        raise InputError(
            f"There is no obs column '{key}'; columns here: {few(adata.obs.columns)}.", remedy
        )
    column = adata.obs[key]
    if not isinstance(column, pd.Series):
        raise InputError(f"obs has more than one column '{key}'.", "Rename all but one of them.")
    if rows is not None:
        column = column.iloc[rows]
    if column.dtype == object:
        try:
            column.nunique()
        except TypeError as error:
            raise InputError(
                f"obs['{key}'] holds objects that are neither names nor numbers.", remedy
            ) from error
    return column


def few(names: Iterable[Any]) -> str:
    """Return the first names of many, with commas."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return (", ".join(listed[:_LISTED]) + more) or "none"
