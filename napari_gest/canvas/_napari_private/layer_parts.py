"""Draws of a layer only the parts that show something.

napari draws each layer with four or five programs of OpenGL: its points or shapes, marks of
selected ones, a box around them, and text. vispy writes and links a program when it is first
drawn, 30 ms, and draws it in every frame, empty or not. Most layers of cells never have more than
points, and outlines no marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari._vispy.visuals.points import PointsVisual
    from napari._vispy.visuals.shapes import ShapesVisual
    from napari.layers import Points, Shapes

_MARKS = ("selection_markers", "shape_highlights", "highlight_lines", "highlight_vertices")


class Parts:
    """Hides the empty parts of the layers it is told of."""

    def __init__(self) -> None:
        self._nodes: dict[Points | Shapes, PointsVisual | ShapesVisual] = {}

    def follow(self, layer: Points | Shapes, node: PointsVisual | ShapesVisual) -> None:
        """Draw of a layer, by its node in vispy's scene, what it has now and from now on."""
        self._nodes[layer] = node
        for emitter in _events(layer):
            emitter.connect(self._choose)
        self._choose()

    def forget(self, layer: Any) -> None:
        """Follow a layer no more, if it was followed."""
        if self._nodes.pop(layer, None) is not None:
            for emitter in _events(layer):
                emitter.disconnect(self._choose)

    def detach(self) -> None:
        """Draw everything again and follow no layer."""
        for layer, node in list(self._nodes.items()):
            self.forget(layer)
            _draw(node, marks=True, text=True)

    def _choose(self, _event: Any = None) -> None:
        for layer, node in self._nodes.items():
            # What is under the mouse is marked too, in all modes but that for moving about.
            marks = layer.mode != "pan_zoom" or bool(layer.selected_data)
            _draw(node, marks, text=getattr(layer.text.string, "constant", None) != "")


def _events(layer: Points | Shapes) -> tuple[Any, ...]:
    return layer.events.highlight, layer.events.mode, layer.text.events.string


def _draw(node: PointsVisual | ShapesVisual, marks: bool, text: bool) -> None:
    for name in _MARKS:
        drawn = getattr(node, name, None)
        if drawn is not None:
            drawn.visible = marks
    if hasattr(node, "selection_markers"):  # those of shapes have halos, and appear with them
        node.text.visible = text
