"""Draws of a Points layer only the parts that show something.

napari draws each layer with four programs of OpenGL: its points, marks of selected ones, a box
around them, and text. vispy writes and links a program when it is first drawn, 30 ms, and draws it
in every frame, empty or not. Most layers of cells never have more than points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari._vispy.visuals.points import PointsVisual
    from napari.layers import Points


class Parts:
    """Hides the empty parts of the layers it is told of."""

    def __init__(self) -> None:
        self._nodes: dict[Points, PointsVisual] = {}

    def follow(self, layer: Points, node: PointsVisual) -> None:
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
            # Points under the mouse are marked too, in all modes but that for moving about.
            marks = layer.mode != "pan_zoom" or bool(layer.selected_data)
            _draw(node, marks, text=getattr(layer.text.string, "constant", None) != "")


def _events(layer: Points) -> tuple[Any, ...]:
    return layer.events.highlight, layer.events.mode, layer.text.events.string


def _draw(node: PointsVisual, marks: bool, text: bool) -> None:
    node.selection_markers.visible = node.highlight_lines.visible = marks
    node.text.visible = text
