"""A line in the region at the depth where the gain ends, as the check that is looked at says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shapely import MultiPolygon, Polygon

from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.canvas.line_layer import LayerData, LineLayer
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import CHECKED_DEPTH, META, ROLE, UM_AXES, to_lines

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_gest.tissue.roi import Roi

NAME = "beyond this line: no better than the section's mean"
_COLOR = "#E0219E"  # seen on black and on white, and no colour of a region or an outline
_WIDTH = 1.0  # of an outline: thinner lines are lost between the pixels
_FOLLOWED = frozenset({"sections", "shapes", "choices", "runs", "shown"})


class CheckContour:
    """Shows the line of the check that is looked at, for as long as it holds.

    It is a picture: to move or delete it changes no region.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.lines = LineLayer(scene, CHECKED_DEPTH, self._data)
        scene.session.changed.connect(self._on_changed)
        self._mirror()

    def detach(self) -> None:
        """Follow the session no more."""
        self.scene.session.changed.disconnect(self._on_changed, missing_ok=True)
        self.lines.close()

    def _on_changed(self, changed: frozenset[str]) -> None:
        if changed & _FOLLOWED:
            self._mirror()

    def _mirror(self) -> None:
        entry = self._wanted()
        self.lines.show(None if entry is None else (entry.id, id(entry.outcome)))

    def _wanted(self) -> RunEntry | None:
        """Return the check whose line is to be seen: it has one, and its region is as it was."""
        state = self.scene.session.state
        entry = state.shown_run("check")
        if entry is None or entry.outcome.beyond is None or why_stale(entry, state) is not None:
            return None
        return entry

    def _data(self) -> LayerData | None:
        entry = self._wanted()
        label = None if entry is None else entry.run.generation.snapshot.label
        cells = self.scene.cells().get(label or "")
        if entry is None or cells is None:
            return None
        return contour_layer(entry.outcome.beyond, cells, _WIDTH * self.scene.outline_um())


def contour_layer(beyond: Roi, cells: Layer, width_um: float) -> LayerData:
    """Return the layer data tuple of a line around what is too deep, on a section's layer."""
    area = beyond.geometry
    lines = to_lines(MultiPolygon([area]) if isinstance(area, Polygon) else area, cells)
    settings = {
        "name": NAME,
        "shape_type": "path",
        "edge_color": _COLOR,
        "face_color": "transparent",
        "edge_width": width_um,
        "opacity": 1.0,
        "metadata": {META: {ROLE: CHECKED_DEPTH}},
        **UM_AXES,
    }
    return lines, settings, "shapes"
