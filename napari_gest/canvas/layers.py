"""Settings of the layers that show sections and generated cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from cmap import Color
from napari.layers import Layer
from numpy.typing import NDArray

from napari_gest.app.generated_view import WAITING
from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.effect import Effect
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.canvas._napari_private.plain_symbols import hold_plain_symbols
from napari_gest.canvas.shapes import BOUNDARIES, META, ROLE, UM_AXES, to_canvas
from napari_gest.palette import lightened

if TYPE_CHECKING:
    from shapely import MultiPolygon

CELLS = "cells"
GENERATED = "generated"
EFFECT = "effect"
BACKDROP = "backdrop"
COPY = "copy"  # a backdrop of generated cells that lie beside their section
EDITED_CELLS = "edited cells"
EFFECT_LAYERS = (EFFECT, BACKDROP)
OUTLINES = "outlines of what is generated"
OPENED, RUN, GENERATED_CELLS, BESIDE = "opened", "run", "generated_cells", "beside"
OUTLINE = "outline"
SECTION = "section"  # of a line around a niche

_SMOOTH_BELOW = 50_000  # smooth edges cost a software renderer half its speed
_GAP = 0.08  # between sections side by side, in widths
EDIT_COLOR = "#EF7B9B"
OUTLINE_COLOR = "#F0641E"  # seen on a black and on a white canvas, and in no colour map


def make_ahead(opened: Opened) -> None:
    """Make the layer of a section before the window asks for it; any thread.

    A layer that is in no viewer is no business of the window's. The first one takes napari 0.3 s
    more, in which it reads its table of units.
    """
    layer = Layer.create(*section_layer(opened))
    _ = layer.extent  # napari keeps it
    hold_plain_symbols(layer)
    opened.made_ahead = layer


def made_layer(opened: Opened, data: tuple[Any, dict[str, Any], str]) -> Layer:
    """Return the layer of a section: the one that was made ahead, or a new one of this data."""
    layer, opened.made_ahead = opened.made_ahead, None
    if layer is None:
        return Layer.create(*data)
    if not np.array_equal(layer.translate, data[1]["translate"]):
        layer.translate = data[1]["translate"]
    return layer


def section_layer(opened: Opened, shift_x_um: float = 0.0) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of a section, one point a cell.

    Parameters
    ----------
    opened
        Row ``i`` of the layer is row ``i`` of its section.
    shift_x_um
        Moves the layer, not its data, so that sections can lie side by side.
    """
    section = opened.section
    settings = {
        "name": opened.label,
        "size": opened.cell_um,
        "border_width": 0.0,
        "face_color": "#7A8288",
        "antialiasing": 1.0 if section.n_obs < _SMOOTH_BELOW else 0.0,
        "canvas_size_limits": (1, 10000),
        "translate": (0.0, shift_x_um),
        "metadata": {META: {ROLE: CELLS, OPENED: opened}},
        **UM_AXES,
    }
    return to_canvas(section.coords_um), settings, "points"


def generated_layer(
    run_id: str,
    generated: GeneratedCells,
    cells: Layer,
    outline: MultiPolygon | None,
    shift_x_um: float = 0.0,
) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of generated cells, which look like those of ``cells``.

    What says that they are generated is ``outline``, um, and the names of the layers.
    """
    settings = {
        "name": f"generated · {cells.name}",
        "size": float(np.median(cells.size)),
        "face_color": WAITING,
        "border_width": 0.0,
        "antialiasing": cells.antialiasing,
        "canvas_size_limits": cells.canvas_size_limits,
        "metadata": {
            META: {
                ROLE: GENERATED,
                RUN: run_id,
                GENERATED_CELLS: generated,
                BESIDE: bool(shift_x_um),
                OUTLINE: outline,
            }
        },
        **place_of(cells, shift_x_um),
    }
    return to_canvas(generated.coords_um), settings, "points"


def effect_layer(
    entry: RunEntry, cells: Layer, shift_x_um: float = 0.0
) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of an edit and its surroundings; edited cells are outlined."""
    effect: Effect = entry.outcome
    settings = {
        "name": entry.name,
        "size": 1.2 * float(np.median(cells.size)),
        "face_color": WAITING,
        "border_color": EDIT_COLOR,
        "border_width": np.where(np.arange(len(effect.cells)) < effect.n_around, 0.0, 0.14),
        "canvas_size_limits": (2, 10000),
        "metadata": {META: {ROLE: EFFECT, EFFECT: effect, RUN: entry.id}},
        **place_of(cells, shift_x_um),
    }
    return to_canvas(effect.coords_um), settings, "points"


def backdrop_layer(
    cells: Layer, shift_x_um: float, role: str = BACKDROP
) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of a dim copy of a section, beside it."""
    settings = {
        "name": f"{cells.name} (beside)",
        "size": float(np.median(cells.size)),
        "face_color": "#7A8288",
        "border_width": 0.0,
        "opacity": 0.22,
        "canvas_size_limits": (1, 10000),
        "metadata": {META: {ROLE: role}},
        **place_of(cells, shift_x_um),
    }
    return np.asarray(cells.data), settings, "points"


def edited_cells_layer(cells: Layer) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of rings around the cells that are to be edited."""
    settings = {
        "name": EDITED_CELLS,
        "ndim": 2,
        "size": 1.5 * float(np.median(cells.size)),
        "face_color": "transparent",
        "border_color": EDIT_COLOR,
        "border_width": 0.16,
        "canvas_size_limits": (3, 10000),
        "metadata": {META: {ROLE: EDITED_CELLS}},
        **place_of(cells),
    }
    return np.empty((0, 2)), settings, "points"


def boundary_layer(
    lines: list[NDArray[np.float64]],
    names: list[str],
    colors: list[str],
    sections: list[str],
    width_um: float,
) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of lines around niches.

    Parameters
    ----------
    lines
        (k, 2) corners each, world y x.
    names, colors
        Niche and colour of each line; colours too dark for the canvas are lightened.
    sections
        Label of the section of each line.
    width_um
        Of the lines.
    """
    settings = {
        "name": "niche boundaries",
        "shape_type": "path",
        "edge_color": lightened(np.array([Color(c).rgba for c in colors], np.float32)),
        "face_color": "transparent",
        "edge_width": width_um,
        "features": {"niche": names, SECTION: sections},
        "metadata": {META: {ROLE: BOUNDARIES}},
        **UM_AXES,
    }
    return lines, settings, "shapes"


def outlines_layer(
    lines: list[NDArray[np.float64]],
    captions: list[str],
    width_um: float,
    side: Literal["left", "right"] = "left",
) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of outlines of what is generated, with short texts beside them.

    Parameters
    ----------
    lines
        (k, 2) corners each, world y x.
    captions
        Text of each line; empty where another line of the same region has it.
    width_um
        Of the lines.
    side
        On which side of a line its text begins: a text at the left one goes on to the right.
    """
    settings = {
        "name": OUTLINES,
        "ndim": 2,
        "shape_type": "path",
        "edge_color": OUTLINE_COLOR,
        "face_color": "transparent",
        "edge_width": width_um,
        "features": {"caption": captions},
        "opacity": 1.0,
        "text": {"string": "{caption}", "anchor": f"upper_{side}", "size": 14,
                 "color": OUTLINE_COLOR, "translation": (-2.0 * width_um, 0.0)},
        "metadata": {META: {ROLE: OUTLINES}},
        **UM_AXES,
    }  # fmt: skip
    return lines, settings, "shapes"


def side_by_side(opened: list[Opened]) -> list[tuple[Any, dict[str, Any], str]]:
    """Return layer data tuples of sections laid out from left to right."""
    layers = []
    edge: float | None = None
    for one in opened:
        left, right = _extent_x(one.section.coords_um)
        shift = 0.0 if edge is None else edge - left
        layers.append(section_layer(one, shift))
        edge = right + shift + _GAP * max(right - left, 1.0)
    return layers


def shift_clear_of(left: float, right: float, others: list[tuple[float, float]]) -> float:
    """Return how far to move [left, right] to the right so that it overlaps none of ``others``."""
    if not any(left < end and right > start for start, end in others):
        return 0.0
    return max(end for _, end in others) + _GAP * (right - left) - left


def place_of(cells: Layer, shift_x_um: float = 0.0) -> dict[str, Any]:
    """Return what puts a layer onto the layer of a section, or beside it."""
    return {
        "scale": cells.scale,
        "translate": cells.translate + np.array([0.0, shift_x_um]),
        "rotate": cells.rotate,
        "shear": cells.shear,
        "affine": cells.affine,
        "units": cells.units,
        "axis_labels": cells.axis_labels,
    }


def _extent_x(coords_um: NDArray[np.float64]) -> tuple[float, float]:
    return float(coords_um[:, 0].min()), float(coords_um[:, 0].max())
