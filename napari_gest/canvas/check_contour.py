"""A line in the region at the depth where the gain ends, as the check that is looked at says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from shapely import MultiPolygon, Polygon

from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.canvas.layer_list import remove_layer
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import CHECKED_DEPTH, META, ROLE, UM_AXES, role_of, to_lines

if TYPE_CHECKING:
    from napari_gest.app.runs.check import CheckOutcome

NAME = "beyond this line: no better than the section's mean"
_COLOR = "#F0682A"  # seen on black and on white, and no colour of a region
_WIDTH = 1.0  # of an outline: thinner lines are lost between the pixels
_FOLLOWED = frozenset({"sections", "shapes", "choices", "runs", "shown"})


class CheckContour:
    """Shows the line of the check that is looked at, for as long as it holds.

    It is a picture: to move or delete it changes no region.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._shown: tuple[Any, ...] | None = None
        scene.session.changed.connect(self._on_changed)
        self._mirror()

    def detach(self) -> None:
        """Follow the session no more."""
        self.scene.session.changed.disconnect(self._on_changed, missing_ok=True)
        self._shown = None

    @property
    def layer(self) -> Layer | None:
        """The layer of the line, or None."""
        return next((x for x in self.scene.viewer.layers if role_of(x) == CHECKED_DEPTH), None)

    def _on_changed(self, changed: frozenset[str]) -> None:
        if changed & _FOLLOWED:
            self._mirror()

    def _mirror(self) -> None:
        entry = self._wanted()
        wanted = None if entry is None else (entry.id, id(entry.outcome))
        if wanted == self._shown:
            return
        self._shown = wanted
        layer = self.layer
        if layer is not None:
            remove_layer(self.scene.viewer, layer)
        if entry is not None:
            self._draw(entry.outcome)

    def _wanted(self) -> RunEntry | None:
        """Return the check whose line is to be seen: it has one, and its region is as it was."""
        state = self.scene.session.state
        entry = state.shown_run("check")
        if entry is None or entry.outcome.beyond is None or why_stale(entry, state) is not None:
            return None
        return entry

    def _draw(self, outcome: CheckOutcome) -> None:
        cells = self.scene.cells().get(outcome.run.generation.snapshot.label)
        if cells is None:
            return
        area = outcome.beyond.geometry if outcome.beyond is not None else MultiPolygon()
        lines = to_lines(MultiPolygon([area]) if isinstance(area, Polygon) else area, cells)
        settings = {
            "name": NAME,
            "shape_type": "path",
            "edge_color": _COLOR,
            "face_color": "transparent",
            "edge_width": _WIDTH * self.scene.outline_um(),
            "metadata": {META: {ROLE: CHECKED_DEPTH}},
            **UM_AXES,
        }
        # A layer of lines that comes in turns (``add_layer``) is not drawn before it changes.
        selection = self.scene.viewer.layers.selection
        chosen = set(selection)
        self.scene.viewer.add_layer(Layer.create(lines, settings, "shapes"))
        selection.clear()
        selection.update(chosen)
