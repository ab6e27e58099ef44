"""Columns of obs, checked to exist once and to hold plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        If it is absent or duplicated, or holds lists or other objects that are not names, numbers
        or truth values.
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


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order: "2" before "10", and by value where all are numbers."""
    listed = list(names)
    try:
        return sorted(listed, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(listed, key=_natural)


def shown_order(column: pd.Series) -> NDArray[np.int64]:
    """Return (k,) the order in which the k categories of a categorical column are shown.

    It is the natural order, unless the categories are ordered or not sorted as text: then their
    order was chosen by someone and is kept.
    """
    names = [str(name) for name in column.cat.categories]
    if column.cat.ordered or names != sorted(names):
        return np.arange(len(names))
    place = {name: i for i, name in enumerate(natural_order(names))}
    return np.argsort([place[name] for name in names], kind="stable").astype(np.int64)


def names_in(column: pd.Series) -> list[str]:
    """Return the different names in a column, missing ones left out, in ``shown_order``."""
    column = column.astype("category")
    present = set(column.cat.codes.unique())
    return [str(column.cat.categories[i]) for i in shown_order(column) if i in present]


def _natural(name: str) -> tuple[list[tuple[int, str] | str], str]:
    parts: list[tuple[int, str] | str] = list(re.split(r"(\d+)", name))
    for i in range(1, len(parts), 2):  # numbers of any length: first by their number of digits
        digits = str(parts[i]).lstrip("0")
        parts[i] = len(digits), digits
    return parts, name
