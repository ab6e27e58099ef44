"""How the canvas draws the plugin's layers: one way for all docks of a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Points, Shapes

from napari_gest.canvas._napari_private.attributes import layer_visual
from napari_gest.canvas._napari_private.layer_parts import Parts
from napari_gest.canvas._napari_private.letters import make_letters
from napari_gest.canvas._napari_private.rasterized_points import RasterizedLayers
from napari_gest.canvas._napari_private.text_halo import TextHalos
from napari_gest.canvas.shapes import role_of

if TYPE_CHECKING:
    from napari import Viewer


class PartialRedraw:
    """Follows the plugin's layers in a viewer, for what draws less of them, and texts better."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.rasterized = RasterizedLayers(viewer)
        self.parts, self.halos = Parts(), TextHalos(viewer)
        self._users = 0
        # After napari has made what draws a layer, or let go of it.
        viewer.layers.events.inserted.connect(self.on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed, position="last")
        for layer in viewer.layers:
            self._follow(layer)
        make_letters(viewer)

    @classmethod
    def of(cls, viewer: Viewer) -> PartialRedraw:
        """Return the one of a viewer, to be released by whoever asked for it."""
        if viewer not in _DRAWINGS:
            _DRAWINGS[viewer] = cls(viewer)
        _DRAWINGS[viewer]._users += 1
        return _DRAWINGS[viewer]

    @classmethod
    def present(cls, viewer: Viewer) -> PartialRedraw | None:
        """Return the one of a viewer, if it has one."""
        return _DRAWINGS.get(viewer)

    def release(self) -> None:
        """Need it no more. When nobody does, napari draws everything itself again."""
        self._users -= 1
        if self._users == 0:
            del _DRAWINGS[self.viewer]
            self.viewer.layers.events.inserted.disconnect(self.on_inserted)
            self.viewer.layers.events.removed.disconnect(self._on_removed)
            self.rasterized.detach()
            self.parts.detach()
            self.halos.detach()

    def on_inserted(self, event: Any) -> None:
        """Follow a layer that napari has made what it draws for."""
        self._follow(event.value)

    def _on_removed(self, event: Any) -> None:
        self.rasterized.forget(event.value)
        self.parts.forget(event.value)
        self.halos.forget(event.value)

    def _follow(self, layer: Any) -> None:
        if isinstance(layer, Points) and role_of(layer) is not None:
            node = layer_visual(self.viewer, layer)
            if node is not None:
                self.rasterized.follow(layer, node)
                self.parts.follow(layer, node)
        elif isinstance(layer, Shapes) and role_of(layer) is not None:
            node = layer_visual(self.viewer, layer)
            if node is not None:
                self.parts.follow(layer, node)
            self.halos.follow(layer)


_DRAWINGS: dict[Viewer, PartialRedraw] = {}
