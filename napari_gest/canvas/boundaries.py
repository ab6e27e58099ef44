"""Lines around niches, on a Shapes layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_gest.canvas import layers
from napari_gest.canvas.layer_list import add_layer, remove_layer
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import BOUNDARIES, role_of, to_lines

if TYPE_CHECKING:
    import shapely
    from napari.layers import Shapes


def show_boundaries(
    scene: Scene,
    areas: Mapping[str, Sequence[shapely.MultiPolygon]],
    names: Sequence[str],
    colors: Sequence[str],
) -> Shapes | None:
    """Draw lines around niches, in place of those drawn before; None where there is nothing.

    Parameters
    ----------
    scene
        Where they are drawn.
    areas
        Per label of a section, the area of each niche, um, x y.
    names, colors
        Name and colour of each niche.
    """
    for layer in [one for one in scene.viewer.layers if role_of(one) == BOUNDARIES]:
        remove_layer(scene.viewer, layer)
    width = 0.8 * scene.outline_um()
    lines, of_line, sections = [], [], []
    for label, cells in scene.cells().items():
        for index, area in enumerate(areas.get(label, ())):
            # Each niche's line runs inside it, so that neighbours do not cover each other.
            drawn = to_lines(area.buffer(-width / 2), cells)
            lines += drawn
            of_line += [index] * len(drawn)
            sections += [label] * len(drawn)
    if not lines:
        return None
    data = layers.boundary_layer(
        lines, [names[i] for i in of_line], [colors[i] for i in of_line], sections, width
    )
    return add_layer(scene.viewer, data)
