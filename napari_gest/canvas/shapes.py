"""Between napari's (row, column) worlds and the tissue's (x, y) um. No other file flips axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari.layers import Layer

META = keys.UNS  # the one key of layer.metadata this plugin uses
ROLE = "role"
UNSEEN = "unseen"
NAMED = "named"
EDITED = "edited"
REGIONS = (UNSEEN, NAMED, EDITED)
BOUNDARIES = "boundaries"
CHECKED_DEPTH = "checked depth"

UM_AXES: dict[str, Any] = {"units": ("um", "um"), "axis_labels": ("y", "x"), "scale": (1.0, 1.0)}
AREAS = ("polygon", "rectangle", "ellipse")
_NAMES = {UNSEEN: "unseen region", NAMED: "labelled regions", EDITED: "edited region"}
# Each is seen on a black and on a white canvas.
_EDGES = {UNSEEN: "#C58A00", NAMED: "#56B4E9", EDITED: "#EF7B9B"}


def to_canvas(coords_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn (n, 2) x y into (n, 2) y x."""
    return np.ascontiguousarray(coords_um[:, ::-1])


def to_tissue(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn (n, d) canvas points, whose last two axes are y x, into (n, 2) x y."""
    return np.ascontiguousarray(points[:, -2:][:, ::-1])


def role_of(layer: Layer) -> str | None:
    """Return what the plugin uses a layer for, or None if it is not one of its layers."""
    meta = layer.metadata.get(META)
    return meta.get(ROLE) if isinstance(meta, dict) else None


def is_copy(layer: Layer, other: Layer) -> bool:
    """Tell whether a layer was made from one of the plugin's, as napari's Duplicate does.

    napari gives a copy the same metadata, to the object.
    """
    meta = layer.metadata.get(META)
    return meta is not None and other.metadata.get(META) is meta


def region_settings(role: str = UNSEEN) -> dict[str, Any]:
    """Return the settings of a Shapes layer of shapes to generate, to label or to edit."""
    return {
        "name": _NAMES[role],
        "ndim": 2,
        # What is generated in a region is seen as it is.
        "face_color": [1.0, 1.0, 1.0, 0.0 if role == UNSEEN else 0.06],
        "edge_color": _EDGES[role],
        "opacity": 1.0,
        "metadata": {META: {ROLE: role}},
        **UM_AXES,
    }


def to_um(world: NDArray[np.float64], cells: Layer) -> NDArray[np.float64]:
    """Return (n, 2) um x y of the section that ``cells`` shows, of (n, d) canvas positions."""
    return to_tissue(affine(cells.world_to_data, np.asarray(world, np.float64)[:, -2:]))


def from_roi(roi: Roi, cells: Layer | None = None) -> list[NDArray[np.float64]]:
    """Return a polygon in world y x for each part of ``roi``.

    A napari polygon has one outline, so holes are reached by cuts.
    """
    rings = [to_canvas(ring) for ring in roi.to_vertices()]
    return rings if cells is None else [affine(cells.data_to_world, ring) for ring in rings]


def to_lines(area: shapely.MultiPolygon, cells: Layer) -> list[NDArray[np.float64]]:
    """Return the closed outlines of an area, holes included, in world y x."""
    return [
        affine(cells.data_to_world, to_canvas(shapely.get_coordinates(ring)))
        for part in shapely.get_parts(area)
        if not part.is_empty
        for ring in (part.exterior, *part.interiors)
    ]


def affine(transform: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a layer's transform, which takes one point at a time, to (n, 2) points."""
    origin = np.asarray(transform((0.0, 0.0)), np.float64)[-2:]
    unit_y = np.asarray(transform((1.0, 0.0)), np.float64)[-2:]
    unit_x = np.asarray(transform((0.0, 1.0)), np.float64)[-2:]
    return origin + points @ np.stack([unit_y - origin, unit_x - origin])
