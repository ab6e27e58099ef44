"""Simulated tissue: regions, niches, cell types and counts, for samples, tests and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial import cKDTree

import napari_gest
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_choice, check_number
from napari_gest.seeds import check_seed
from napari_gest.tissue.brain import Brain
from napari_gest.tissue.simulated import (
    CORE_UM,
    DENSITY,
    N_TYPES,
    Shares,
    draw_counts,
    profiles_of_types,
    smooth_field,
)

if TYPE_CHECKING:
    from anndata import AnnData

AnatomyName = Literal["layers", "brain"]
_REGIONS = ("layer 1", "layer 2", "layer 3", "layer 4", "nucleus")
_NICHE_UM = 150.0  # correlation length of the two niches of a region
_CLUMP_UM = 40.0  # correlation length of clumps of one cell type
MOST_CELLS = 100_000_000  # in one call


def simulate(
    n_cells: int = 5000,
    n_genes: int | None = None,
    n_sections: int = 1,
    seed: int = 0,
    *,
    profiles: ArrayLike | None = None,
    genes: Sequence[str] | None = None,
    anatomy: AnatomyName = "layers",
) -> AnnData:
    """Make a synthetic tissue.

    A section of ``layers`` is an outline with four curved layers and a nucleus. Each region has
    two niches, each niche its own mixture of cell types, and cells of a type form clumps. A
    gene responds to the niche and to two gradients across the tissue.

    A section of ``brain`` has two halves that mirror each other, each with three layers and four
    nuclei, two tracts of which one crosses the midline, and a ventricle with its lining.
    Densities differ between regions. A gene follows gradients along layers and tracts, and
    programmes that vary smoothly within a type, which no profile can represent.

    Counts are gamma-Poisson around the profile of the cell times the responses of its genes, with
    a library size that varies between cells.

    Parameters
    ----------
    n_cells
        Cells in all sections together, about 1,800 per mm2, no two nearer than 6 um.
    n_genes
        Genes; 150 by default, or as many as ``profiles`` has.
    n_sections
        Sections of the same anatomy, each a little different.
    seed
        Seed of everything random: one seed, one result.
    profiles
        (K, n_genes) mean linear expression to draw cells from, such as a model's vocabulary;
        similar profiles become one cell type. Drawn at random by default.
    genes
        n_genes unique names; ``gene_1`` and so on by default. Marker genes of the mouse preoptic
        area among them decide the type of each profile of a ``brain``.
    anatomy
        ``layers`` or ``brain``.

    Returns
    -------
    AnnData
        ``X`` CSR float32 counts; ``obs`` section, region, niche, cell_type;
        ``obsm["spatial"]`` (n_cells, 2) um, x y; ``uns["source"]`` how it was made.

    Raises
    ------
    InputError
        If a number is not positive, profiles or genes do not fit together, or there is no such
        anatomy.
    """
    import anndata

    check_number("n_cells", n_cells, 1, MOST_CELLS, whole=True)
    check_number("n_sections", n_sections, 1, n_cells, whole=True)
    check_seed(seed)
    check_choice("anatomy", anatomy, get_args(AnatomyName))
    anatomy_rng, *section_rngs = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n_sections + 1)
    )
    drawn: Anatomy | Brain
    if anatomy == "layers":
        drawn = Anatomy.draw(profiles, n_genes, anatomy_rng)
        names = _gene_names(genes, drawn.profiles.shape[1])
    else:
        own, type_of = profiles_of_types(profiles, n_genes, N_TYPES, anatomy_rng)
        names = _gene_names(genes, own.shape[1])
        drawn = Brain.draw(own, type_of, names, anatomy_rng)
    counts, tables, positions = [], [], []
    for number, rng in enumerate(section_rngs, 1):
        n = n_cells // n_sections + (number <= n_cells % n_sections)
        coords, table, shares = drawn.section(n, rng)
        counts.append(draw_counts(shares, n, rng))
        table.insert(0, keys.SECTION, f"section_{number}")
        tables.append(table)
        positions.append(coords - coords.min(axis=0))
    obs = pd.concat(tables, ignore_index=True).astype("category")
    obs.index = [f"cell_{i}" for i in range(n_cells)]
    stacked = counts[0] if n_sections == 1 else sparse.vstack(counts, format="csr")
    adata = anndata.AnnData(sparse.csr_matrix(stacked), obs=obs, var=pd.DataFrame(index=names))
    adata.obsm[keys.SPATIAL] = np.concatenate(positions)
    adata.uns["source"] = {
        "generator": f"napari-gest {napari_gest.__version__} simulate",
        "anatomy": anatomy,
        "seed": seed,
        "profiles": "made up" if profiles is None else "given",
        "values": "counts",
        "units": "um",
        "notes": "Synthetic: no measured cell is in this file.",
    }
    return adata


@dataclass(frozen=True)
class Anatomy:
    """The anatomy that all sections share.

    Attributes
    ----------
    profiles
        (K, G) rows that sum to 1, ordered by type.
    type_of
        (K,) type of each profile, ascending.
    mixture
        (n_niches, n_types) log share of each type in a niche.
    niche_response, gradient_response
        (n_niches, G) and (2, G) log fold change of each gene.
    """

    profiles: NDArray[np.float64]
    type_of: NDArray[np.int64]
    mixture: NDArray[np.float64]
    niche_response: NDArray[np.float64]
    gradient_response: NDArray[np.float64]

    @classmethod
    def draw(
        cls,
        given: ArrayLike | None,
        n_genes: int | None,
        rng: np.random.Generator,
        n_types: int = N_TYPES,
    ) -> Anatomy:
        """Draw an anatomy; ``given`` profiles (K, G) decide their own types."""
        profiles, type_of = profiles_of_types(given, n_genes, n_types, rng)
        g, n_niches = profiles.shape[1], 2 * len(_REGIONS)

        def response(rows: int, share: float) -> NDArray[np.float64]:
            return rng.normal(0, 0.6, (rows, g)) * (rng.random((rows, g)) < share)

        return cls(
            profiles,
            type_of,
            np.log(rng.dirichlet(np.full(type_of[-1] + 1, 0.6), n_niches) + 1e-3),
            response(n_niches, 0.15),
            response(2, 0.3),
        )

    def section(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], pd.DataFrame, Shares]:
        """Return positions (n, 2) um, labels, and the expected share of each gene."""
        coords, radius = place(n, rng)
        table, profile, niche = draw_cells(self, coords, radius, rng)
        where = coords / radius

        def shares(part: slice) -> NDArray[np.float64]:
            return rates(self, where[part], profile[part], niche[part])

        return coords, table, shares


def _gene_names(genes: Sequence[str] | None, n_genes: int) -> list[str]:
    names = [f"gene_{i}" for i in range(1, n_genes + 1)] if genes is None else list(genes)
    if len(names) != n_genes or len(set(names)) != n_genes:
        raise InputError(
            f"{len(set(names))} different gene names were given for {n_genes} genes.",
            "Give one unique name for each gene.",
        )
    return names


def place(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return (n, 2) um around the origin, in random order, and the mean radius of the outline."""
    radius = (n / DENSITY / np.pi) ** 0.5
    bumps = rng.uniform(0, 2 * np.pi, 3)
    # Matern's second hard-core process keeps a known share of the points it starts from.
    core_area = np.pi * CORE_UM**2
    start = -np.log(1 - DENSITY * core_area) / core_area
    surplus = 1.05
    while True:
        half = 1.3 * radius
        points = rng.uniform(-half, half, (int(surplus * start * (2 * half) ** 2) + 20, 2))
        angle = np.arctan2(points[:, 1], points[:, 0])
        outline = radius * (
            1 + 0.06 * sum(np.cos((k + 2) * angle + b) for k, b in enumerate(bumps))
        )
        points = points[np.hypot(*points.T) < outline]
        keep = np.ones(len(points), dtype=bool)
        keep[
            cKDTree(points).query_pairs(CORE_UM, output_type="ndarray").max(axis=1, initial=-1)
        ] = False
        if keep.sum() >= n:
            return points[keep][:n], radius
        surplus *= 1.2


def draw_cells(
    anatomy: Anatomy, coords: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    """Return labels, and profile and niche (n,) of each cell."""
    u, v = (coords / radius).T
    depth = v + 0.2 * np.sin(2.2 * u + rng.normal(0, 0.3)) + rng.normal(0, 0.03)
    region = np.digitize(depth, [-0.45, 0.0, 0.45])
    cu, cv = rng.normal([0.25, -0.2], 0.04)
    region[((u - cu) / 0.35) ** 2 + ((v - cv) / 0.22) ** 2 < 1] = 4
    niche = 2 * region + (smooth_field(coords, _NICHE_UM, 1, rng)[:, 0] > 0)
    n_types = anatomy.mixture.shape[1]
    # Adding Gumbel noise to logits and taking the highest is a draw from their softmax.
    logits = smooth_field(coords, _CLUMP_UM, n_types, rng)
    logits += anatomy.mixture[niche]
    logits += rng.gumbel(0, 0.7, logits.shape)
    kind = logits.argmax(axis=1)
    del logits
    first = np.searchsorted(anatomy.type_of, np.arange(n_types + 1))
    along = 0.8 * smooth_field(coords, _NICHE_UM, 1, rng)[:, 0] + 0.6 * rng.normal(size=len(coords))
    share = 1 / (1 + np.exp(-1.7 * along))
    profile = first[kind] + (share * np.diff(first)[kind]).astype(np.int64)
    niches = [f"{name}{half}" for name in _REGIONS for half in ("a", "b")]
    table = pd.DataFrame(
        {
            "region": np.array(_REGIONS)[region],
            "niche": np.array(niches)[niche],
            "cell_type": np.array([f"type {i + 1}" for i in range(n_types)])[kind],
        }
    )
    return table, profile, niche


def rates(
    anatomy: Anatomy,
    where: NDArray[np.float64],
    profile: NDArray[np.int64],
    niche: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return (n, G) expected share of each gene of cells at ``where`` (n, 2), in outlines."""
    response = anatomy.niche_response[niche] + where @ anatomy.gradient_response
    return anatomy.profiles[profile] * np.exp(response)
