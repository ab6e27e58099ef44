"""Look-alike patches: measured patches of the same section whose rim resembles a hole's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.common.holes import Case
from benchmarks.generation.baselines import spacing

_CANDIDATES = 500
_RIM_SPACINGS = 4.0  # width of the rim that is compared, in distances between neighbouring cells
_COMPACT = 1.25  # largest reach of a patch relative to that of the hole


def look_alike(case: Case, seed: int = 0) -> NDArray[np.int64] | None:
    """Return (m,) indices of known cells: the patch whose rim is most similar to the hole's.

    A patch is the m known cells nearest to a centre, where m is the number of cells in the hole.
    It is a disc of about the hole's size, and its rim holds known cells only. Rims are compared by
    their mean expression, genes divided by their standard deviation. None if no patch fits.

    Parameters
    ----------
    case
        The hole.
    seed
        Seed of the centres that are tried.
    """
    coords, values = case.known_coords, case.known_values
    m, radius = len(case.truth), case.hole.radius_um
    width = _RIM_SPACINGS * spacing(coords)
    tree = cKDTree(coords)
    rim = tree.query_ball_point(case.hole.center, radius + width)
    # A patch and its rim do not overlap the hole.
    away = np.hypot(*(coords - case.hole.center).T) >= 2 * radius + width
    centres = np.flatnonzero(away)
    if not rim or not len(centres) or len(coords) <= m:
        return None
    rng = np.random.default_rng(seed)
    centres = rng.permutation(centres)[:_CANDIDATES]
    spread = values.std(0)
    scale = np.where(spread > 1e-6, spread, np.inf)
    wanted = values[rim].mean(0)
    best, least = None, np.inf
    for centre in centres:
        distance, patch = tree.query(coords[centre], m)
        reach = distance[-1]
        if reach > _COMPACT * radius:
            continue
        around = np.setdiff1d(tree.query_ball_point(coords[centre], reach + width), patch)
        if not len(around):
            continue
        far = float(np.square((values[around].mean(0) - wanted) / scale).sum())
        if far < least:
            best, least = np.asarray(patch, np.int64), far
    return best
