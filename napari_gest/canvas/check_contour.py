"""A line in the region at the depth where the gain ends, as the check that is looked at says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from shapely import MultiPolygon, Polygon

from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.layer_list import add_layer, remove_layer
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
        self._drawn: tuple[Any, ...] | None = None
        self._detached = False
        scene.session.changed.connect(self._on_changed)
        self._mirror()

    def detach(self) -> None:
        """Follow the session no more."""
        self.scene.session.changed.disconnect(self._on_changed, missing_ok=True)
        self._detached = True

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
        call_later(self._draw)  # napari takes 0.1 s to add or remove a layer

    def _wanted(self) -> RunEntry | None:
        """Return the check whose line is to be seen: it has one, and its region is as it was."""
        state = self.scene.session.state
        entry = state.shown_run("check")
        if entry is None or entry.outcome.beyond is None or why_stale(entry, state) is not None:
            return None
        return entry

    def _draw(self) -> None:
        """Bring the line up to date, in a turn of its own; much may have changed until then."""
        wanted, layer = self._shown, self.layer
        if wanted == self._drawn or self._detached:
            return
        self._drawn = wanted
        if layer is not None:
            remove_layer(self.scene.viewer, layer)
        entry = None if wanted is None else self._wanted()
        if entry is None:
            return
        outcome: CheckOutcome = entry.outcome
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
        add_layer(self.scene.viewer, (lines, settings, "shapes"))
