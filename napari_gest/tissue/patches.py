"""Look-alike patches: measured tissue as deep as a region and with similar surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

_RIM_CELLS = 60  # cells around a region or a patch that are compared
_FEWEST = 20  # cells in a patch, at least
_CANDIDATES = 1500
_ALLOWED = 0.8  # share of a patch's cells that must be allowed in it
_GROUND = 0.6  # share of the typical number of cells; with fewer a patch is at an edge or a tear


@dataclass(frozen=True, eq=False)
class Patch:
    """A disc of measured cells.

    Attributes
    ----------
    centre_um
        (2,) um, (x, y).
    radius_um
        Radius, um.
    cells
        (m,) ascending index of the cells inside.
    """

    centre_um: NDArray[np.float64]
    radius_um: float
    cells: NDArray[np.int64]


def look_alike_patches(
    coords_um: NDArray[np.float64],
    features: NDArray[np.floating],
    region_um: NDArray[np.float64],
    radius_um: float,
    n_patches: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
    most_cells: int | None = None,
) -> list[Patch]:
    """Return discs of measured cells whose surroundings are most like those of a region.

    Parameters
    ----------
    coords_um
        (n, 2) um of the measured cells.
    features
        (n, F) features such as principal components; surroundings are compared by their means.
    region_um
        (m, 2) um of the cells of the region, which are not among the measured ones.
    radius_um
        Radius of a patch: the region's depth, so that both are equally deep.
    n_patches
        Patches wanted. There may be fewer, or none.
    allowed
        (n,) bool, cells that a patch may contain; all by default.
    most_cells
        Cells in all patches together, at most.

    Returns
    -------
    Patches that do not overlap each other, the most alike first.
    """
    tree, region = cKDTree(coords_um), cKDTree(region_um)
    n = len(coords_um)
    allowed = np.ones(n, bool) if allowed is None else allowed
    limit = n if most_cells is None else most_cells
    typical = np.median(tree.query_ball_point(coords_um[::7], radius_um, return_length=True))
    centres = np.flatnonzero(allowed)
    centres = centres[:: max(1, len(centres) // _CANDIDATES)]
    centres = centres[region.query(coords_um[centres])[0] > radius_um]
    inside = tree.query_ball_point(coords_um[centres], radius_um, return_sorted=True)
    fit = [
        i
        for i, cells in enumerate(inside)
        if len(cells) >= max(_FEWEST, _GROUND * typical)
        and allowed[cells].mean() >= _ALLOWED
        and _surrounded(coords_um[cells], coords_um[centres[i]])
    ]
    wanted = _mean_around(tree, features, region_um, np.empty(0, np.int64))
    differ = [
        float(
            np.linalg.norm(_mean_around(tree, features, coords_um[inside[i]], inside[i]) - wanted)
        )
        for i in fit
    ]
    found: list[Patch] = []
    used = 0
    for place in np.argsort(differ, kind="stable"):
        i = fit[place]
        centre, cells = coords_um[centres[i]], np.array(inside[i], np.int64)
        apart = all(np.linalg.norm(centre - p.centre_um) > 2 * radius_um for p in found)
        if apart and used + len(cells) <= limit:
            found.append(Patch(centre, radius_um, cells))
            used += len(cells)
        if len(found) == n_patches:
            break
    return found


def _surrounded(cells_um: NDArray[np.float64], centre_um: NDArray[np.float64]) -> bool:
    """Whether there are cells on all sides of a centre, in each quarter of the circle."""
    offset = cells_um - centre_um
    quarter = (offset[:, 0] > 0) * 2 + (offset[:, 1] > 0)
    return bool((np.bincount(quarter, minlength=4) >= len(cells_um) / 12).all())


def _mean_around(
    tree: cKDTree,
    features: NDArray[np.floating],
    inside_um: NDArray[np.float64],
    inside: NDArray[np.int64] | list[int],
) -> NDArray[np.float64]:
    """Return (F,) the mean feature of the measured cells nearest to those of a region."""
    centre = inside_um.mean(0)
    k = min(tree.n, len(inside) + 8 * _RIM_CELLS)
    near = np.atleast_1d(tree.query(centre, k=k)[1])
    near = near[~np.isin(near, inside)]
    # The cells nearest to any cell inside, not to the centre: regions are seldom round.
    rim = cdist(tree.data[near], inside_um[:: max(1, len(inside_um) // 200)]).min(1)
    return np.asarray(features[near[np.argsort(rim, kind="stable")[:_RIM_CELLS]]].mean(0))
