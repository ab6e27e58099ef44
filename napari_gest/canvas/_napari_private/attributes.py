"""What the plugin uses of napari that is not public: only to draw faster, and only here.

A version of napari without such a part still works: whoever asks gets None and takes the slower,
public way. The log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Shapes

if TYPE_CHECKING:
    from napari import Viewer
    from napari._vispy.visuals.points import PointsVisual
    from napari._vispy.visuals.shapes import ShapesVisual
    from napari.layers import Points
    from napari.utils.events import EventEmitter
    from qtpy.QtWidgets import QWidget
    from vispy.scene import SceneCanvas
    from vispy.visuals import TextVisual

_LOG = logging.getLogger("napari_gest")
_PARTS = {
    "points": ("points_markers", "selection_markers", "highlight_lines", "text"),
    "shapes": ("shape_faces", "shape_highlights", "highlight_lines", "highlight_vertices", "text"),
}
_VISUALS = "window._qt_viewer.canvas.layer_to_visual"

_logged: set[str] = set()


@dataclass(frozen=True)
class LayerMakers:
    """What napari calls for a new layer, and the pieces of the window that it changes.

    Attributes
    ----------
    add_visual, add_controls
        Listeners to ``viewer.layers.events.inserted``: they make what draws a layer, and its
        controls.
    panels
        Widgets of the layer controls and of the list of layers.
    canvas
        What vispy draws.
    native
        Its widget.
    """

    add_visual: Callable[[Any], None]
    add_controls: Callable[[Any], None]
    panels: tuple[QWidget, QWidget]
    canvas: SceneCanvas
    native: QWidget


def part(owner: Any, path: str) -> Any:
    """Return an attribute by its dotted path.

    Raises
    ------
    AttributeError
        If this version of napari has none.
    """
    return attrgetter(path)(owner)


def scene_canvas(viewer: Viewer) -> SceneCanvas | None:
    """Return what vispy draws a viewer on."""
    from vispy.scene import SceneCanvas

    try:
        canvas = part(viewer, "window._qt_viewer.canvas._scene_canvas")
    except AttributeError as error:
        return _without("the canvas", error, "large sections are drawn point by point")
    if not isinstance(canvas, SceneCanvas):
        return _without("vispy's canvas", None, "large sections are drawn point by point")
    return canvas


def layer_visual(viewer: Viewer, layer: Points | Shapes) -> PointsVisual | ShapesVisual | None:
    """Return what draws a layer, a node of vispy's scene."""
    try:
        node = part(viewer, _VISUALS)[layer].node
        for name in _PARTS["shapes" if isinstance(layer, Shapes) else "points"]:
            part(node, f"{name}.visible")
    except (AttributeError, KeyError, TypeError) as error:
        return _without("what draws a layer", error, "all of it is drawn")
    return node


def text_visual(
    viewer: Viewer, layer: Shapes, lines: tuple[str, ...]
) -> tuple[TextVisual, str] | None:
    """Return what draws the texts of a layer, and the code that colours their pixels.

    None where that code lacks one of ``lines``.
    """
    instead = "texts have no halo"
    try:
        node = part(viewer, _VISUALS)[layer].node.text
        part(node, "shared_program.frag")
        part(node, "_font._glyphs")
        code = str(part(node, "_shaders")["fragment"])
    except (AttributeError, KeyError, TypeError) as error:
        return _without("what draws texts", error, instead)
    if any(line not in code for line in lines):
        return _without("the code that draws texts", None, instead)
    return node, code


def letters_of(viewer: Viewer) -> Mapping[str, Any] | None:
    """Return the letters that all texts of the canvas share, each made when it is asked for.

    None where the graphics card makes them, which only a canvas that is being drawn can do.
    """
    instead = "letters are made when they are first drawn"
    try:
        info = part(viewer, "window._qt_viewer.canvas").font_info()
        font = part(info, "font_manager.get_font")(info.face)
        renderer = type(part(font, "_renderer")).__name__
    except (AttributeError, TypeError) as error:
        return _without("the letters of texts", error, instead)
    if renderer != "SDFRendererCPU":
        return _without("what makes letters", None, instead)
    return font


def colors_event(
    viewer: Viewer, layer: Points, of: Literal["face", "border"]
) -> EventEmitter | None:
    """Return the event that sends a layer's colours to the canvas beside the public one.

    napari emits both when colours are set, and each sends all points. Where this one does, the
    other can be left out.
    """
    instead = "colours are sent to the canvas twice"
    public = getattr(layer.events, f"{of}_color")
    try:
        event = part(layer, f"_{of}.events.colors")
        drawn = layer in part(viewer, _VISUALS)
    except (AttributeError, TypeError) as error:
        return _without(f"the event of {of} colours", error, instead)
    if any(_listens(public, *method) for method in _methods(event)):
        return event
    return _without(f"the event of {of} colours", None, instead) if drawn else None


def is_drawing(layer: Shapes) -> bool:
    """Tell whether a user has begun a shape on a layer and has not ended it."""
    try:
        return bool(part(layer, "_is_creating"))
    except AttributeError as error:
        _without("whether a shape is drawn", error, "it ends when the session changes")
        return False


def end_drawing(layer: Shapes) -> None:
    """End the shape that a user has begun on a layer: it stays if it has an area."""
    part(layer, "_finish_drawing")()


def layer_makers(viewer: Viewer) -> LayerMakers | None:
    """Return what makes the window's side of a new layer."""
    what, instead = "what shows a new layer", "a new layer is shown in one go"
    try:
        window = part(viewer, "window._qt_viewer")
        part(viewer, "layers.selection._current")
        makers = LayerMakers(
            add_visual=part(window, "_on_add_layer_change"),
            add_controls=part(window, "controls._add"),
            panels=(window.controls, window.layers),
            canvas=part(window, "canvas._scene_canvas"),
            native=part(window, "canvas.native"),
        )
    except AttributeError as error:
        return _without(what, error, instead)
    inserted = viewer.layers.events.inserted
    called = (window, "_on_add_layer_change"), (window.controls, "_add")
    if all(_listens(inserted, *method) for method in called):
        return makers
    return _without(what, None, instead)


def _methods(event: EventEmitter) -> list[tuple[Any, str]]:
    """Return owner and name of each method that an event calls."""
    return [(one[0](), one[1]) for one in event.callbacks if isinstance(one, tuple)]


def _listens(event: EventEmitter, owner: Any, name: str) -> bool:
    """Tell whether an event calls a method."""
    return any(one is owner and method == name for one, method in _methods(event))


def _without(what: str, error: Exception | None, instead: str) -> None:
    """Say once that a part is missing, or is not what it was, and what happens instead."""
    if what not in _logged:
        _logged.add(what)
        from napari import __version__

        why = "differs from napari 0.9" if error is None else f"is missing ({error})"
        _LOG.warning("napari %s: %s %s; %s", __version__, what, why, instead)
