"""Regions a user draws: shapes and strokes of a brush, in um of the section they lie on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, field_validator
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from napari_gest.errors import InputError
from napari_gest.tissue.outline import outline_around
from napari_gest.tissue.roi import Roi

Role = Literal["unseen", "named", "edited"]
Kind = Literal["polygon", "rectangle", "ellipse"]

_ELLIPSE_CORNERS = 96
_DIGITS = 25  # after the point, with which every number is read as it was written
_NUMBER = re.compile(r"[-+.\d]+(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_NO_REGION = "Choose a tool, then outline cells on the canvas."


class Shape(BaseModel):
    """One shape on a section.

    Attributes
    ----------
    role
        What it is for: cells to generate, a named region to learn from, or cells to edit.
    section
        Label of the section it lies on.
    kind
        How the corners are joined; those of an ellipse are the corners of the box around it.
    corners
        Corners, um, axis order (x, y).
    name
        Name of a region to learn from.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    section: str
    kind: Kind
    corners: tuple[tuple[float, float], ...]
    name: str = ""

    @property
    def outline(self) -> NDArray[np.float64]:
        """(n, 2) corners of its outline, um, (x, y)."""
        corners = np.array(self.corners, np.float64)
        return _ellipse(corners) if self.kind == "ellipse" else corners


class Stroke(BaseModel):
    """What the brush was dragged over.

    Attributes
    ----------
    section
        Label of the section it lies on.
    mode
        Whether the area is added to the region or taken away.
    wkt
        Polygon or polygons, um, axis order (x, y), as well-known text.
    """

    model_config = ConfigDict(frozen=True)

    section: str
    mode: Literal["add", "remove"]
    wkt: str

    @field_validator("wkt")
    @classmethod
    def _is_area(cls, wkt: str) -> str:
        try:
            area = shapely.from_wkt(wkt)
        except shapely.errors.ShapelyError as error:
            raise ValueError(str(error)) from error
        if not isinstance(area, Polygon | MultiPolygon):
            raise ValueError("a stroke is no area")
        return wkt

    @classmethod
    def of(
        cls, section: str, mode: Literal["add", "remove"], area: Polygon | MultiPolygon
    ) -> Stroke:
        """Return the stroke over an area, um, (x, y)."""
        # No digit that counts is lost, so that a cell at the edge stays on its side. What shapely
        # calls full precision, -1, is 16 digits after the point: too few for numbers below 1000.
        wkt = shapely.to_wkt(area, rounding_precision=_DIGITS)
        return cls(section=section, mode=mode, wkt=_NUMBER.sub(lambda n: repr(float(n[0])), wkt))

    @property
    def area(self) -> Polygon | MultiPolygon:
        """The area, um, (x, y)."""
        return shapely.from_wkt(self.wkt)


def of_role(shapes: Iterable[Shape], role: Role, section: str | None) -> tuple[Shape, ...]:
    """Return the shapes of a role on a section, in the order they were drawn."""
    return tuple(s for s in shapes if s.role == role and s.section == section)


def drawn_region(shapes: Sequence[Shape]) -> Roi:
    """Return the union of shapes.

    Raises
    ------
    InputError
        If there is none, or none has an area.
    """
    if not shapes:
        raise InputError("No region is drawn.", _NO_REGION)
    return Roi.from_vertices([shape.outline for shape in shapes])


def outline_of(coords_um: NDArray[np.float64], roi: Roi | None) -> MultiPolygon:
    """Return what a run filled, um: the region that was drawn, or else around its cells (n, 2)."""
    if roi is not None:
        drawn = roi.geometry
        return drawn if isinstance(drawn, MultiPolygon) else MultiPolygon([drawn])
    return outline_around(coords_um)


def brushed_region(shapes: Sequence[Shape], strokes: Sequence[Stroke]) -> Roi:
    """Return the union of shapes after strokes of the brush, in their order.

    Raises
    ------
    InputError
        If nothing is left of it.
    """
    # While the brush moves, only the last stroke grows.
    area = _brushed(tuple(shapes), tuple(strokes[:-1]))
    for stroke in strokes[-1:]:
        area = _after(area, stroke)
    if isinstance(area, Polygon | MultiPolygon) and area.area > 0:
        return Roi(area)
    raise InputError(
        "There is no region to edit.", "Choose a tool or the brush, then mark cells on the canvas."
    )


@lru_cache(maxsize=2)
def _brushed(shapes: tuple[Shape, ...], strokes: tuple[Stroke, ...]) -> BaseGeometry:
    area: BaseGeometry = drawn_region(shapes).geometry if shapes else Polygon()
    for stroke in strokes:
        area = _after(area, stroke)
    return area


def _after(area: BaseGeometry, stroke: Stroke) -> BaseGeometry:
    return (area.union if stroke.mode == "add" else area.difference)(stroke.area)


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2) points on the ellipse in a box (4, 2), which may be turned."""
    centre = box.mean(axis=0)
    along, across = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    turn = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    return centre + np.cos(turn) * along + np.sin(turn) * across
