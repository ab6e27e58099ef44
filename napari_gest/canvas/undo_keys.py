"""Ctrl+Z and Ctrl+Shift+Z on the plugin's own layers; napari's undo stays elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari_gest.canvas.shapes import role_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

_UNDO, _REDO = "Control-Z", "Control-Shift-Z"


class UndoKeys:
    """Binds the keys on each of the plugin's layers to what they do, while the dock is there."""

    def __init__(
        self, viewer: Viewer, undo: Callable[[], object], redo: Callable[[], object]
    ) -> None:
        self.viewer = viewer
        self._undo, self._redo = undo, redo
        self._bound: WeakSet[Layer] = WeakSet()
        # Last: a copy of a layer is one of the plugin's until the scene has seen it.
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        for layer in viewer.layers:
            self._bind(layer)

    def detach(self) -> None:
        """Leave the keys to napari again."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._bound:
            layer.bind_key(_UNDO, None)
            layer.bind_key(_REDO, None)
        self._bound.clear()

    def _on_inserted(self, event: Any) -> None:
        self._bind(event.value)

    def _bind(self, layer: Layer) -> None:
        if role_of(layer) is not None and layer not in self._bound:
            layer.bind_key(_UNDO, lambda _: self._undo(), overwrite=True)
            layer.bind_key(_REDO, lambda _: self._redo(), overwrite=True)
            self._bound.add(layer)
