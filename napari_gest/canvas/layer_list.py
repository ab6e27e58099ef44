"""Adds and removes layers with as little to do at once as napari lets it be."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer, Points
from napari.utils.events import Event

from napari_gest.canvas import gc_pause
from napari_gest.canvas._napari_private.attributes import LayerMakers, layer_makers
from napari_gest.canvas._napari_private.partial_redraw import PartialRedraw
from napari_gest.canvas._napari_private.plain_symbols import hold_plain_symbols
from napari_gest.canvas.event_loop import call_later

if TYPE_CHECKING:
    from napari import Viewer
    from napari.utils.events.containers import Selection
    from qtpy.QtWidgets import QWidget
    from vispy.scene import SceneCanvas


def add_layer(
    viewer: Viewer, data: Layer | tuple[Any, dict[str, Any], str], index: int = -1
) -> Layer:
    """Add a layer beneath the one at ``index``, or on top; what was selected stays selected.

    napari takes 0.1 s to add one, whatever is in it. To select it, and then again what was
    selected before, takes another 0.1 s, and to draw it first 0.1 s, most of it to write its
    OpenGL program. So it is not selected, and the window follows in turns of their own.
    """
    layer = data if isinstance(data, Layer) else Layer.create(*data)
    if isinstance(layer, Points):
        hold_plain_symbols(layer)
    layers, selection = viewer.layers, viewer.layers.selection
    index = len(layers) if index < 0 else index
    before = {one for one in selection if one in layers}
    makers = layer_makers(viewer)
    if makers is None:
        layers.insert(index, layer)
        _select(selection, before)
        return layer
    current = selection._current
    arrival = _Arrival(viewer, layer, makers)
    _draw_in_turns(makers)
    with selection.events.blocker_all():
        arrival.insert(index)
        _select(selection, before)
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
    gc_pause.hold()
    try:
        viewer.layers.remove(layer)
    finally:
        gc_pause.release()


def _select(selection: Selection[Layer], layers: set[Layer]) -> None:
    selection.clear()
    selection.update(layers)


class _Arrival:
    """What the window makes for a new layer, each in a turn: what draws it, and its controls.

    Whatever expects all of it to be there has the rest made at once.
    """

    def __init__(self, viewer: Viewer, layer: Layer, makers: LayerMakers) -> None:
        drawing = PartialRedraw.present(viewer)
        follow = [] if drawing is None else [drawing.on_inserted]
        self._layers, self._layer = viewer.layers, layer
        self._makers = deque([makers.add_visual, *follow, makers.add_controls])
        events = viewer.layers.events
        self._expecting = events.inserting, events.removing, viewer.layers.selection.events.changed
        for _ in self._makers:
            call_later(self._make)

    def insert(self, index: int) -> None:
        """Put the layer into the viewer's list."""
        with contextlib.ExitStack() as put_off:
            for maker in self._makers:
                put_off.enter_context(self._layers.events.inserted.blocker(maker))
            self._layers.insert(index, self._layer)
        for emitter in self._expecting:
            emitter.connect(self._finish, position="first")

    def _finish(self, _event: Any = None) -> None:
        while self._makers:
            self._make()

    def _make(self) -> None:
        if not self._makers:
            return
        make = self._makers.popleft()
        if not self._makers:
            for emitter in self._expecting:
                emitter.disconnect(self._finish)
        with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
            make(Event("inserted", value=self._layer))


def draw_in_turns(viewer: Viewer) -> None:
    """Have what this turn changes of the window drawn piece after piece, in later turns."""
    makers = layer_makers(viewer)
    if makers is not None:
        _draw_in_turns(makers)


def _draw_in_turns(makers: LayerMakers) -> None:
    if not makers.native.updatesEnabled():
        return  # they wait for their turn already
    for piece in (*makers.panels, makers.native):
        piece.setUpdatesEnabled(False)
    call_later(partial(_draw, makers.panels))
    call_later(partial(_write_programs, makers.canvas))
    call_later(partial(_draw, [makers.native]))


def _write_programs(canvas: SceneCanvas) -> None:
    """Have OpenGL compile what the canvas will need: one pixel is drawn, which nobody sees."""
    with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
        # Without its own context it would draw into whichever is current, with other buffers.
        if canvas.native.isValid():
            canvas.render(size=(1, 1))


def _draw(pieces: Iterable[QWidget]) -> None:
    with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
        for piece in pieces:
            piece.setUpdatesEnabled(True)
