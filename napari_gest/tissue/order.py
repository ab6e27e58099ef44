"""Serialization: the order in which the cells of a window enter the sequence (Sec. 4.2).

All orders but ``strict`` draw cells one by one without replacement, with a weight per cell. One
vectorised pass does it: sorting ``log weight + Gumbel noise`` in descending order has exactly that
distribution.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["inward", "corner", "eq6", "random", "strict"]
ORDERS: tuple[Order, ...] = ("inward", "corner", "eq6", "random", "strict")

_TAU = 1 / 20  # of the window's side


def serialize(
    coords: NDArray[np.float64], order: Order, window: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a permutation of n cells, first in sequence first.

    Parameters
    ----------
    coords
        (n, 2) positions, (x, y), relative to the window's centre, in any unit.
    order
        ``inward``: from far cells to cells near a random focus, as when a hole is filled.
        The focus lies inside the window or up to one window away, so that context surrounds a
        query or lies on one side of it. ``corner``: weight exp(-d / tau) with the distance from
        the cell nearest to a random corner, as in the paper's text. ``eq6``: weight d, Eq. 6 as
        printed. ``random``. ``strict``: by distance from the corner cell, without noise.
    window
        Side of the window, in the unit of ``coords``.
    rng
        Draws corner, focus and noise.
    """
    n = len(coords)
    noise = rng.gumbel(size=n)
    if order == "random":
        return np.argsort(-noise, kind="stable")
    if order == "inward":
        angle, reach = rng.uniform(0, 2 * np.pi), window * np.sqrt(rng.uniform())
        focus = reach * np.array([np.cos(angle), np.sin(angle)])
        distance = np.linalg.norm(coords - focus, axis=1)
        return np.argsort(-(distance / (_TAU * window) + noise), kind="stable")
    corner = rng.choice([-0.5, 0.5], size=2) * window
    start = np.linalg.norm(coords - corner, axis=1).argmin()
    distance = np.linalg.norm(coords - coords[start], axis=1)
    if order == "strict":
        return np.argsort(distance, kind="stable")
    if order == "corner":
        key = -distance / (_TAU * window) + noise
    else:
        with np.errstate(divide="ignore"):
            key = np.log(distance) + noise
    key[start] = np.inf
    return np.argsort(-key, kind="stable")
