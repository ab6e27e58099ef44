"""AnnData written to zarr as anndata writes it, long columns some cells at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

_AT_ONCE = 100_000  # rows of an array that are written at a time: a chunk


def to_zarr(adata: AnnData, folder: Path, *, zarr_format: int) -> None:
    """Write ``adata`` to a new folder.

    Names and positions would take another 100 bytes a cell, if all were written at once.

    Parameters
    ----------
    adata
        Cells x genes. Text in ``obs`` and ``var`` that repeats becomes categorical, as anndata has
        it.
    folder
        What is there is lost.
    zarr_format
        2 or 3.
    """
    import zarr
    from anndata.experimental import write_dispatched

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    group = zarr.open_group(folder, mode="w", zarr_format=2 if zarr_format == 2 else 3)
    write_dispatched(group, "/", adata, callback=_write)
    zarr.consolidate_metadata(folder)


def _write(
    write: Callable[..., None],
    group: Any,
    key: str,
    element: Any,
    *,
    dataset_kwargs: Mapping[str, Any],
    iospec: Any,
) -> None:
    """Write an element of an AnnData; of a long array the first rows make it, and others follow."""
    long = isinstance(element, np.ndarray) and element.ndim and len(element) > _AT_ONCE
    if not long or element.dtype.kind not in "biufO":
        write(group, key, element, dataset_kwargs=dataset_kwargs)
        return
    chunks = (_AT_ONCE, *element.shape[1:])
    about = {"chunks": chunks, **dataset_kwargs}
    write(group, key, element[:_AT_ONCE], dataset_kwargs=about)
    made = group[key]
    made.resize(element.shape)
    for start in range(_AT_ONCE, len(element), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        made[part] = element[part]
