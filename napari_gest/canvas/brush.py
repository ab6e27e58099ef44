"""A brush on the canvas that adds cells to a region or takes them away."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Literal

import shapely
from napari.layers import Points

from napari_gest.app.regions import Stroke
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import to_um

Mode = Literal["add", "remove"]


class Brush:
    """Paints on the section in use.

    Parameters
    ----------
    scene
        Where it paints.
    on_stroke
        Called with the stroke so far at every step of one.
    on_done
        Called with the stroke when the button is released.
    """

    def __init__(
        self,
        scene: Scene,
        on_stroke: Callable[[Stroke], None],
        on_done: Callable[[Stroke], None],
    ) -> None:
        self.scene = scene
        self.radius_um = 20.0
        self.mode: Mode | None = None
        self._on_stroke, self._on_done = on_stroke, on_done
        self._layer: Points | None = None

    def start(self, mode: Mode) -> None:
        """Paint with the left button, on the rings of the cells, until ``stop``."""
        layer = self.scene.marked() or self.scene.add_marks()
        self.stop()
        self.mode, self._layer = mode, layer
        self.scene.viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        layer.mouse_pan = False  # or dragging would move the canvas
        layer.cursor = "crosshair"
        layer.mouse_drag_callbacks.append(self._drag)

    def stop(self) -> None:
        """Let the mouse move the canvas again."""
        if self._layer is not None:
            self._layer.mouse_pan = True
            self._layer.cursor = "standard"
            if self._drag in self._layer.mouse_drag_callbacks:
                self._layer.mouse_drag_callbacks.remove(self._drag)
        self.mode = self._layer = None

    def _drag(self, layer: Points, event: Any) -> Generator[None, None, None]:
        if self.mode is None or event.button != 1 or self.scene.active_layer is None:
            return
        path = [event.position]
        self._on_stroke(self._stroke(path))
        yield
        while event.type == "mouse_move":
            path.append(event.position)
            self._on_stroke(self._stroke(path))
            yield
        self._on_done(self._stroke(path))

    def _stroke(self, path: list[Any]) -> Stroke:
        points = to_um(path, self.scene.active_layer)
        line = shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0])
        return Stroke.of(self.scene.active.label, self.mode, line.buffer(self.radius_um))
