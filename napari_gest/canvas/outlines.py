"""Lines around what was generated, with a short text, on one Shapes layer of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gest.canvas import layers
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.shapes import role_of, to_lines

if TYPE_CHECKING:
    from napari.layers import Points, Shapes
    from shapely import MultiPolygon

    from napari_gest.canvas.scene import Scene


@dataclass(frozen=True, eq=False)
class Outlined:
    """An area with a caption, um, on the layer of its cells."""

    area: MultiPolygon
    cells: Points
    caption: str

    @property
    def place(self) -> tuple[Any, ...]:
        """What decides where its lines lie."""
        return id(self.area), self.area, tuple(np.ravel(self.cells.translate))


class RunOutlines:
    """Keeps the layer in step with what is to be outlined. Users may hide it, or remove it.

    To add a layer takes the window a while, so it comes in a turn of its own.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._wanted: list[Outlined] = []
        self._places: list[tuple[Any, ...]] = []
        self._visible, self._closed = True, False

    @property
    def layer(self) -> Shapes | None:
        """The layer, if it is there."""
        found = [one for one in self.scene.viewer.layers if role_of(one) == layers.OUTLINES]
        return found[-1] if found else None

    def close(self) -> None:
        """Draw nothing any more; what is drawn stays."""
        self._closed = True

    def show(self, wanted: Sequence[Outlined]) -> None:
        """Outline these and nothing else."""
        self._wanted = list(wanted)
        places = [one.place for one in wanted]
        if [p[::2] for p in places] == [p[::2] for p in self._places]:
            self._write_captions()
            return
        if not self._places and not places:
            return
        self._places = places
        call_later(self._draw)

    def _draw(self) -> None:
        if self._closed:
            return
        layer, scene = self.layer, self.scene
        if layer is not None:
            self._visible = layer.visible
            scene.remove(layer)
        lines = [line for one in self._wanted for line in to_lines(one.area, one.cells)]
        if not lines:
            return
        width = 0.6 * scene.outline_um()
        data = layers.outlines_layer(lines, self._captions(), width)
        data[1]["visible"] = self._visible
        scene.add_outlines(data)

    def _write_captions(self) -> None:
        layer = self.layer
        if layer is None:
            return
        captions = self._captions()
        if len(captions) == len(layer.data) and list(layer.features["caption"]) != captions:
            layer.features = {"caption": captions}
            layer.refresh_text()

    def _captions(self) -> list[str]:
        """Return the text of each line: that of a region stands at its highest one."""
        captions: list[str] = []
        for one in self._wanted:
            lines = to_lines(one.area, one.cells)
            top = int(np.argmin([line[:, 0].min() for line in lines])) if lines else 0
            captions += [one.caption if i == top else "" for i in range(len(lines))]
        return captions
