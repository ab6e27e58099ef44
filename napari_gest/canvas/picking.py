"""Clicks on cells: which one was meant, and what drove it, drawn around it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_gest.canvas import layers
from napari_gest.canvas.layer_list import add_layer, remove_layer
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import META, ROLE, role_of, to_canvas, to_um

if TYPE_CHECKING:
    from napari_gest.tasks.perturbation.influence import Influence

_DRIVERS = "drivers"
_NEAR = 1.5  # cell sizes from the middle of a cell that still mean it
_LEAST = 0.01  # share of the largest influence below which a cell is not circled
_STILL = 4.0  # pixels a click may move


class CellPicker:
    """Tells which cell of the active section is clicked, while it is on."""

    def __init__(self, scene: Scene, on_cell: Callable[[int], None]) -> None:
        self.scene = scene
        self.on = False
        self._on_cell = on_cell

    def start(self) -> None:
        """Listen to clicks; the mouse still moves the canvas."""
        if not self.on and self.scene.active_layer is not None:
            self.on = True
            cells = self.scene.active_layer
            self.scene.viewer.layers.selection.active = cells
            cells.mode = "pan_zoom"
            self.scene.viewer.mouse_drag_callbacks.append(self._press)

    def stop(self) -> None:
        """Listen no more."""
        if self.on:
            self.on = False
            self.scene.viewer.mouse_drag_callbacks.remove(self._press)

    def _press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        chosen = viewer.layers.selection.active
        if chosen is not None and chosen.mode != "pan_zoom":
            return  # the click is meant for another tool, such as the corner of a region
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.asarray(event.pos, float) - start) <= _STILL:
            cell = self.cell_at(event.position)
            if cell is not None:
                self._on_cell(cell)

    def cell_at(self, position: Any) -> int | None:
        """Return the index of the cell of the active section at a canvas position."""
        cells = self.scene.active_layer
        if cells is None:
            return None
        place = to_um(np.asarray([position]), cells)
        far, cell = self.scene.active.tree.query(place[0])
        return int(cell) if far <= _NEAR * float(np.median(cells.size)) else None


def show_drivers(scene: Scene, drove: Influence) -> None:
    """Circle a cell, and around it the cells of its context, larger the more they drove it."""
    hide_drivers(scene)
    cells = scene.active_layer
    section = scene.active.section
    size = float(np.median(cells.size))
    share = drove.influence / max(float(drove.influence.max()), 1e-12)
    shown = share >= _LEAST
    share = share[shown]
    index = np.append(drove.neighbours[shown], drove.cell)
    settings = {
        **layers.place_of(cells),
        "name": "what drove the cell",
        "size": np.append(size * (0.4 + 2.0 * np.sqrt(share)), 2.2 * size),
        "face_color": np.vstack([_warm(share), [0, 0, 0, 0]]),
        "border_color": np.vstack([np.zeros((len(share), 4)), [1, 1, 1, 1]]),
        "border_width": 0.18,
        "canvas_size_limits": (2, 10000),
        "metadata": {META: {ROLE: _DRIVERS}},
    }
    add_layer(scene.viewer, (to_canvas(section.coords_um[index]), settings, "points"))


def hide_drivers(scene: Scene) -> None:
    """Take the circles away."""
    for layer in [one for one in scene.viewer.layers if role_of(one) == _DRIVERS]:
        remove_layer(scene.viewer, layer)


def _warm(share: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n, 4) amber, the more opaque the larger the share (n,)."""
    return np.column_stack([np.tile([1.0, 0.82, 0.40], (len(share), 1)), 0.25 + 0.65 * share])
