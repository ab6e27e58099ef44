"""Regions: GeoJSON in, cells inside, GeoJSON out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from benchmarks.fuzz import blind, jsons
from benchmarks.fuzz.case import Room, Work, WrongError
from napari_gest.tissue.placement import place_cells
from napari_gest.tissue.roi import Roi


def prepare(room: Room) -> Work:
    path = room.inputs / "region.geojson"
    base = room.base.folder / "region.geojson"
    draw = room.rng.random()
    if draw < 0.2:
        path.write_bytes(base.read_bytes())
        blind.damage(room, path)
    elif draw < 0.6:
        path.write_bytes(jsons.damage(room, json.loads(base.read_text())))
    else:
        shape = room.pick(SHAPES)
        room.note(shape.__name__.strip("_"))
        path.write_text(json.dumps(shape(room)), encoding="utf-8")
    return lambda: work(room, path)


def work(room: Room, path: Path) -> None:
    """Read a region, use it, write it and read it back."""
    room.names += ["region", "outline"]
    roi = Roi.read_geojson(path)
    if not (math.isfinite(roi.area_um2) and roi.area_um2 > 0):
        raise WrongError(f"a region of {roi.area_um2} um2")
    section = room.base.sections[0]
    inside = roi.contains(section.coords_um)
    if inside.shape != (section.n_obs,) or inside.dtype != bool:
        raise WrongError("contains() is no mask")
    if room.chance(0.5):
        room.names.append("cells")
        made = place_cells(roi, section.coords_um, np.random.default_rng(0))
        if not np.isfinite(made).all():
            raise WrongError("cells placed nowhere")
    out = room.out / "again.geojson"
    roi.write_geojson(out)
    again = Roi.read_geojson(out)
    # Reading takes a union, which may start a ring elsewhere.
    one, other = roi.geometry.normalize(), again.geometry.normalize()
    if not (one.equals_exact(other, 0) or one.equals(other)):
        raise WrongError("the region read back is another one")


def _collection(*geometries: Any) -> dict[str, Any]:
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in geometries]
    return {"type": "FeatureCollection", "features": features}


def _polygon(*rings: Any) -> dict[str, Any]:
    def closed(ring: Any) -> list[Any]:
        listed = np.asarray(ring, float).tolist()
        return [*listed, listed[0]] if listed else []

    return {"type": "Polygon", "coordinates": [closed(ring) for ring in rings]}


def crossing(room: Room) -> Any:
    n = room.pick((5, 100, 3000))
    return _collection(_polygon(room.rng.uniform(0, 400, (n, 2))))


def _square(side: float, x: float = 0.0, y: float = 0.0) -> Any:
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * side + [x, y]


def huge(room: Room) -> Any:
    return _collection(_polygon(_square(room.pick((1e5, 1e6, 1e9, 1e150, 1e200, 1e308)))))


def far(room: Room) -> Any:
    at = room.pick((1e6, 1e12, 1e17, 1e200))
    return _collection(_polygon(_square(100.0, at, at)))


def tiny(room: Room) -> Any:
    return _collection(_polygon(_square(room.pick((1e-3, 1e-9, 1e-200, 5e-324)), 50, 50)))


def not_a_number(room: Room) -> Any:
    ring = _square(200.0)
    ring[int(room.rng.integers(4)), int(room.rng.integers(2))] = room.pick(
        (math.nan, math.inf, -math.inf)
    )
    return _collection(_polygon(ring))


def nothing(room: Room) -> Any:
    empty = {"type": "GeometryCollection", "geometries": []}
    return room.pick(
        (
            empty,
            _collection(empty),
            _collection(),
            _collection(None),
            _polygon(),
            _polygon([]),
            {"type": "MultiPolygon", "coordinates": []},
            {"type": "MultiPolygon", "coordinates": [[]]},
            [],
            {},
            None,
            5,
            "text",
        )
    )


def high(room: Room) -> Any:
    ring = np.column_stack([_square(200.0), np.arange(4.0)])
    if room.chance(0.3):
        ring = np.column_stack([ring, ring])
    return _polygon(ring)


def holes(room: Room) -> Any:
    inner = room.pick(
        (
            _square(500.0, -100, -100),  # swallows the outline
            _square(50.0, 1000, 1000),  # outside
            _square(200.0),  # the outline itself
            _square(100.0, 150, 150),  # across the outline
            _square(100.0)[::-1],
        )
    )
    return _collection(_polygon(_square(200.0), inner, inner))


def other_kinds(room: Room) -> Any:
    kinds = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
             "GeometryCollection", "Feature", "FeatureCollection", "Topology",
             "polygon")  # fmt: skip
    coordinates = room.pick(
        ([0, 0], [[0, 0], [1, 1]], _polygon(_square(9.0))["coordinates"], [], None, "text", [[[]]])
    )
    key = room.pick(("coordinates", "geometries", "geometry", "features"))
    return _collection({"type": room.pick(kinds), key: coordinates})


def flat(room: Room) -> Any:
    t = np.linspace(0, 300, int(room.rng.integers(2, 9)))
    return _polygon(np.column_stack([t, 2 * t]))


def many(room: Room) -> Any:
    n = room.pick((50, 2000))
    places = room.rng.uniform(0, 2000, (n, 2))
    return _collection(*(_polygon(_square(30.0, *at)) for at in places))


def deep(room: Room) -> Any:
    inside: Any = _polygon(_square(200.0))
    for _ in range(room.pick((10, 200, 480))):
        inside = {"type": "GeometryCollection", "geometries": [inside]}
    return inside


def spiral(room: Room) -> Any:
    t = np.linspace(0, 60 * np.pi, 4000)
    return _polygon(np.column_stack([t * np.cos(t), t * np.sin(t)]))


def curve(room: Room) -> Any:
    return _collection(json.loads(shapely.to_geojson(shapely.Point(200, 200).buffer(80, 2000))))


SHAPES: tuple[Callable[[Room], Any], ...] = (
    crossing, huge, far, tiny, not_a_number, nothing, high, holes, other_kinds, flat, many, deep,
    spiral, curve,
)  # fmt: skip
