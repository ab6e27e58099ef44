"""A layer of lines that shows something of the session, and is made anew in a later turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.shapes import role_of

if TYPE_CHECKING:
    from napari.layers import Shapes

    from napari_gest.canvas.scene import Scene

LayerData = tuple[Any, dict[str, Any], str]


class LineLayer:
    """Keeps the layer of a role in step with what is to be seen. It is a picture, no region.

    To add a layer takes the window 0.1 s, so that has a turn of its own; much may have changed
    until then. Users may hide the layer, or remove it: it comes back when it is to show something
    else, hidden if it was.

    Parameters
    ----------
    scene
        Where it is drawn.
    role
        What the layer is used for.
    make
        Returns the layer data tuple of what is to be seen now; None where there is nothing.
    """

    def __init__(self, scene: Scene, role: str, make: Callable[[], LayerData | None]) -> None:
        self.scene, self.role = scene, role
        self._make = make
        self._wanted: object = None
        self._drawn: object = None
        self._visible, self._closed = True, False

    @property
    def layer(self) -> Shapes | None:
        """The layer, if it is there."""
        found = [one for one in self.scene.viewer.layers if role_of(one) == self.role]
        return found[-1] if found else None

    def show(self, wanted: object) -> bool:
        """Draw the layer anew if ``wanted``, which is compared, differs from what is drawn.

        None: nothing is to be seen. Return whether it differs.
        """
        if wanted == self._wanted:
            return False
        self._wanted = wanted
        call_later(self.draw)
        return True

    def close(self) -> None:
        """Draw nothing any more; what is drawn stays."""
        self._closed = True

    def draw(self) -> None:
        """Draw what is to be seen now, unless it is drawn."""
        if self._closed or self._wanted == self._drawn:
            return
        self._drawn = self._wanted
        layer = self.layer
        if layer is not None:
            self._visible = layer.visible
            self.scene.remove(layer)
        data = None if self._wanted is None else self._make()
        if data is not None:
            data[1]["visible"] = self._visible
            self.scene.add_lines(data)
