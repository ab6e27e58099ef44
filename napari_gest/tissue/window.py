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
    n_cells
        Cells L in a window.
    """
    k = min(n_cells, len(coords_um))
    step = max(1, len(coords_um) // 500)
    half = cKDTree(coords_um).query(coords_um[::step], k=[k], p=np.inf)[0]
    return float(2 * np.median(half) * np.sqrt(n_cells / k))


def compact_groups(coords_um: NDArray[np.float64], size: int) -> list[NDArray[np.int64]]:
    """Split cells (n, 2) into compact groups of ``size`` at most, by halves of the longer side.

    Returns
    -------
    Indices of each group's cells; every cell is in one group.
    """
    todo: list[NDArray[np.int64]] = [np.arange(len(coords_um))]
    groups = []
    while todo:
        group = todo.pop()
        if len(group) <= size:
            groups.append(group)
            continue
        axis = np.ptp(coords_um[group], axis=0).argmax()
        order = group[np.argsort(coords_um[group, axis], kind="stable")]
        todo += [order[: len(order) // 2], order[len(order) // 2 :]]
    return groups


def crop(
    tree: cKDTree,
    centre: NDArray[np.float64],
    n_cells: int,
    dropped: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return ``n_cells`` cells of a square window, after a share of its cells is left out.

    Parameters
    ----------
    tree
        Tree of a section's (n, 2) positions.
    centre
        (2,) centre of the square, which is as large as needed.
    n_cells
        Cells wanted.
    dropped
        Share of the square's cells to leave out at random; the rest is ``n_cells``.
    rng
        Draws the cells that stay.
    """
    k = min(round(n_cells / (1 - dropped)), tree.n)
    inside = tree.query(centre, k=k, p=np.inf)[1]
    return rng.choice(inside, min(n_cells, k), replace=False, shuffle=False)


def reflect_rotate(coords: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return coords (n, 2) rotated at random about the origin, and half the time reflected."""
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
    """Return a window like those of generation: hidden cells in a hole, and their context.

    Parameters
    ----------
    tree
        Tree of a section's (n, 2) positions.
    centre, radius
        The hole, a disc; cells in it are hidden.
    n_context
        Known cells wanted.
    n_targets
        Hidden cells wanted. If the hole holds fewer, it is widened.
    dropped
        Share of the known cells near the group to leave out at random.
    rng
        Draws the group's position and the cells that stay.

    Returns
    -------
    context
        At most (n_context,) known cells around the group, the nearest first.
    targets
        (n_targets,) hidden cells around a random point of the hole.
    """
    angle, off = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform())
    middle = centre + off * np.array([np.cos(angle), np.sin(angle)])
    hidden = len(tree.query_ball_point(centre, radius))
    wanted = round(n_context / (1 - dropped))
    near = tree.query(middle, k=min(tree.n, wanted + max(hidden, n_targets)))[1]
    inside = np.linalg.norm(tree.data[near] - centre, axis=1) <= radius
    if inside.sum() < n_targets:
        targets = near[:n_targets]
        inside[:n_targets] = True
    else:
        targets = near[inside][:n_targets]
    known = near[~inside]
    known = known[rng.random(len(known)) >= dropped]
    return known[:n_context], targets


def reach(n_context: int, pooled: bool = True) -> int:
    """Return how many of the nearest cells a context of ``n_context`` items spans."""
    return 12 * n_context if pooled else n_context


def symmetries() -> NDArray[np.float32]:
    """Return (8, 2, 2): the identity first, then the other symmetries of the square."""
    turn, flip = np.array([[0, 1], [-1, 0]]), np.diag([1, -1])
    turns = [np.linalg.matrix_power(turn, i) for i in range(4)]
    # Rotations and reflections alternate, so that a few passes already include both.
    return np.array([m for i in (0, 2, 1, 3) for m in (turns[i], turns[i] @ flip)], np.float32)
