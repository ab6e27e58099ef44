"""Regions drawn on the canvas, each with a name: labels to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from cmap import Color

from napari_gest.app.colors import label_colors
from napari_gest.app.runs.labels import NamedRegion
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import NAMED, to_rings
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari.layers import Points, Shapes

_NAME = "name"
_SELECTING = ("select", "direct")


def draw_named(scene: Scene, mode: str, name: str) -> Shapes:
    """Get ready to draw regions called ``name`` in ``mode``."""
    layer = scene.draw(mode, NAMED)
    if _NAME not in layer.features:
        layer.features = {_NAME: np.array([], object)}
        layer.text = {"string": "{name}", "size": 12, "color": "white"}
        layer.opacity = 1.0
    set_name(layer, name)
    return layer


def set_name(layer: Shapes, name: str) -> None:
    """Give the next shape this name and its colour, and those selected with the select tools."""
    colors = label_colors([*filter(None, names_of(layer)), name])
    with layer.block_update_properties():  # a shape just drawn is selected, and stays as it is
        layer.current_edge_color = Color(colors[name]).hex
        layer.feature_defaults = {_NAME: name}
    selected = sorted(layer.selected_data) if layer.mode in _SELECTING else []
    if selected:
        features = layer.features.copy()
        features.loc[selected, _NAME] = name
        layer.features = features
        recolor(layer)
        layer.refresh_text()


def recolor(layer: Shapes) -> None:
    """Give each outline the colour that cells of its name have once they are labelled."""
    names = names_of(layer)
    colors = label_colors(filter(None, names))
    edges = np.array(layer.edge_color, np.float32).reshape(len(names), 4)
    right = np.array([colors.get(n, e) for n, e in zip(names, edges, strict=True)], np.float32)
    if len(names) and not np.allclose(edges, right, atol=1e-4):
        layer.edge_color = right


def named_regions(scene: Scene, cells: Points) -> tuple[NamedRegion, ...]:
    """Return the regions drawn, in the um of the section that ``cells`` shows.

    Raises
    ------
    InputError
        If one has no name.
    """
    layer = scene.region(NAMED)
    if layer is None:
        return ()
    found = []
    for ring, name in zip(to_rings(layer, cells), names_of(layer), strict=True):
        if ring is None:
            continue
        if not name:
            raise InputError(
                "A region has no name.", "Select it on the canvas, then type a name for it."
            )
        found.append(NamedRegion(name, Roi.from_vertices([ring])))
    return tuple(found)


def names_of(layer: Shapes) -> Sequence[str]:
    """Return the name of each shape, empty where it has none."""
    names = layer.features.get(_NAME)
    if names is None:
        return [""] * len(layer.data)
    return ["" if name is None or name != name else str(name) for name in names]
