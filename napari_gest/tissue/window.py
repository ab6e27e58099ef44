"""Windows: the cells around a point, and the symmetries of the plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def window_side(coords_um: NDArray[np.float64], n_cells: int) -> float:
    """Return the side in um of the square that holds ``n_cells`` at the median density.

    Parameters
    ----------
    coords_um
        (n, 2) positions of a section's cells.
    """
    k = min(n_cells, len(coords_um))
    step = max(1, len(coords_um) // 500)
    half = cKDTree(coords_um).query(coords_um[::step], k=[k], p=np.inf)[0]
    return float(2 * np.median(half) * np.sqrt(n_cells / k))


def crop(
    tree: cKDTree,
    centre: NDArray[np.float64],
    n_cells: int,
    dropped: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the ``n_cells`` cells of a square window, some of its cells left out.

    Parameters
    ----------
    tree
        Of a section's (n, 2) positions.
    centre
        (2,) centre of the square, which is as large as it takes.
    dropped
        Share of the square's cells to leave out at random; the rest is ``n_cells``.
    """
    k = min(round(n_cells / (1 - dropped)), tree.n)
    inside = tree.query(centre, k=k, p=np.inf)[1]
    return rng.choice(inside, min(n_cells, k), replace=False, shuffle=False)


def reflect_rotate(coords: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return coords (n, 2) turned by a random angle about the origin, and reflected half the time."""
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    flip = rng.choice([-1.0, 1.0])
    return coords @ np.array([[cos, sin], [-sin * flip, cos * flip]])


def hole_window(
    tree: cKDTree,
    centre: NDArray[np.float64],
    radius: float,
    n_context: int,
    n_targets: int,
    dropped: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a window as generation sees it: a group of hidden cells in a hole, and its context.

    Parameters
    ----------
    tree
        Of a section's (n, 2) positions.
    centre, radius
        The hole, a disc; cells in it are hidden.
    n_context, n_targets
        Cells wanted. If the hole holds fewer than ``n_targets``, it is widened.
    dropped
        Share of the known cells near the group to leave out at random.

    Returns
    -------
    context
        (n_context,) the known cells nearest to the group, far ones first.
    targets
        (n_targets,) hidden cells around a random point of the hole.
    """
    angle, reach = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform())
    middle = centre + reach * np.array([np.cos(angle), np.sin(angle)])
    hidden = len(tree.query_ball_point(centre, radius))
    wanted = round(n_context / (1 - dropped))
    near = tree.query(middle, k=min(tree.n, wanted + max(hidden, n_targets)))[1]
    inside = np.linalg.norm(tree.data[near] - centre, axis=1) <= radius
    if inside.sum() < n_targets:
        targets = near[:n_targets]
        inside[:n_targets] = True
    else:
        targets = near[inside][:n_targets]
    known = near[~inside][:wanted]
    kept = np.sort(rng.choice(len(known), min(n_context, len(known)), replace=False))
    return known[kept][::-1], targets
