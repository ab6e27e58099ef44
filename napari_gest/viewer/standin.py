"""A picture in place of a large section while a run repaints the canvas again and again.

Every repaint draws every point anew: 100,000 of them take a software renderer 0.2 s, a picture of
them a tenth of that. So the canvas stays usable during a run. (A section of more than about a
million cells would be better off as a picture always.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Points
from numpy.typing import NDArray

from napari_gest.viewer.scene import Scene

LARGE = 30_000  # cells
_PIXELS_A_CELL = 5.0
_MOST_PIXELS = 2400


@dataclass(frozen=True, eq=False)
class Picture:
    """A layer's points as an image.

    Attributes
    ----------
    pixels
        (h, w, 4) uint8.
    origin, pixel
        Place of the first pixel's centre (y, x) and side of a pixel, in the layer's data.
    """

    pixels: NDArray[np.uint8]
    origin: NDArray[np.float64]
    pixel: float


class StandIns:
    """Puts pictures in place of large layers, and takes them away again."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._shown: list[tuple[Points, Image]] = []

    def show(self) -> None:
        """Show pictures instead of the large layers that are visible."""
        for cells in self.scene.cells().values():
            if cells.visible and len(cells.data) > LARGE:
                self._replace(cells)

    def clear(self) -> None:
        """Show the layers themselves again."""
        shown, self._shown = self._shown, []
        for cells, image in shown:
            cells.visible = True
            if image in self.scene.viewer.layers:
                self.scene.viewer.layers.remove(image)

    def _replace(self, cells: Points) -> None:
        picture = portray(cells.data, cells.face_color, float(np.median(cells.size)))
        # The picture's own pixels, and then whatever is done to the layer.
        own = np.eye(3)
        own[:2, :2] *= picture.pixel
        own[:2, 2] = picture.origin
        origin = np.asarray(cells.data_to_world((0.0, 0.0)))
        to_world = np.eye(3)
        to_world[:2, 2] = origin
        for axis, unit in enumerate(np.eye(2)):
            to_world[:2, axis] = np.asarray(cells.data_to_world(unit)) - origin
        image = Image(
            picture.pixels,
            rgb=True,
            name=f"{cells.name} (picture while running)",
            affine=to_world @ own,
            opacity=cells.opacity,
            units=cells.units,
            axis_labels=cells.axis_labels,
            interpolation2d="linear",
        )
        layers = self.scene.viewer.layers
        chosen = layers.selection.active
        layers.insert(layers.index(cells), image)
        layers.selection.active = chosen
        cells.visible = False
        self._shown.append((cells, image))


def portray(points: NDArray[np.float64], rgba: NDArray[np.float32], size: float) -> Picture:
    """Draw (n, 2) points of a diameter as discs; both in the layer's data units."""
    low, high = points.min(axis=0), points.max(axis=0)
    pixel = max(size / _PIXELS_A_CELL, float((high - low).max()) / _MOST_PIXELS)
    radius = max(size / 2 / pixel, 0.6)
    margin = int(np.ceil(radius))
    height, width = (np.ceil((high - low) / pixel).astype(int) + 2 * margin + 1).tolist()
    canvas = np.zeros((height, width, 4), np.uint8)
    row, column = (np.round((points - low) / pixel).astype(np.int64) + margin).T
    colors = (rgba * 255).astype(np.uint8)
    flat, middle = canvas.reshape(-1, 4), row * width + column
    steps = np.arange(-margin, margin + 1)
    for dy, dx in np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2):
        if dy * dy + dx * dx <= radius * radius:
            flat[middle + dy * width + dx] = colors
    return Picture(canvas, low - margin * pixel, pixel)
