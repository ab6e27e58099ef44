"""The small picture of a layer of cells in the list of layers."""

from __future__ import annotations

import numpy as np
from napari.layers import Points

_SIDE, _MOST = 32, 4096  # pixels; cells that are drawn


def refresh_thumbnail(layer: Points) -> None:
    """Draw the thumbnail of a layer anew, from cells all over it.

    napari looks at all cells first, 0.15 s for a million, and then draws some at random.
    """
    cells = np.arange(0, len(layer.data), max(len(layer.data) // _MOST, 1))
    if not len(cells) or not layer.visible:
        return
    low, high = layer.extent.data
    scale = (_SIDE - 1) / max(float((high - low).max()), 1e-9)
    shape = (np.round((high - low) * scale).astype(int) + 1).tolist()
    row, column = np.round((layer.data[cells] - low) * scale).astype(int).T
    picture = np.zeros((*shape, 4), np.float32)
    picture[..., 3] = 1
    picture[row, column] = layer.face_color[cells]
    picture[..., 3] *= layer.opacity
    layer.thumbnail = picture
