"""Lines around what was generated, with a short text, on one Shapes layer of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_gest.canvas import layers
from napari_gest.canvas.line_layer import LayerData, LineLayer
from napari_gest.canvas.shapes import to_lines

if TYPE_CHECKING:
    from napari.layers import Points
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
        return self.area, tuple(np.ravel(self.cells.translate))


class RunOutlines:
    """Keeps the layer in step with what is to be outlined."""

    def __init__(self, scene: Scene) -> None:
        self._lines = LineLayer(scene, layers.OUTLINES, self._data)
        self._wanted: list[Outlined] = []

    def draw(self) -> None:
        """Draw now what is to be outlined, not in a later turn."""
        self._lines.draw()

    def close(self) -> None:
        """Draw nothing any more; what is drawn stays."""
        self._lines.close()

    def show(self, wanted: Sequence[Outlined]) -> None:
        """Outline these and nothing else."""
        self._wanted = list(wanted)
        if not self._lines.show([one.place for one in wanted] or None):
            self._write_captions()

    def _data(self) -> LayerData | None:
        lines = [line for one in self._wanted for line in to_lines(one.area, one.cells)]
        if not lines:
            return None
        width_um = 0.6 * self._lines.scene.outline_um()
        side: Literal["left", "right"] = "right" if self._on_the_right() else "left"
        return layers.outlines_layer(lines, self._captions(), width_um, side)

    def _on_the_right(self) -> bool:
        """Tell whether all areas lie in the right half, where a text to the right is cut off."""
        middle = self._lines.scene.viewer.layers.extent.world[:, -1].mean()
        return all(one.area.centroid.x + one.cells.translate[-1] > middle for one in self._wanted)

    def _write_captions(self) -> None:
        layer = self._lines.layer
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
