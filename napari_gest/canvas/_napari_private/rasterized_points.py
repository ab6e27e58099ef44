"""Pictures in place of large sections where OpenGL runs on the processor.

Every repaint draws every point anew: 100,000 of them take a software renderer 0.2 s or more, a
picture of them a tenth of that. So the canvas stays usable on virtual screens and remote desktops.
With a graphics card points are points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from PIL import Image
from vispy.gloo import gl
from vispy.scene.visuals import Image as ImageNode
from vispy.visuals.transforms import STTransform

from napari_gest.canvas import layers
from napari_gest.canvas._napari_private.attributes import colors_event, scene_canvas
from napari_gest.canvas._napari_private.compat import camera
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.shapes import role_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari._vispy.visuals.points import PointsVisual

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "gdi generic", "basic render")
LARGE = 30_000  # cells
_MOST_PIXELS = 2000  # a side; where more would be needed, the picture is of what is in view
_AROUND = 0.5  # and of so many widths of the view around it
_STEP = 1.3  # a picture is drawn anew, coarser or finer, each time the zoom has changed so much
_SMALL = 2.5  # pixels a cell, below which cells between pixels matter
# Of what napari's controls change, what a picture can show: all its points are discs.
_REDRAWN = ("face_color", "set_data", "size", "opacity")


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


class RasterizedLayers:
    """Keeps a picture for each large section in a viewer, and draws whichever of the two is due.

    The layers stay as they are; only what the canvas draws of them changes.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._of: dict[Points, _RasterizedLayer] = {}
        for emitter in self._looks():
            emitter.connect(self._choose)

    def follow(self, layer: Points, node: PointsVisual) -> None:
        """Keep a picture of a layer, by its node in vispy's scene, if it is a large section's."""
        large = role_of(layer) == layers.CELLS and len(layer.data) > LARGE
        if large and draws_in_software(self.viewer):
            self._of[layer] = _RasterizedLayer(layer, node)
            for emitter in _events(layer):
                emitter.connect(self._on_changed)
            self._choose()
            call_later(partial(self._draw_first, layer))  # view and colours are still to come

    def forget(self, layer: Any) -> None:
        """Follow a layer that was removed no more, if it was followed."""
        if layer in self._of:
            self._of[layer].to_send = None  # they are gone
            self._let_go(layer)

    def detach(self) -> None:
        """Draw points again and follow the viewer no more."""
        for emitter in self._looks():
            emitter.disconnect(self._choose)
        for layer in list(self._of):
            self._let_go(layer)

    def shown(self) -> Iterator[Points]:
        """Yield the layers that are drawn as pictures now."""
        yield from (layer for layer, rasterized in self._of.items() if rasterized.shown)

    def color(self, layer: Points, rgba: NDArray[np.float32]) -> None:
        """Give a layer's points these colours, (n, 4) in [0, 1], and draw what is due of it."""
        # Per-cell colours need this mode; left to itself napari may guess a colour cycle.
        layer.face_color_mode = "direct"
        rasterized = self._of.get(layer)
        shown = rasterized is not None and rasterized.shown
        sent = colors_event(self.viewer, layer, "face")
        if sent is None:
            layer.face_color = rgba
        elif shown:
            # Points nobody sees need not go to the canvas: 0.3 s for 100,000.
            with layer.events.face_color.blocker(), sent.blocker():
                layer.face_color = rgba
            rasterized.to_send = sent
        else:
            # Setting colours tells the canvas twice, and each time all cells go there: once will do
            with layer.events.face_color.blocker():
                layer.face_color = rgba
        if shown:
            rasterized.draw()
        elif rasterized is not None:
            rasterized.picture_is_old = True

    def _looks(self) -> tuple[Any, ...]:
        """Return what tells that the viewer looks elsewhere, or in another way."""
        looking, dims = camera(self.viewer).events, self.viewer.dims.events
        return looking.zoom, looking.center, dims.ndisplay, dims.order

    def _let_go(self, layer: Points) -> None:
        for emitter in _events(layer):
            emitter.disconnect(self._on_changed)
        self._of.pop(layer).close()

    def _draw_first(self, layer: Points) -> None:
        if layer in self._of:
            self._of[layer].is_new = False
            self._choose()

    def _choose(self, _event: Any = None) -> None:
        if not self._of:
            return
        # Seen from above, rows running down: a picture lies in the plane as the data do.
        upright = tuple(self.viewer.dims.displayed) == tuple(sorted(self.viewer.dims.displayed))
        flat, looking = self.viewer.dims.ndisplay == 2 and upright, camera(self.viewer)
        canvas = scene_canvas(self.viewer)
        if canvas is None:
            return
        size = canvas.size[::-1]  # (y, x)
        middle, half = np.array(looking.center[-2:]), np.array(size) / 2 / looking.zoom
        for layer, rasterized in self._of.items():
            # Marks of points, selected or under the mouse, lie beneath a picture.
            unmarked = layer.mode == "pan_zoom" and not layer.selected_data
            rasterized.show(
                flat and unmarked, np.stack([middle - half, middle + half]), looking.zoom
            )

    def _on_changed(self, event: Any) -> None:
        if event.type in _REDRAWN:
            self._of[event.source].change(event.type)
        self._choose()


class _RasterizedLayer:
    """One layer's picture: a child of its points in vispy's scene, so that it goes where they go.

    Attributes
    ----------
    shown
        Whether it is drawn in their place.
    to_send
        The event that sends the points to the canvas, if their colours have changed since.
    is_new
        Whether its picture is not drawn yet, because view and colours are still to come.
    """

    def __init__(self, cells: Points, points: PointsVisual) -> None:
        self.cells, self.points = cells, points
        self.shown, self.is_new = False, True
        self.to_send: Any = None
        self.picture_is_old = True
        nothing = np.zeros((1, 1, 4), np.uint8)
        self._image = ImageNode(nothing, interpolation="linear", parent=points)
        self._image.set_gl_state("translucent", depth_test=False)
        self._image.visible, self._image.opacity = False, cells.opacity
        self._pixel = 0.0
        self._covered = np.zeros((2, 2))
        # Kept while only colours change.
        self._places: Places | None = None
        self._seen: NDArray[np.bool_] | None = None  # None: all cells
        self._shown_cells = np.zeros(0, bool)

    def show(self, wanted: bool, view: NDArray[np.float64], zoom: float) -> None:
        """Draw the picture if it is wanted, anew if it does not do for what is in view.

        Parameters
        ----------
        wanted
            Draw points otherwise.
        view
            (2, 2) corners of the world that are in view, (y, x), lowest first.
        zoom
            Pixels of the canvas to a unit of the world.
        """
        if wanted:
            corners = [self.cells.world_to_data((y, x)) for y in view[:, 0] for x in view[:, 1]]
            box = np.stack([np.min(corners, axis=0), np.max(corners, axis=0)])[:, -2:]
            pixel = 1 / (zoom * float(np.abs(self.cells.scale[-1])))
            pixel = _STEP ** float(np.floor(np.log(pixel) / np.log(_STEP)))
            inside = (self._covered[0] <= box[0]).all() and (self._covered[1] >= box[1]).all()
            if self.picture_is_old or pixel != self._pixel or not inside:
                self._pixel, self._covered = pixel, self._cover(box, pixel)
                self._places = None
                self.draw()
        if wanted == self.shown:
            return
        self.shown = wanted
        if not wanted and self.to_send is not None:
            self.to_send()
            self.to_send = None
        self._image.visible = wanted
        self.points.points_markers.visible = not wanted

    def draw(self) -> None:
        """Make the picture anew; of a new layer once its view and colours are there."""
        if self.is_new:
            return
        if self._places is None or not np.array_equal(self._shown_cells, self.cells.shown):
            self._place()
        self.picture_is_old = False
        if self._places is None:
            self._image.set_data(np.zeros((1, 1, 4), np.uint8))
            return
        rgba = self.cells.face_color
        picture = self._places.colored(rgba if self._seen is None else rgba[self._seen])
        self._image.set_data(picture.pixels)
        # From the picture's own pixels (x, y), at its corner, to the layer's data.
        corner = (picture.origin - picture.pixel / 2)[::-1]
        self._image.transform = STTransform(scale=(picture.pixel,) * 2, translate=corner)

    def _place(self) -> None:
        """Find the cells to draw and their places in the picture; none if no cell is near."""
        cells, (low, high) = self.cells, self._covered
        size = float(np.median(cells.size))
        self._shown_cells = cells.shown.copy()
        seen = self._shown_cells
        if np.isfinite(low).all():
            near = (cells.data >= low - size) & (cells.data <= high + size)
            seen = seen & near[:, 0] & near[:, 1]
        self._seen = None if seen.all() else seen
        points = cells.data if self._seen is None else cells.data[seen]
        self._places = Places.of(points, size, self._pixel) if len(points) else None

    def _cover(self, box: NDArray[np.float64], pixel: float) -> NDArray[np.float64]:
        """Return (2, 2) corners of what to draw on pixels so wide: all of it, or what is near."""
        everything = self.cells.extent.data  # which napari keeps
        if np.ptp(everything, axis=0).max() <= _MOST_PIXELS * pixel:
            return np.array([[-np.inf] * 2, [np.inf] * 2])
        around = _AROUND * np.ptp(box, axis=0)
        return np.stack([box[0] - around, box[1] + around])

    def close(self) -> None:
        """Leave the points alone in the scene."""
        self.show(False, self._covered, 1.0)
        self._image.parent = None

    def change(self, what: str) -> None:
        """Follow what was changed of the layer."""
        if what == "opacity":
            self._image.opacity = self.cells.opacity
        else:
            self.picture_is_old = True
            if what != "face_color":
                self._places = None


def _events(layer: Points) -> list[Any]:
    return [getattr(layer.events, name) for name in (*_REDRAWN, "mode", "highlight")]


def draws_in_software(viewer: Viewer) -> bool:
    """Tell whether OpenGL runs on the processor, as on virtual screens and many remote ones."""
    canvas = scene_canvas(viewer)
    if canvas is None:
        return False
    canvas.set_current()
    renderer = str(gl.glGetParameter(gl.GL_RENDERER)).lower()
    return any(name in renderer for name in _SOFTWARE)


@dataclass(frozen=True, eq=False)
class Places:
    """Where points lie in a picture; new colours leave it as it is.

    Attributes
    ----------
    middle
        (n,) index of the pixel at the centre of each point.
    disc
        (2 r + 1, 2 r + 1) bool, the pixels of a point around its centre.
    shape
        Pixels of the picture as it is drawn, (h, w).
    origin, pixel
        As in `Picture`.
    halved
        Whether pixels are drawn half as wide, of which each four are then made one.
    """

    middle: NDArray[np.int64]
    disc: NDArray[np.bool_]
    shape: tuple[int, int]
    origin: NDArray[np.float64]
    pixel: float
    halved: bool

    @classmethod
    def of(cls, points: NDArray[np.float64], size: float, pixel: float) -> Places:
        """Place (n, 2) points of a diameter on pixels of a side; all in data units.

        Discs are at least a pixel wide. Small ones are drawn on pixels half as wide, so that what
        lies between pixels counts.
        """
        small = size < _SMALL * pixel
        fine, radius = (pixel / 2, max(size, pixel) / pixel) if small else (pixel, size / 2 / pixel)
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 2 * int(np.ceil(radius / 2))
        shape = np.ceil((high - low) / fine).astype(int) + 2 * margin + 1
        height, width = (shape + shape % 2).tolist()
        row, column = (np.round((points - low) / fine).astype(np.int64) + margin).T
        steps = np.arange(-margin, margin + 1)
        disc = steps[:, None] ** 2 + steps**2 <= radius * radius
        origin = low - margin * fine + (fine / 2 if small else 0)
        return cls(row * width + column, disc, (height, width), origin, pixel, small)

    def colored(self, rgba: NDArray[np.float32]) -> Picture:
        """Draw the points in these colours, (n, 4) in [0, 1]."""
        height, width = self.shape
        canvas = np.zeros((height, width, 4), np.uint8)
        # A pixel at a time, not its four parts one by one.
        colors = (rgba * 255).astype(np.uint8).view(np.uint32).ravel()
        whole = canvas.view(np.uint32)[..., 0]
        margin = len(self.disc) // 2
        if len(self.middle) < np.count_nonzero(self.disc):  # large discs, one by one
            rows, columns = np.divmod(self.middle, width)
            for y, x, color in zip(rows - margin, columns - margin, colors, strict=True):
                whole[y : y + len(self.disc), x : x + len(self.disc)][self.disc] = color
        else:  # all their pixels of one kind together
            flat = whole.ravel()
            for dy, dx in np.argwhere(self.disc) - margin:
                flat[self.middle + dy * width + dx] = colors
        if self.halved:  # colours are averaged by opacity: transparent pixels do not count
            canvas = np.asarray(Image.fromarray(canvas).reduce(2))
        return Picture(canvas, self.origin, self.pixel)
