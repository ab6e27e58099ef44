"""Draws of a Points layer only the parts that show something.

napari draws each layer with four programs of OpenGL: its points, marks of selected ones, a box
around them, and text. vispy writes and links a program when it is first drawn, 30 ms, and draws it
in every frame, empty or not. Most layers of cells never have more than points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Points

from napari_gest.viewer.shapes import role_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari._vispy.visuals.points import PointsVisual


class Parts:
    """Follows the plugin's Points layers in a viewer, and hides parts that are empty."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._nodes: dict[Points, PointsVisual] = {}
        # After napari has made what draws the layer.
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._follow(layer)

    def detach(self) -> None:
        """Draw everything again and follow the viewer no more."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for layer, node in list(self._nodes.items()):
            self._let_go(layer)
            _draw(node, marks=True, text=True)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _on_removed(self, event: Any) -> None:
        if event.value in self._nodes:
            self._let_go(event.value)

    def _follow(self, layer: Any) -> None:
        if isinstance(layer, Points) and role_of(layer) is not None:
            canvas = self.viewer.window._qt_viewer.canvas
            self._nodes[layer] = canvas.layer_to_visual[layer].node
            for emitter in _events(layer):
                emitter.connect(self._choose)
            self._choose()

    def _let_go(self, layer: Points) -> None:
        del self._nodes[layer]
        for emitter in _events(layer):
            emitter.disconnect(self._choose)

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
