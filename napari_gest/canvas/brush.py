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
    on_left
        Called when another layer was selected, so that the brush was put aside.
    """

    def __init__(
        self,
        scene: Scene,
        on_stroke: Callable[[Stroke], None],
        on_done: Callable[[Stroke], None],
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self.scene = scene
        self.radius_um = 20.0
        self.mode: Mode | None = None
        self._on_stroke, self._on_done, self._on_left = on_stroke, on_done, on_left
        self._layer: Points | None = None

    def start(self, mode: Mode) -> None:
        """Paint with the left button, on the rings of the cells, until ``stop``."""
        self.stop()
        layer = self.scene.marked() or self.scene.add_marks()
        self.mode, self._layer = mode, layer
        selection = self.scene.viewer.layers.selection
        selection.active = layer
        layer.mode = "pan_zoom"
        layer.mouse_pan = False  # or dragging would move the canvas
        layer.cursor = "crosshair"
        layer.mouse_drag_callbacks.append(self._drag)
        selection.events.active.connect(self._on_selected)

    def stop(self) -> None:
        """Let the mouse move the canvas again."""
        if self._layer is not None:
            self.scene.viewer.layers.selection.events.active.disconnect(self._on_selected)
            self._layer.mouse_pan = True
            self._layer.cursor = "standard"
            if self._drag in self._layer.mouse_drag_callbacks:
                self._layer.mouse_drag_callbacks.remove(self._drag)
        self.mode = self._layer = None

    def _on_selected(self, event: Any) -> None:
        if event.value is not self._layer:
            self.stop()
            self._on_left()

    def _drag(self, layer: Points, event: Any) -> Generator[None, None, None]:
        if self.mode is None or event.button != 1 or self.scene.active_layer is None:
            return
        label, path = self.scene.active.label, [event.position]
        self._on_stroke(self._stroke(path))
        yield
        while event.type == "mouse_move":
            if self._paints_on(label):
                path.append(event.position)
                self._on_stroke(self._stroke(path))
            yield
        if self._paints_on(label):
            self._on_done(self._stroke(path))

    def _paints_on(self, label: str) -> bool:
        """Tell whether a stroke may go on: a section can close while the button is down."""
        opened = self.scene.active
        return self.mode is not None and opened is not None and opened.label == label

    def _stroke(self, path: list[Any]) -> Stroke:
        points = to_um(path, self.scene.active_layer)
        line = shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0])
        return Stroke.of(self.scene.active.label, self.mode, line.buffer(self.radius_um))
