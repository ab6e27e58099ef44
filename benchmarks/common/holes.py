"""The protocol: circular holes inside a section, their cells unseen, the rest known."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, cKDTree

from benchmarks.common.metrics import svgs

RADII_UM = (100.0, 150.0, 200.0, 300.0, 400.0)
MIN_CELLS = 20
MAX_FRACTION = 0.3  # of a section's cells in one hole, so that enough tissue stays known
_CANDIDATES = 2000


@dataclass(frozen=True, eq=False)
class Hole:
    """A disc whose cells are held out.

    Attributes
    ----------
    center
        (2,) um, (x, y).
    radius_um
        Radius actually used, um.
    mask
        (n_obs,) bool, cells inside: the cells to predict.
    buffer
        (n_obs,) bool, cells in the ring around it that are neither predicted nor known.
    """

    center: NDArray[np.float64]
    radius_um: float
    mask: NDArray[np.bool_]
    buffer: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n_obs,) bool, cells a method may see."""
        return ~(self.mask | self.buffer)

    def depth_um(self, coords_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (m,) um from each hole cell to the nearest known cell.

        This is the distance that a prediction has to bridge. Unlike the distance to the circle, it
        includes gaps in the tissue and a hidden buffer.
        """
        return cKDTree(coords_um[self.known]).query(coords_um[self.mask])[0]


def draw_holes(
    coords_um: NDArray[np.float64],
    radii_um: Sequence[float] = RADII_UM,
    seed: int | Sequence[int] = 0,
    *,
    buffer_um: float = 0.0,
    min_cells: int = MIN_CELLS,
) -> list[Hole]:
    """Draw one hole per radius at random centres inside the tissue.

    A hole lies within the convex hull, with a rim of known cells around it, and over tissue: at
    most a tenth of its probe points are far from every cell. It holds at least ``min_cells`` and
    at most 30 % of the cells. If cells are too sparse for the smallest radius to hold
    ``min_cells`` (Visium), all radii are enlarged by one factor. A radius that fits nowhere is
    reduced until it fits. Holes of one call do not overlap if there is room.

    Parameters
    ----------
    coords_um
        (n_obs, 2) um, (x, y).
    radii_um
        Radii wanted, um.
    seed
        Seed, or several, of the generator; other seeds give other holes.
    buffer_um
        Width of a ring around each hole whose cells are dropped as well.
    min_cells
        Fewest cells in a hole.

    Returns
    -------
    One `Hole` per radius, in the order of ``radii_um``.
    """
    coords = np.asarray(coords_um, dtype=np.float64)
    rng = np.random.default_rng(seed)
    ground = _Ground(coords)
    scale = ground.scale(min(radii_um), min_cells)
    placed: dict[int, tuple[NDArray[np.float64], float]] = {}
    # The largest is the hardest to place, so it goes first.
    for i in sorted(range(len(radii_um)), key=lambda j: -radii_um[j]):
        placed[i] = ground.place(radii_um[i] * scale, min_cells, list(placed.values()), rng)
    holes = []
    for i in range(len(radii_um)):
        center, radius = placed[i]
        distance = np.hypot(*(coords - center).T)
        mask = distance <= radius
        holes.append(Hole(center, radius, mask, ~mask & (distance <= radius + buffer_um)))
    return holes


class _Ground:
    """Finds positions where a disc fits: inside the hull and over cells."""

    def __init__(self, coords: NDArray[np.float64]) -> None:
        self.coords = coords
        self.tree = cKDTree(coords)
        self.spacing = float(np.median(self.tree.query(coords, 2)[0][:, 1]))
        self.planes = ConvexHull(coords).equations  # outward normals: inside is <= 0

    def scale(self, radius: float, min_cells: int) -> float:
        """Return the factor that lets a typical disc of ``radius`` hold ``min_cells``."""
        inside = np.median(self.tree.query_ball_point(self.coords, radius, return_length=True))
        return float(np.sqrt(max(1.0, 1.5 * min_cells / max(inside, 1.0))))

    def place(
        self,
        radius: float,
        min_cells: int,
        others: list[tuple[NDArray[np.float64], float]],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], float]:
        """Return a centre and the radius that fits there."""
        low, high = self.coords.min(axis=0), self.coords.max(axis=0)
        for _ in range(40):
            centers = rng.uniform(low, high, (_CANDIDATES, 2))
            centers = centers[self._fits(centers, radius, min_cells)]
            if len(centers):
                clear = np.ones(len(centers), bool)
                for center, other in others:
                    clear &= np.hypot(*(centers - center).T) > radius + other
                return (centers[clear] if clear.any() else centers)[0], radius
            radius *= 0.9
        raise ValueError(f"no disc with {min_cells} cells fits in {len(self.coords)} cells")

    def _fits(self, centers: NDArray, radius: float, min_cells: int) -> NDArray[np.bool_]:
        # A disc is in a half-plane if its centre is, by its radius; the margin is the rim.
        margin = radius + 2 * self.spacing
        depth = -(centers @ self.planes[:, :2].T + self.planes[:, 2]).max(axis=1)
        good = depth >= margin
        cells = self.tree.query_ball_point(centers[good], radius, return_length=True)
        enough = (cells >= min_cells) & (cells <= MAX_FRACTION * len(self.coords))
        good[good] = enough
        probes = radius * _SUNFLOWER
        gaps, _ = self.tree.query(centers[good][:, None] + probes)
        good[good] = (gaps <= 4 * self.spacing).mean(axis=1) >= 0.9
        return good


def _sunflower(n: int) -> NDArray[np.float64]:
    """Return (n, 2) points spread evenly over the unit disc."""
    i = np.arange(n)
    r, angle = np.sqrt((i + 0.5) / n), i * np.pi * (3 - np.sqrt(5))
    return np.column_stack([r * np.cos(angle), r * np.sin(angle)])


_SUNFLOWER = _sunflower(64)


@dataclass(frozen=True, eq=False)
class Case:
    """One section in model space with one hole: the known cells, and the cells to predict.

    Attributes
    ----------
    section
        Name of the section.
    coords_um
        (n_obs, 2) um.
    values
        (n_obs, G) float32, model space.
    hole
        The hole in it.
    svg
        Columns of the spatially variable genes, ranked on the known cells only.
    """

    section: str
    coords_um: NDArray[np.float64]
    values: NDArray[np.float32]
    hole: Hole
    svg: NDArray[np.int64]

    @property
    def known_coords(self) -> NDArray[np.float64]:
        """(n, 2) um."""
        return self.coords_um[self.hole.known]

    @property
    def known_values(self) -> NDArray[np.float32]:
        """(n, G) model space."""
        return self.values[self.hole.known]

    @property
    def hole_coords(self) -> NDArray[np.float64]:
        """(m, 2) um."""
        return self.coords_um[self.hole.mask]

    @property
    def truth(self) -> NDArray[np.float32]:
        """(m, G) model space; only scores may use it."""
        return self.values[self.hole.mask]

    @property
    def depth_um(self) -> NDArray[np.float64]:
        """(m,) um to the nearest known cell."""
        return self.hole.depth_um(self.coords_um)


def case_seed(section: str, seed: int) -> list[int]:
    """Return the seed of a section's holes, which depends on its name.

    Sections of one tissue share coordinates, so one seed would put their holes at one position.
    """
    return [seed, zlib.crc32(section.encode())]


def cases(
    section: str,
    coords_um: NDArray[np.float64],
    values: NDArray[np.float32],
    seed: int,
    *,
    radii_um: Sequence[float] = RADII_UM,
    buffer_um: float = 0.0,
) -> list[Case]:
    """Return one `Case` per radius."""
    holes = draw_holes(coords_um, radii_um, case_seed(section, seed), buffer_um=buffer_um)
    return [Case(section, coords_um, values, h, svgs(values, coords_um, h.known)) for h in holes]
