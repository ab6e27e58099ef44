"""Regions of interest: polygons in um, and masks kept in obs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely import MultiPolygon, Polygon

from napari_gest.errors import InputError
from napari_gest.files import GEOJSON, write_text
from napari_gest.tissue.obs import obs_column
from napari_gest.tissue.reading import MOST_UM
from napari_gest.tissue.text import load_json

if TYPE_CHECKING:
    from anndata import AnnData

# Outlines with more crossings than this take minutes to repair.
_MOST_CROSSINGS = 10_000
_MOST_CORNERS = 1_000_000
_TRUE_FALSE = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class Roi:
    """A region of tissue.

    Attributes
    ----------
    geometry
        Valid polygon or polygons with an area above zero, um, axis order (x, y).
    """

    geometry: Polygon | MultiPolygon

    def __post_init__(self) -> None:
        shape = self.geometry
        if not isinstance(shape, Polygon | MultiPolygon):
            raise InputError(
                f"A region cannot be a {getattr(shape, 'geom_type', type(shape).__name__)}.",
                "Draw or give a polygon.",
            )
        if not np.isfinite(shape.bounds).all() or not shape.area > 0:
            raise InputError(
                "The region is empty or has no area.",
                "Draw a polygon with at least three corners that are not on one line.",
            )
        if np.abs(shape.bounds).max() > MOST_UM:
            raise _too_far()
        if not shape.is_valid:
            raise InputError(
                f"The region is not valid ({shapely.is_valid_reason(shape)}).",
                "Build it with Roi.from_vertices, which repairs outlines that cross themselves.",
            )

    @classmethod
    def from_vertices(cls, rings: Iterable[ArrayLike]) -> Roi:
        """Return the union of outlines; one that crosses itself covers everything it encloses.

        Parameters
        ----------
        rings
            (n, 2) arrays of corners, um, axis order (x, y), closed or open.

        Raises
        ------
        InputError
            If a ring has the wrong shape, fewer than three corners or corners that are missing,
            infinite or farther than 1e9 um from the origin, if outlines cross more than 10,000
            times, or if the union has no area.
        """
        return cls(_union([_polygon(np.asarray(ring, dtype=np.float64)) for ring in rings]))

    @classmethod
    def read_geojson(cls, path: str | Path) -> Roi:
        """Read the union of all polygons of a GeoJSON file with coordinates in um.

        A plain list of features is read, too.

        Raises
        ------
        InputError
            If the file is missing or not GeoJSON, or holds lines or points, or has no area; and as
            ``from_vertices``.
        """
        path = Path(path)
        document = load_json(path, "GeoJSON", "Export the region as GeoJSON in um.")
        if isinstance(document, list):
            document = {"type": "FeatureCollection", "features": document}
        return cls(_union(_polygons(document, path.name)))

    def write_geojson(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the region as a GeoJSON FeatureCollection, whole or not at all.

        Raises
        ------
        InputError
            If the file exists and ``overwrite`` is false, or its folder does not exist.
        CheckpointError
            If the disk is full or the folder cannot be written.
        """
        document = {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "properties": {"units": "um", "axes": "x y"},
                    "geometry": shapely.geometry.mapping(self.geometry),
                }
            ],
        }
        write_text(path, json.dumps(document, indent=1) + "\n", GEOJSON, overwrite=overwrite)

    def to_vertices(self) -> list[NDArray[np.float64]]:
        """Return one open ring (n, 2) of corners per part, x y in um; reverses ``from_vertices``.

        A hole is connected by a cut: two edges that coincide and enclose nothing.
        """
        return [_cut_open(part) for part in shapely.get_parts(self.geometry)]

    @property
    def area_um2(self) -> float:
        return float(self.geometry.area)

    def contains(self, coords_um: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (n,) bool: which of ``coords_um`` (n, 2) x y are inside, not on the outline."""
        x, y = np.asarray(coords_um, dtype=np.float64)[:, :2].T
        x0, y0, x1, y1 = self.geometry.bounds
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        near = np.flatnonzero(inside)
        shapely.prepare(self.geometry)
        inside[near] = shapely.contains_xy(self.geometry, x[near], y[near])
        return inside


def _polygon(ring: NDArray[np.float64]) -> Polygon:
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise InputError(
            f"An outline has shape {ring.shape}.", "Give (n, 2) corners, x and y in um."
        )
    if not np.isfinite(ring).all():
        raise InputError("An outline has missing or infinite corners.", "Draw it again.")
    if len(ring) < 3:
        raise InputError(
            f"An outline has {len(ring)} corners.", "Draw at least three that enclose an area."
        )
    return Polygon(ring)


def _cut_open(polygon: Polygon) -> NDArray[np.float64]:
    """Return (n, 2) corners of one ring that encloses a polygon and leaves out its holes."""
    turned = shapely.orient_polygons(polygon)  # holes run the other way round
    ring = shapely.get_coordinates(turned.exterior)[:-1]
    holes = np.array(turned.interiors, dtype=object)
    # The shortest line from the joined ring to the nearest hole crosses no hole and stays inside.
    ways = shapely.shortest_line(turned.exterior, holes)
    while len(holes):
        nearest = int(np.argmin(shapely.length(ways)))
        start, end = shapely.get_coordinates(ways[nearest])
        joined = holes[nearest]
        hole = shapely.get_coordinates(joined)[:-1]
        ring = np.vstack([_from(ring, start), start, _from(hole, end), end])
        holes, ways = np.delete(holes, nearest), np.delete(ways, nearest)
        further = shapely.shortest_line(joined, holes)
        ways = np.where(shapely.length(further) < shapely.length(ways), further, ways)
    return ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]


def _from(ring: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring (n, 2) as (n + 1, 2), starting at a point on it."""
    along = np.roll(ring, -1, axis=0) - ring
    share = ((place - ring) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-300)
    off = ring + np.clip(share, 0, 1)[:, None] * along - place
    after = int((off**2).sum(axis=1).argmin()) + 1
    return np.vstack([place, ring[after:], ring[:after]])


def _check_size(polygons: Sequence[Polygon]) -> None:
    """Raise InputError where the union of polygons would take very long, or overflow."""
    corners = [shapely.get_coordinates(p) for p in polygons]
    n_corners = sum(map(len, corners))
    if not n_corners:
        return
    if n_corners > _MOST_CORNERS:
        raise InputError(
            f"The region has {n_corners:,} corners.",
            f"Simplify its outlines: {_MOST_CORNERS:,} corners can be used at most.",
        )
    if any(len(c) and np.abs(c).max() > MOST_UM for c in corners):
        raise _too_far()
    if all(p.is_valid for p in polygons):
        pairs = shapely.STRtree(polygons).query(polygons, predicate="intersects")
        if pairs.shape[1] <= len(polygons):  # each meets only itself
            return
    rings = [ring for p in polygons for ring in (p.exterior, *p.interiors)]
    ends = [shapely.get_coordinates(ring) for ring in rings]
    edges = shapely.linestrings(np.concatenate([np.stack([e[:-1], e[1:]], 1) for e in ends]))
    tree, crossings = shapely.STRtree(edges), 0.0
    for start in range(0, len(edges), 50):
        found = tree.query(edges[start : start + 50], predicate="crosses")
        crossings += found.shape[1] / 2  # each is found from both sides
        if crossings > _MOST_CROSSINGS:
            raise InputError(
                f"The outlines of the region cross each other more than {_MOST_CROSSINGS:,} times.",
                "Draw them again without crossings, or simplify them.",
            )


def _too_far() -> InputError:
    return InputError(
        f"The region reaches farther than {MOST_UM:g} um from the origin.",
        "Give coordinates in um, as in the section.",
    )


def _union(polygons: Sequence[Polygon]) -> Polygon | MultiPolygon:
    _check_size(polygons)
    # "structure" keeps an area that an outline encloses twice; "linework" would cut it out.
    valid = [shapely.make_valid(p, method="structure", keep_collapsed=False) for p in polygons]
    parts = shapely.get_parts(shapely.union_all(valid))
    flat = [p for p in parts if isinstance(p, Polygon) and p.area > 0]
    return flat[0] if len(flat) == 1 else MultiPolygon(flat)


def _polygons(node: Any, file: str) -> list[Polygon]:
    """Collect the polygons of a GeoJSON object and of all objects inside it."""
    kind = node.get("type") if isinstance(node, dict) else None
    try:
        if kind == "FeatureCollection":
            return [p for feature in node["features"] for p in _polygons(feature, file)]
        if kind == "Feature":
            return _polygons(node["geometry"], file) if node["geometry"] else []
        if kind == "GeometryCollection":
            return [p for part in node["geometries"] for p in _polygons(part, file)]
        if kind in ("Polygon", "MultiPolygon"):
            # Corners may have a height, which a section does not have.
            shape = shapely.force_2d(shapely.geometry.shape(node))
            if not np.isfinite(shapely.get_coordinates(shape)).all():
                raise ValueError("missing or infinite corners")
            return list(shapely.get_parts(shape))
    except InputError:
        raise
    except Exception as error:  # malformed coordinates raise many exceptions in shapely
        raise InputError(
            f"'{file}' has a malformed {kind} ({error}).", "Export the region again as GeoJSON."
        ) from error
    raise InputError(
        f"'{file}' holds {'a ' + str(kind) if kind else 'no GeoJSON object'}"
        " where a polygon is needed.",
        "Keep only Polygon and MultiPolygon shapes in it.",
    )


def is_true(value: Any) -> bool | None:
    """Return whether a value of a mask is true, None where it is neither true nor false."""
    return _TRUE_FALSE.get(str(value).strip().lower())


def mask_from_obs(adata: AnnData, key: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Read a checked mask of cells from ``obs``.

    Parameters
    ----------
    adata
        Cells x genes. Never modified.
    key
        Column of ``obs`` with booleans, 0 and 1, or 'True' and 'False'.
    rows
        (n,) rows of the cells wanted, such as ``Section.rows``.

    Returns
    -------
    (n,) bool

    Raises
    ------
    InputError
        If the column is absent, holds other or missing values, or is the same for all cells.
    """
    remedy = "Name a boolean column (--mask-key), or give a region (--roi)."
    column = obs_column(adata, key, remedy, rows)
    missing = int(column.isna().sum())
    if missing:
        raise InputError(
            f"obs['{key}'] has no value for {missing} of {len(rows)} cells.",
            "Fill in True or False for every cell of the section.",
        )
    codes, values = pd.factorize(column)
    known = [is_true(value) for value in values]
    if None in known:
        other = values[known.index(None)]
        raise InputError(
            f"obs['{key}'] is not a mask: it holds '{other}'.",
            "Name a column of booleans, of 0 and 1, or of 'True' and 'False'.",
        )
    mask = np.array(known, dtype=bool)[codes]
    if mask.all() or not mask.any():
        raise InputError(
            f"obs['{key}'] is {'True' if mask.all() else 'False'} for all {len(rows)} cells"
            " of the section.",
            "Mark the cells to generate as True and leave the others False; the model needs both.",
        )
    return mask
