"""Outlines of groups of cells: a map in which neighbouring areas share their boundary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

_PIXELS_A_CELL = 4
_REACH = 1.3  # widths of a cell; positions farther from any cell are not tissue
_BLUR = 0.7  # widths of a cell; single cells among others disappear
_SMALLEST = 6  # cells; smaller areas are left out, smaller holes filled
_GAP = 8.0  # widths; wider gaps along an axis are shortened to about that
_MOST_PIXELS = 50_000_000  # of the map; larger tissue gets larger pixels
_CHUNK = 200_000


@dataclass(frozen=True)
class _Gaps:
    """Stretches of an axis without cells, which are shortened while areas are computed.

    Attributes
    ----------
    start
        (g,) where each gap begins, um.
    total
        (g + 1,) cumulative shortening, um: before the first gap, after the first, and so on.
    least
        Smallest width of a gap, and its width once shortened, um.
    """

    start: NDArray[np.float64]
    total: NDArray[np.float64]
    least: float

    @classmethod
    def of(cls, along: NDArray[np.float64], least: float, pixel: float) -> _Gaps:
        """Find gaps wider than ``least``; they are shortened by whole pixels."""
        along = np.sort(along)
        cut = np.floor(np.maximum(np.diff(along) - least, 0) / pixel) * pixel
        total = np.concatenate([[0.0], np.cumsum(cut[cut > 0])])
        return cls(along[:-1][cut > 0], total, least)

    def close(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions (n,) of cells after gaps are shortened."""
        return along - self.total[np.searchsorted(self.start, along)]

    def open(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the tissue positions (n,) of positions among shortened gaps."""
        # Positions in the first half of a gap belong to the cells before it.
        middle = self.start - self.total[:-1] + self.least / 2
        return along + self.total[np.searchsorted(middle, along)]


def outlines(
    coords_um: NDArray[np.float64], labels: NDArray[np.int64], n_labels: int
) -> list[shapely.MultiPolygon]:
    """Return the area of each group of cells, empty where a group has none large enough.

    Parameters
    ----------
    coords_um
        (n, 2) positions, x y.
    labels
        (n,) group of each cell, 0 to ``n_labels`` - 1; -1: tissue of no group.
    n_labels
        Number of groups.

    Returns
    -------
    ``n_labels`` geometries, um, axis order (x, y), that touch but do not overlap.
    """
    near = min(7, len(coords_um))
    radius = cKDTree(coords_um).query(coords_um, k=[near])[0][:, 0]
    width = float(np.median(radius) * np.sqrt(np.pi / near))
    if not width > 0:
        return [shapely.MultiPolygon()] * n_labels
    pixel = width / np.sqrt(_PIXELS_A_CELL)
    # One cell far from all others must not require a map of the space between.
    gaps = [_Gaps.of(along, _GAP * width, pixel) for along in coords_um.T]
    coords_um = np.stack(
        [gap.close(along) for gap, along in zip(gaps, coords_um.T, strict=True)], 1
    )
    size = np.ptp(coords_um, axis=0) + 4 * _REACH * width
    pixel = max(pixel, float(np.sqrt(size.prod() / _MOST_PIXELS)))
    origin = coords_um.min(0) - 2 * _REACH * width
    shape = np.ceil(size / pixel).astype(int)
    ground = _ground(coords_um, labels, n_labels, origin, pixel, shape, _REACH * width)
    ground = _blurred(ground, n_labels + 2, _BLUR * width / pixel)
    areas = shapely.get_parts(shapely.polygonize(_edges(ground)))
    inside = shapely.get_coordinates(shapely.point_on_surface(areas)).astype(int)
    group = ground[inside[:, 1], inside[:, 0]]
    areas = shapely.coverage_simplify(areas[group > 0], tolerance=2.0)
    group = group[group > 0]

    def place(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        closed = (origin + xy * pixel).T
        return np.stack([gap.open(along) for gap, along in zip(gaps, closed, strict=True)], 1)

    areas = shapely.transform(areas, place)
    return [_large(areas[group == i + 2], _SMALLEST * width**2) for i in range(n_labels)]


def _ground(
    coords_um: NDArray[np.float64],
    labels: NDArray[np.int64],
    n_labels: int,
    origin: NDArray[np.float64],
    pixel: float,
    shape: NDArray[np.int64],
    reach: float,
) -> NDArray[np.int64]:
    """Return (h, w) pixels: 0 no tissue, 1 tissue of no group, 2 and up the groups."""
    tree = cKDTree(coords_um)
    values = np.append(labels + 2, 0)
    x = origin[0] + (np.arange(shape[0]) + 0.5) * pixel
    y = origin[1] + (np.arange(shape[1]) + 0.5) * pixel
    ground = np.zeros((len(y), len(x)), np.int64)
    rows = max(1, _CHUNK // len(x))
    for start in range(0, len(y), rows):
        part = slice(start, start + rows)
        grid = np.stack(np.meshgrid(x, y[part]), -1).reshape(-1, 2)
        cell = tree.query(grid, distance_upper_bound=reach)[1]
        ground[part] = values[cell].reshape(-1, len(x))
    return ground


def _blurred(ground: NDArray[np.int64], n: int, sigma: float) -> NDArray[np.int64]:
    """Return each pixel's most frequent value in a neighbourhood."""
    most = np.full(ground.shape, -1.0, np.float32)
    out = np.zeros_like(ground)
    for value in range(n):
        share = gaussian_filter((ground == value).astype(np.float32), sigma, truncate=3)
        better = share > most
        out[better], most[better] = value, share[better]
    return out


def _edges(ground: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the sides of pixels across which the value changes, as lines in pixels x y."""
    y, x = np.nonzero(ground[:, 1:] != ground[:, :-1])
    upright = np.stack([np.stack([x + 1, y], -1), np.stack([x + 1, y + 1], -1)], 1)
    y, x = np.nonzero(ground[1:] != ground[:-1])
    level = np.stack([np.stack([x, y + 1], -1), np.stack([x + 1, y + 1], -1)], 1)
    return np.asarray(shapely.linestrings(np.concatenate([upright, level]).astype(np.float64)))


def _large(areas: NDArray[np.object_], smallest: float) -> shapely.MultiPolygon:
    kept = [
        shapely.Polygon(a.exterior, [h for h in a.interiors if shapely.Polygon(h).area >= smallest])
        for a in areas
        if a.area >= smallest
    ]
    return shapely.MultiPolygon(kept)


def outline_around(coords_um: NDArray[np.float64]) -> shapely.MultiPolygon:
    """Return the outline of one group of cells, slightly outside the cells.

    Parameters
    ----------
    coords_um
        (n, 2) um, (x, y). Gaps are bridged where they are narrower than about three times the
        typical distance between them.
    """
    spacing = 10.0
    if len(coords_um) > 1:
        nearest = cKDTree(coords_um).query(coords_um, k=[2])[0]
        spacing = float(np.median(nearest)) or spacing
    discs = shapely.buffer(shapely.points(coords_um), 1.8 * spacing, quad_segs=3)
    area = shapely.buffer(shapely.union_all(discs), -1.0 * spacing, quad_segs=3)
    parts = shapely.get_parts(shapely.simplify(area, 0.1 * spacing))
    return shapely.MultiPolygon([one for one in parts if not one.is_empty])
