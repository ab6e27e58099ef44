"""The anatomy of a simulated section of brain: layers, tracts, nuclei, a ventricle, two halves.

Positions are in units of half the section's width, origin in its centre, y downwards. ``w`` is the
distance from the midline, so both halves follow one drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_gest.tissue.simulated import CORE_UM, DENSITY, Shares, smooth_field

Floats = NDArray[np.float64]

# Cell types of the mouse preoptic area and genes that mark them, named as in Moffitt et al. 2018.
MARKERS = {
    "oligodendrocyte": ("Ermn", "Opalin", "Sgk1"),
    "precursor": ("Pdgfra", "Traf4", "Sox6"),
    "astrocyte": ("Aqp4", "Aldh1l1", "Cxcl14"),
    "microglia": ("Selplg", "Slc15a3", "Rgs2"),
    "endothelial": ("Slco1a4", "Fn1", "Klf4"),
    "mural": ("Myh11", "Lmod1", "Bmp7"),
    "ependymal": ("Cd24a", "Mlc1", "Cckbr"),
    "excitatory Cbln1": ("Slc17a6", "Cbln1", "Calcr"),
    "excitatory Nos1": ("Slc17a6", "Nos1", "Fezf1"),
    "excitatory Ntng1": ("Slc17a6", "Ntng1", "Necab1"),
    "inhibitory Esr1": ("Gad1", "Esr1", "Prlr"),
    "inhibitory Isl1": ("Gad1", "Isl1", "Amigo2"),
    "inhibitory Dgkk": ("Gad1", "Dgkk", "Serpinb1b"),
    "inhibitory Ano3": ("Gad1", "Ano3", "Gda"),
    "inhibitory Syt2": ("Gad1", "Syt2", "Npas1"),
}
TYPES = tuple(MARKERS)
_GLIA = {"astrocyte": 14, "oligodendrocyte": 9, "endothelial": 8, "precursor": 4,
         "microglia": 2, "mural": 2}  # fmt: skip


@dataclass(frozen=True)
class _Region:
    """Density relative to the section's mean, and shares of types, which sum to 100."""

    density: float
    types: dict[str, int]


def _grey(density: float, **neurons: int) -> _Region:
    """Return a region of neurons, named by their last word, among ubiquitous glia."""
    names = {name.split()[-1]: name for name in TYPES}
    return _Region(density, _GLIA | {names[n]: share for n, share in neurons.items()})


# Shares of neurons and glia as in the preoptic area.
_REGIONS = {
    "layer 1": _Region(0.7, {"astrocyte": 36, "endothelial": 18, "mural": 20, "microglia": 5,
                             "precursor": 6, "oligodendrocyte": 9, "inhibitory Syt2": 6}),
    "layer 2": _grey(1.2, Syt2=46, Ano3=8, Dgkk=5),
    "layer 3": _grey(1.0, Isl1=40, Cbln1=14, Nos1=5),
    "capsule": _Region(0.85, {"oligodendrocyte": 66, "astrocyte": 9, "precursor": 5,
                              "endothelial": 6, "microglia": 2, "inhibitory Ano3": 12}),
    "core": _grey(0.9, Dgkk=28, Isl1=12, Nos1=12, Syt2=7),
    "dorsal nucleus": _grey(1.2, Nos1=34, Isl1=14, Cbln1=11),
    "medial nucleus": _grey(1.2, Dgkk=48, Nos1=6, Cbln1=5),
    "periventricular nucleus": _grey(1.3, Esr1=42, Cbln1=13, Ntng1=4),
    "lining": _Region(2.8, {"ependymal": 90, "astrocyte": 10}),
    "ventral area": _grey(0.95, Ano3=40, Esr1=14, Syt2=5),
    "ventral nucleus": _grey(1.2, Ntng1=46, Cbln1=7, Nos1=6),
    "commissure": _Region(0.95, {"oligodendrocyte": 78, "astrocyte": 6, "precursor": 6,
                                 "endothelial": 5, "microglia": 2, "inhibitory Ano3": 3}),
}  # fmt: skip
REGIONS = tuple(_REGIONS)
_NUCLEI = {  # middle and half axes
    "dorsal nucleus": ((0.30, -0.32), (0.15, 0.10)),
    "medial nucleus": ((0.38, 0.00), (0.15, 0.15)),
    "periventricular nucleus": ((0.12, -0.05), (0.10, 0.27)),
    "ventral nucleus": ((0.24, 0.57), (0.17, 0.09)),
}
_LAYERS = (0.07, 0.20, 0.33)  # depth at which each ends
_CAPSULE = 0.385  # depth at which the tract beneath them ends
_FLAT = 0.8  # height of the section by its width
_CENTRE, _RISE, _THICK = 0.31, 0.30, 0.105  # of the commissure: at the midline, sideways, half
_FASCICLE_UM, _LOOSE_UM = 30.0, 3.0  # distance of rows along the commissure, scatter around them
_PROGRAMME_UM = 180.0  # correlation length of programmes of a type
_FOLD = 0.3  # standard deviation of the log fold of the genes of a programme
_CLUMP_UM, _CLUMPS = 40.0, 0.5
_UNTYPICAL = 0.4  # share of a type's profiles that are left out
_PLACED = 0.3  # how far position, not chance, decides a cell's profile within its type
_OWN_HALF = 0.35  # variation of each half alone, relative to 1 that they share


@dataclass(frozen=True)
class Shape:
    """How one section differs from the drawing.

    Attributes
    ----------
    bend, phase
        Of the midline.
    lift
        Of the commissure.
    """

    bend: float
    phase: float
    lift: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Shape:
        """Draw a section's shape."""
        return cls(rng.normal(0, 0.012), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.012))

    def fold(self, where: Floats) -> tuple[Floats, Floats]:
        """Return w and v (n,): distance from the midline, and height."""
        u, v = where.T
        return np.abs(u - self.bend * np.sin(2.5 * v + self.phase)), v

    def depth(self, w: Floats, v: Floats) -> Floats:
        """Return (n,) 0 at the surface, 1 in the centre; the cleft above is surface too."""
        round_ = (w**2.6 + np.abs(v / _FLAT) ** 2.6) ** (1 / 2.6)
        cleft = 0.2 * np.exp(-((w / 0.13) ** 2)) * np.clip(-v / _FLAT, 0, 1)
        return np.asarray(1 - round_ - cleft)

    def across(self, w: Floats, v: Floats) -> Floats:
        """Return (n,) the height above the middle of the commissure, -1 to 1 inside of it."""
        return (v - self.lift - _CENTRE + _RISE * w**2) / (_THICK + 0.02 * w)

    def regions(self, where: Floats) -> NDArray[np.int64]:
        """Return (n,) index into ``REGIONS``, -1 outside."""
        w, v = self.fold(where)
        depth, across = self.depth(w, v), self.across(w, v)
        index = np.digitize(depth, [*_LAYERS, _CAPSULE])
        index[(depth >= _LAYERS[0]) & (across > 0)] = REGIONS.index("ventral area")
        for name, (middle, axes) in _NUCLEI.items():
            inside = ((w - middle[0]) / axes[0]) ** 2 + ((v - middle[1]) / axes[1]) ** 2 < 1
            index[inside] = REGIONS.index(name)
        index[(np.abs(across) < 1) & (depth >= _LAYERS[0])] = REGIONS.index("commissure")
        slit = (v > -0.46) & (v < 0.17)
        index[slit & (w < 0.036)] = REGIONS.index("lining")
        index[(depth < 0) | (slit & (w < 0.012))] = -1
        return index

    def scale(self, n: int) -> float:
        """Return the um of a unit with which n cells fit."""
        step = 0.01
        axis = np.arange(-1.1, 1.1, step)
        found = self.regions(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
        return float(np.sqrt(n / DENSITY / (_density(found).sum() * step**2)))


def _density(region: NDArray[np.int64]) -> Floats:
    """Return (n,) density relative to the mean; 0 outside."""
    return np.array([*(r.density for r in _REGIONS.values()), 0.0])[region]


def place(n: int, shape: Shape, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return (n, 2) positions, um around the centre, in random order, and um of a unit."""
    scale = shape.scale(n)
    most = max(r.density for r in _REGIONS.values())
    surplus = 1.2
    while True:
        n_points = int(surplus * most * DENSITY * (2.2 * scale) ** 2) + 20
        points = rng.uniform(-1.1, 1.1, (n_points, 2))
        kept = rng.random(n_points) * most < _density(shape.regions(points))
        points = _in_rows(points[kept], shape, scale, rng) * scale
        near = cKDTree(points).query_pairs(CORE_UM, output_type="ndarray")
        keep = np.ones(len(points), dtype=bool)
        keep[near.max(axis=1, initial=-1)] = False
        if keep.sum() >= n:
            return points[keep][:n], scale
        surplus *= 1.15


def _in_rows(points: Floats, shape: Shape, scale: float, rng: np.random.Generator) -> Floats:
    """Return the points; those in the commissure are moved to rows along its fibres."""
    inside = shape.regions(points) == REGIONS.index("commissure")
    w, v = shape.fold(points[inside])
    middle = shape.lift + _CENTRE - _RISE * w**2
    row = np.round((v - middle) * scale / _FASCICLE_UM) * _FASCICLE_UM
    moved = points.copy()
    moved[inside, 1] = middle + (row + rng.normal(0, _LOOSE_UM, len(w))) / scale
    return moved


@dataclass(frozen=True)
class Brain:
    """The anatomy that all sections share.

    Attributes
    ----------
    profiles
        (K, G) rows that sum to 1, ordered by type.
    type_of
        (K,) type of each profile, ascending, index into ``names``.
    names
        Names of the types.
    plays
        (len(TYPES),) the type that takes the role of each type in the drawing.
    programmes
        (4, G) log fold of each gene: a gradient along tracts, one along layers, and two
        programmes that vary smoothly within all types.
    own
        (n_types, G) log fold of a programme specific to each type.
    """

    profiles: Floats
    type_of: NDArray[np.int64]
    names: tuple[str, ...]
    plays: NDArray[np.int64]
    programmes: Floats
    own: Floats

    @classmethod
    def draw(
        cls,
        profiles: Floats,
        type_of: NDArray[np.int64],
        genes: list[str],
        rng: np.random.Generator,
    ) -> Brain:
        """Draw programmes; ``profiles`` get brain types if ``genes`` hold the markers."""
        marked = _marked(profiles, genes)
        if marked is None:
            n_types = int(type_of[-1]) + 1
            names = tuple(f"type {i + 1}" for i in range(n_types))
            plays = np.arange(len(TYPES)) % n_types
        else:
            order = np.argsort(marked, kind="stable")
            order = order[marked[order] >= 0]
            profiles, type_of = profiles[order], marked[order]
            names, plays = TYPES, np.arange(len(TYPES))
        g = profiles.shape[1]

        def folds(rows: int) -> Floats:
            return rng.normal(0, _FOLD, (rows, g)) * (rng.random((rows, g)) < 0.2)

        return cls(profiles, type_of, names, plays, folds(4), folds(len(names)))

    def section(self, n: int, rng: np.random.Generator) -> tuple[Floats, pd.DataFrame, Shares]:
        """Return positions (n, 2) um, labels, and the expected share of each gene."""
        shape = Shape.draw(rng)
        coords, scale = place(n, shape, rng)
        where = coords / scale
        region = shape.regions(where)
        region[region < 0] = REGIONS.index("commissure")  # moved a little beyond it by its row
        w, v = shape.fold(where)
        folded = np.stack([w, v], 1) * scale
        niche = 2 * region + (self._halves(folded, coords, rng) > 0)
        kind = self._kinds(region, coords, rng)
        # The position along a tract or layer, or a smooth field, decides the profile in its type.
        along = np.where(np.isin(region, _TRACTS), 4 * w - 2, self._halves(folded, coords, rng))
        first = np.searchsorted(self.type_of, np.arange(len(self.names) + 1))
        share = 1 / (1 + np.exp(-1.7 * (_PLACED * along + 0.9 * rng.normal(size=n))))
        profile = first[kind] + (share * np.diff(first)[kind]).astype(np.int64)
        levels = np.stack([
            np.where(np.isin(region, _TRACTS), 2.5 * w - 1, 0),
            np.where(region < len(_LAYERS), np.arctan2(v, w), 0),
            *(self._halves(folded, coords, rng) for _ in range(3)),
        ])  # fmt: skip
        table = pd.DataFrame({
            "region": np.array(REGIONS)[region],
            "niche": np.array([f"{name} {half}" for name in REGIONS for half in "ab"])[niche],
            "cell_type": np.array(self.names)[kind],
        })  # fmt: skip
        return coords, table, _Cells(self, profile, kind, levels).shares

    def _kinds(
        self, region: NDArray[np.int64], coords: Floats, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the type of each cell (n,): a draw from its region's shares, in clumps."""
        shares = np.zeros((len(REGIONS), len(self.names)))
        for row, one in zip(shares, _REGIONS.values(), strict=True):
            for name, share in one.types.items():
                row[self.plays[TYPES.index(name)]] += share
        logits = np.log(shares / shares.sum(axis=1, keepdims=True) + 1e-4)[region]
        logits += _CLUMPS * smooth_field(coords, _CLUMP_UM, len(self.names), rng)
        logits += rng.gumbel(0, 1, logits.shape)  # the highest is then a draw from the softmax
        return logits.argmax(axis=1)

    @staticmethod
    def _halves(folded: Floats, coords: Floats, rng: np.random.Generator) -> Floats:
        """Return (n,) a smooth field of variance 1 that is nearly the same in both halves."""
        both = smooth_field(folded, _PROGRAMME_UM, 1, rng)[:, 0]
        own = smooth_field(coords, _PROGRAMME_UM, 1, rng)[:, 0]
        return np.asarray((both + _OWN_HALF * own) / np.hypot(1, _OWN_HALF))


_TRACTS = [REGIONS.index("capsule"), REGIONS.index("commissure")]


@dataclass(frozen=True, eq=False)
class _Cells:
    """Expression of the cells of a section.

    Attributes
    ----------
    brain
        The anatomy that all sections share.
    profile, kind
        (n,) profile and type of each cell.
    levels
        (5, n) level of each programme: the shared ones, then that of its type.
    """

    brain: Brain
    profile: NDArray[np.int64]
    kind: NDArray[np.int64]
    levels: Floats

    def shares(self, part: slice) -> Floats:
        """Return (m, G) expected share of each gene; rows sum to 1."""
        log_fold = self.levels[:-1, part].T @ self.brain.programmes
        log_fold += self.levels[-1, part, None] * self.brain.own[self.kind[part]]
        rates = self.brain.profiles[self.profile[part]] * np.exp(log_fold)
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))


def _marked(profiles: Floats, genes: list[str]) -> NDArray[np.int64] | None:
    """Return (K,) index into ``TYPES``, or None unless every type has a marker and a profile.

    Profiles that match their type least, such as doublets, get -1.
    """
    known = {gene: column for column, gene in enumerate(genes)}
    columns = [[known[g] for g in markers if g in known] for markers in MARKERS.values()]
    if not all(columns):
        return None
    logged = np.log1p(profiles * 1000)
    spread = logged.std(axis=0)
    scaled = (logged - logged.mean(axis=0)) / np.where(spread > 0, spread, 1)
    score = np.stack([scaled[:, c].mean(axis=1) for c in columns], axis=1)
    marked, best = score.argmax(axis=1), score.max(axis=1)
    if len(np.unique(marked)) < len(TYPES):
        return None
    for kind in range(len(TYPES)):
        mine = marked == kind
        marked[mine & (best < np.quantile(best[mine], _UNTYPICAL))] = -1
    return marked
