"""A brush on the canvas that adds cells to a region or takes them away."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import shapely
from napari.layers import Points
from shapely import MultiPolygon, Polygon

from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import to_um
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi

Mode = Literal["add", "remove"]


@dataclass(frozen=True)
class Stroke:
    """What the brush was dragged over.

    Attributes
    ----------
    mode
        Whether it is added or removed.
    area
        Polygon or polygons, um, axis order (x, y).
    """

    mode: Mode
    area: Polygon | MultiPolygon


class Brush:
    """Collects strokes on the active section. ``on_stroke`` is called at every step of one."""

    def __init__(self, scene: Scene, on_stroke: Callable[[], None]) -> None:
        self.scene = scene
        self.radius_um = 20.0
        self.strokes: list[Stroke] = []
        self.mode: Mode | None = None
        self._on_stroke = on_stroke
        self._layer: Points | None = None

    def start(self, mode: Mode) -> None:
        """Paint with the left button, on the rings of the cells, until ``stop``."""
        layer = self.scene.marked()
        if layer is None:
            layer = self.scene.mark(self.scene.active.section.coords_um[:0])
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
        cells = self.scene.active_layer
        if self.mode is None or event.button != 1 or cells is None:
            return
        path = [event.position]
        before = list(self.strokes)
        self._paint(before, path)
        yield
        while event.type == "mouse_move":
            path.append(event.position)
            self._paint(before, path)
            yield

    def _paint(self, before: list[Stroke], path: list[Any]) -> None:
        points = to_um(path, self.scene.active_layer)
        line = shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0])
        self.strokes = [*before, Stroke(self.mode, line.buffer(self.radius_um))]
        self._on_stroke()


def brushed(drawn: Roi | None, strokes: Sequence[Stroke]) -> Roi:
    """Return a region after strokes of the brush, in their order.

    Raises
    ------
    InputError
        If nothing is left of it.
    """
    area = Polygon() if drawn is None else drawn.geometry
    for stroke in strokes:
        change = area.union if stroke.mode == "add" else area.difference
        area = change(stroke.area)
    if isinstance(area, Polygon | MultiPolygon) and area.area > 0:
        return Roi(area)
    raise InputError(
        "There is no region to edit.", "Choose a tool or the brush, then mark cells on the canvas."
    )
