"""Names of cells as bytes while nobody asks for them: as Python text each takes 70 bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_gest.memory import give_back

if TYPE_CHECKING:
    from anndata import AnnData

_AT_ONCE = 65_536  # names that are made at a time


@contextmanager
def packed_names(adata: AnnData) -> Iterator[None]:
    """Keep the names of cells as bytes meanwhile; afterwards ``adata`` has them as before.

    For work that takes long and needs no names of ``adata``, whose ``obs`` is numbered meanwhile.
    Names that are not ASCII, or are no plain text, stay as they are.

    Parameters
    ----------
    adata
        Cells x genes. Nobody else may use its ``obs`` meanwhile.
    """
    index = adata.obs.index
    try:
        packed = np.asarray(index.to_numpy(), np.bytes_) if type(index) is pd.Index else None
    except UnicodeEncodeError:
        packed = None
    # Zeros at the end of bytes are padding; lengths tell whether any belongs to a name.
    if (
        packed is None
        or index.dtype != object
        or int(np.char.str_len(packed).sum()) != sum(map(len, index))
    ):
        yield
        return
    name = index.name
    del index
    adata.obs.index = pd.RangeIndex(len(packed))
    give_back()
    try:
        yield
    finally:
        give_back()
        text = np.empty(len(packed), object)
        for start in range(0, len(packed), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            text[part] = packed[part].astype(str).astype(object)
        adata.obs.index = pd.Index(text, name=name)
