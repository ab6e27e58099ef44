"""A picture in place of a large section while a run repaints the canvas again and again.

Every repaint draws every point anew: 100,000 of them take a software renderer 0.2 s, a picture of
them a tenth of that. So the canvas stays usable during a run. A graphics card needs no help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from vispy.gloo import gl
from vispy.scene.visuals import Image as ImageNode
from vispy.visuals.transforms import ChainTransform, STTransform

from napari_gest.viewer.scene import Scene

if TYPE_CHECKING:
    from napari import Viewer
    from vispy.scene import Node

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic", "basic render")
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
    """Draws pictures in place of large layers, and the layers themselves again.

    The layers stay as they are; only what the canvas draws of them changes.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._shown: list[tuple[Node, Node]] = []

    def show(self) -> None:
        """Draw pictures of the large layers that are visible, if points are drawn in software."""
        large = [c for c in self.scene.cells().values() if c.visible and len(c.data) > LARGE]
        if self._shown or not large or not draws_in_software(self.scene.viewer):
            return
        drawn = self.scene.viewer.window._qt_viewer.canvas.layer_to_visual
        for cells in large:
            points = drawn[cells].node
            self._shown.append((points, _draw(cells, points)))
            points.visible = False

    def clear(self) -> None:
        """Draw the layers themselves again."""
        shown, self._shown = self._shown, []
        for points, picture in shown:
            picture.parent = None
            points.visible = True


def _draw(cells: Points, points: Node) -> Node:
    """Return a picture of a layer in the place of its points in vispy's scene."""
    picture = portray(cells.data, cells.face_color, float(np.median(cells.size)))
    image = ImageNode(picture.pixels, interpolation="linear", parent=points.parent)
    image.set_gl_state("translucent", depth_test=False)
    image.order, image.opacity = points.order, cells.opacity
    # The picture's own pixels (x, y), from its corner, and then whatever is done to the layer.
    corner = (picture.origin - picture.pixel / 2)[::-1]
    own = STTransform(scale=(picture.pixel, picture.pixel), translate=corner)
    image.transform = ChainTransform([points.transform, own])
    return image


def draws_in_software(viewer: Viewer) -> bool:
    """Tell whether OpenGL runs on the processor, as on virtual screens and many remote ones."""
    viewer.window._qt_viewer.canvas._scene_canvas.set_current()
    renderer = str(gl.glGetParameter(gl.GL_RENDERER)).lower()
    return any(name in renderer for name in _SOFTWARE)


def portray(points: NDArray[np.float64], rgba: NDArray[np.float32], size: float) -> Picture:
    """Draw (n, 2) points of a diameter as discs; both in the layer's data units."""
    low, high = points.min(axis=0), points.max(axis=0)
    pixel = max(size / _PIXELS_A_CELL, float((high - low).max()) / _MOST_PIXELS)
    radius = max(size / 2 / pixel, 0.6)
    margin = int(np.ceil(radius))
    height, width = (np.ceil((high - low) / pixel).astype(int) + 2 * margin + 1).tolist()
    canvas = np.zeros((height, width, 4), np.uint8)
    row, column = (np.round((points - low) / pixel).astype(np.int64) + margin).T
    # A pixel at a time, not its four parts one by one.
    colors = (rgba * 255).astype(np.uint8).view(np.uint32).ravel()
    flat, middle = canvas.view(np.uint32).ravel(), row * width + column
    steps = np.arange(-margin, margin + 1)
    for dy, dx in np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2):
        if dy * dy + dx * dx <= radius * radius:
            flat[middle + dy * width + dx] = colors
    return Picture(canvas, low - margin * pixel, pixel)
