"""Positions for new cells in a region without any, matched to the tissue around it."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.tissue.extent import UNITS, extents
from napari_gest.tissue.roi import Roi

# Lengths are in units of the tissue's own spacing, so cells and coarse spots are treated alike.
_RIM = 5.0  # measured cells this near the region make its rim
_MARGIN = 15.0  # tissue this near the region is used
_BANDWIDTH = 2.0  # finest smoothing of the density; each coarser one doubles it
_REACH = 2.0  # cells farther apart do not interact
_BINS = 40  # of the pair correlation, over the reach
# A density counts where this share of the smoothing kernel covers measured tissue.
_SUPPORT = 0.2
_MIN_RIM_CELLS = 12
# Rounds in which every placed cell may move once, in batches; a few suffice for the spacing.
_SWEEPS = 12
_BATCHES = 20
_MOST_NEW = 1_000_000  # cells that are placed, at most
_MOST_ROUNDS = 2_000  # rounds of drawing points until enough lie inside, at most
_MAX_PIXELS = 400  # along a side of the grid of densities


def place_cells(
    roi: Roi, coords_um: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw positions for the cells that a region lacks.

    The density of the surrounding tissue is smoothed into the region. The spacing comes from a
    Gibbs point process whose repulsion is estimated from the pair correlation of the surrounding
    cells. Measured cells inside count towards the density, and they repel new cells too.

    Parameters
    ----------
    roi
        The region, um.
    coords_um
        (n, 2) measured cells of the section, um, axis order (x, y).
    rng
        The only source of randomness.

    Returns
    -------
    (m, 2) float64, um, axis order (x, y), all inside the region; m is 0 if the region is already
    full or smaller than a cell.

    Raises
    ------
    InputError
        If fewer than 12 measured cells lie around the region, within five times the usual
        distance between cells; if it needs more than a million cells, or is a thin line.
    """
    found = _Surroundings(roi, coords_um)
    reach = _REACH * found.spacing
    reference = found.density.around(20 * len(found.around), rng)
    log_g = _repulsion(found.around, reference, reach)
    return _settle(found.density, log_g, reach, found.near(reach), found.n_new, rng)


def n_lacking(roi: Roi, coords_um: NDArray[np.float64]) -> int:
    """Return how many cells ``place_cells`` would place; parameters and errors as there."""
    return _Surroundings(roi, coords_um).n_new


class _Surroundings:
    """The tissue around a region, and how many cells it lets expect in it."""

    def __init__(self, roi: Roi, coords_um: NDArray[np.float64]) -> None:
        coords = every = np.asarray(coords_um, dtype=np.float64)[:, :2]
        coords = coords[np.lexsort(coords.T[::-1])]  # independent of the order of rows
        self.spacing = spacing = _spacing(coords) if len(coords) > _MIN_RIM_CELLS else 1.0
        low, high = np.reshape(roi.geometry.bounds, (2, 2))
        low, high = low - _MARGIN * spacing, high + _MARGIN * spacing
        self.coords = coords = coords[((coords > low) & (coords < high)).all(axis=1)]
        self.inside = inside = roi.contains(coords)
        self.apart = apart = shapely.distance(roi.geometry, shapely.points(coords))
        self.around = coords[~inside & (apart <= _MARGIN * spacing)]
        n_rim = int((~inside & (apart <= _RIM * spacing)).sum())
        if n_rim < _MIN_RIM_CELLS:
            place = f" ({extents(roi, every)})" if len(every) else ""
            raise InputError(
                f"{n_rim} measured cells lie close to the region, too few to estimate the density"
                f" of cells in it{place}.",
                f"Draw the region inside measured tissue or at its edge. {UNITS}",
            )
        _check_number(roi.area_um2 / spacing**2)
        self.density = density = _Density(roi, self.around, low, high, spacing)
        if not (density.density * density.tissue).any():
            raise InputError(
                "The region is too long to estimate the density of cells in it from the cells"
                " around.",
                "Draw a shorter one.",
            )
        self.n_new = max(round(density.expected - inside.sum()), 0)
        _check_number(self.n_new)

    def near(self, reach: float) -> NDArray[np.float64]:
        """Return (n, 2) um: the cells inside the region or at most ``reach`` from it."""
        return self.coords[self.inside | (self.apart <= reach)]


def _check_number(n: float) -> None:
    if n > _MOST_NEW:
        raise InputError(
            f"The region would take about {n:,.0f} new cells.",
            f"Draw a smaller one: {_MOST_NEW:,} cells can be placed at most.",
        )


def _spacing(coords: NDArray[np.float64]) -> float:
    """Return the side, um, of the square per cell at typical density."""
    some = coords[:: max(1, len(coords) // 10_000)]
    sixth = np.median(cKDTree(coords).query(some, 7)[0][:, -1])
    return float(max(sixth * (np.pi / 6) ** 0.5, 1e-3))


class _Density:
    """Cells per um2 on a grid: counted over tissue around the region, smoothed into it."""

    def __init__(
        self,
        roi: Roi,
        around: NDArray[np.float64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        spacing: float,
    ) -> None:
        self.roi = roi
        self.low = low
        fine = min(spacing / 3, roi.area_um2**0.5 / 20)
        self.pixel = max(fine, float((high - low).max()) / _MAX_PIXELS)
        self.shape = tuple(np.ceil((high - low) / self.pixel).astype(int))
        corners = np.indices(self.shape).reshape(2, -1).T * self.pixel + low
        centres = corners + self.pixel / 2
        in_roi = roi.contains(centres).reshape(self.shape)
        # Tissue is the closing of the cells' positions; gaps wider than five spacings are empty.
        reach = 2.5 * spacing
        gap = cKDTree(around).query(centres, distance_upper_bound=reach)[0].reshape(self.shape)
        depth = distance_transform_edt(gap <= reach, sampling=self.pixel)
        self.tissue = (depth > reach - spacing / 2) & ~in_roi
        counts = np.zeros(self.shape)
        at = tuple(((around - low) / self.pixel).astype(int).T)
        np.add.at(counts, at, self.tissue[at])
        # Pixels cut by the outline count in part.
        self.touching = distance_transform_edt(~in_roi) < 2
        density = np.zeros(self.shape)
        wanted = self.tissue | self.touching
        sigma = _BANDWIDTH * spacing / self.pixel
        while wanted.any():
            area = gaussian_filter(self.tissue.astype(float), sigma, mode="constant", truncate=3)
            count = gaussian_filter(counts, sigma, mode="constant", truncate=3)
            # Far inside a wide region every kernel is almost empty; then the widest is used.
            enough = wanted & (area >= (_SUPPORT if sigma < max(self.shape) else 0))
            density[enough] = count[enough] / np.maximum(area[enough], 1e-9)
            wanted &= ~enough
            sigma *= 2
        self.density = density / self.pixel**2
        self.expected = self.density[in_roi].mean() * roi.area_um2 if in_roi.any() else 0.0

    def _draw(
        self, where: NDArray[np.bool_], n: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        weight = np.cumsum((self.density * where).ravel())
        pixel = np.searchsorted(weight, rng.random(n) * weight[-1], side="right")
        corner = np.stack(np.unravel_index(pixel, self.shape), axis=1) * self.pixel + self.low
        return corner + rng.random((n, 2)) * self.pixel

    def around(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (n, 2) um Poisson points, without spacing, in the tissue around the region."""
        return self._draw(self.tissue, n, rng)

    def inside(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (n, 2) um Poisson points, without spacing, inside the region."""
        points = np.empty((0, 2))
        for _ in range(_MOST_ROUNDS):
            if len(points) >= n:
                return points[:n]
            drawn = self._draw(self.touching, 2 * n, rng)
            points = np.concatenate([points, drawn[self.roi.contains(drawn)]])
        raise InputError(
            "The region is too thin for its length to place cells in it.", "Draw a wider one."
        )


def _repulsion(
    around: NDArray[np.float64], reference: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    """Return log of the pair correlation, at most 0, in equal bins of distance up to ``reach``.

    Pairs of cells are counted against pairs of a cell and a reference point that has the
    cells' density but no spacing, so holes and edges cancel.
    """
    edges = np.linspace(0, reach, _BINS + 1)
    tree = cKDTree(around)
    pairs = tree.query_pairs(reach, output_type="ndarray")
    apart = np.linalg.norm(around[pairs[:, 0]] - around[pairs[:, 1]], axis=1)
    cross = tree.sparse_distance_matrix(cKDTree(reference), reach, output_type="ndarray")["v"]
    found = 2.0 * np.histogram(apart, edges)[0]
    expected = np.histogram(cross, edges)[0] * len(around) / len(reference) + 1e-9
    g = gaussian_filter1d(found, 0.5) / gaussian_filter1d(expected, 0.5)
    # Attraction is left to the density; as a pair force it would clump cells.
    return np.log(np.clip(g, 1e-3, 1))


def _settle(
    density: _Density,
    log_g: NDArray[np.float64],
    reach: float,
    fixed: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return (n, 2) um positions after Metropolis moves of cells drawn without spacing."""
    placed = density.inside(n, rng)

    def repelled(
        points: NDArray[np.float64], others: NDArray[np.float64], own: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        pairs = cKDTree(points).sparse_distance_matrix(
            cKDTree(others), reach, output_type="ndarray"
        )
        force = log_g[np.minimum(pairs["v"] / reach * _BINS, _BINS - 1).astype(int)]
        force[pairs["j"] == own[pairs["i"]]] = 0
        return np.bincount(pairs["i"], force, len(points)).astype(np.float64)

    for _ in range(_SWEEPS if n else 0):
        for batch in np.array_split(rng.permutation(n), min(_BATCHES, n)):
            proposed = density.inside(len(batch), rng)
            standing, own = np.concatenate([fixed, placed]), len(fixed) + batch
            gain = repelled(proposed, standing, own) - repelled(placed[batch], standing, own)
            # A whole batch moves at once, so its cells consider each other's new positions.
            gain += repelled(proposed, proposed, np.arange(len(batch)))
            accept = np.log(rng.random(len(batch))) < gain
            placed[batch[accept]] = proposed[accept]
    return placed
