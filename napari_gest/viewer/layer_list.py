"""Adds and removes layers with as little to do at once as napari lets it be."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_gest.viewer import garbage
from napari_gest.viewer.turns import later

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QWidget


def add_layer(viewer: Viewer, data: tuple[Any, dict[str, Any], str], index: int = -1) -> Layer:
    """Add a layer beneath the one at ``index``, or on top; what was selected stays selected.

    napari takes 0.1 s to add one, whatever is in it. To select it, and then again what was
    selected before, takes another 0.1 s, and to draw it first 0.1 s, most of it to write its
    OpenGL program. So it is not selected, and is drawn in turns of their own.
    """
    layer = Layer.create(*data)
    layers, selection = viewer.layers, viewer.layers.selection
    before, current = set(selection), selection._current
    _draw_in_turns(viewer)
    with selection.events.blocker_all():
        layers.insert(len(layers) if index < 0 else index, layer)
        selection.clear()
        selection.update(one for one in before if one in layers)
        selection._current = current  # where the arrow keys go on from
    return layer


def remove_layer(viewer: Viewer, layer: Layer) -> None:
    """Take a layer off a viewer.

    napari then looks for garbage among all there is, 0.2 s, so that on Windows no OpenGL object
    outlives its canvas. Elsewhere what is left of the layer can wait for Python to look.
    """
    if sys.platform == "win32":
        viewer.layers.remove(layer)
        return
    garbage.hold()
    try:
        viewer.layers.remove(layer)
    finally:
        garbage.release()


def _draw_in_turns(viewer: Viewer) -> None:
    """Have what a new layer changes of the window drawn piece after piece, after this turn."""
    window = viewer.window._qt_viewer
    for piece in (window.controls, window.layers, window.canvas.native):
        if piece.updatesEnabled():  # else it waits for its turn already
            piece.setUpdatesEnabled(False)
            later(partial(_draw, piece))


def _draw(piece: QWidget) -> None:
    with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
        piece.setUpdatesEnabled(True)
