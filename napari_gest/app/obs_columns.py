"""Which obs columns of a section can be coloured by, learned from, or mark cells."""

from __future__ import annotations

import pandas as pd

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.opened import Opened

_LIKELY = ("cell_type", "celltype", "type", "cluster", "class", "region", "leiden")
_MOST_CATEGORIES = 300


def likely_column(names: list[str]) -> str | None:
    """Return the one of some obs columns that looks most like cell types, if any does."""
    found = [c for likely in _LIKELY for c in names if likely in c.lower()]
    return found[0] if found else None


def columns(opened: Opened) -> list[str]:
    """Return the obs columns one can colour by: numbers, and names that repeat."""
    found = []
    for key in opened.adata.obs:
        named = colors.is_categorical(opened.adata.obs[key])
        few = not named or opened.n_names(key) <= _MOST_CATEGORIES
        if few and key != keys.META_CELL:
            found.append(str(key))
    return found


def label_columns(opened: Opened) -> list[str]:
    """Return the obs columns that name groups of cells."""
    return [
        str(key)
        for key in opened.adata.obs
        if colors.is_categorical(opened.adata.obs[key])
        and 1 < len(opened.names(key)) <= _MOST_CATEGORIES
    ]


def has_label(opened: Opened, column: str, name: str) -> bool:
    """Tell whether cells of a section have a label in an obs column."""
    return column in opened.adata.obs and name in opened.names(column)


def masks(opened: Opened) -> list[str]:
    """Return the boolean obs columns that mark some but not all cells of a section."""
    obs = opened.adata.obs
    keys = (str(key) for key in obs if pd.api.types.is_bool_dtype(obs[key]))
    return [key for key in keys if opened.marks_some(key)]
