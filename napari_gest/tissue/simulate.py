"""A synthetic tissue: regions, niches, cell types and counts, for samples, tests and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree

import napari_gest
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.seeds import check_seed

if TYPE_CHECKING:
    from anndata import AnnData

_DENSITY = 0.0018  # cells per um2
_CORE_UM = 6.0  # no two cells are nearer to each other than this
_N_TYPES = 12
_SUBTYPES = 3  # profiles of a type, where none are given
_REGIONS = ("layer 1", "layer 2", "layer 3", "layer 4", "nucleus")
_NICHE_UM = 150.0  # correlation length of the two niches of a region
_CLUMP_UM = 40.0  # and of the clumps in which cells of a type stand
_COUNTS = 250.0  # median counts of a cell
SHAPE = 4.0  # of the gamma in gamma-Poisson counts
MOST_CELLS, MOST_GENES = 100_000_000, 1_000_000  # that are made in one call
_CHUNK = 20_000  # cells whose dense counts are held at once


def simulate(
    n_cells: int = 5000,
    n_genes: int | None = None,
    n_sections: int = 1,
    seed: int = 0,
    *,
    profiles: ArrayLike | None = None,
    genes: Sequence[str] | None = None,
) -> AnnData:
    """Make a synthetic tissue.

    A section is an outline with four curved layers and a nucleus. Each region has two niches,
    each niche its own mixture of cell types, and cells of a type stand in clumps. Counts are
    gamma-Poisson around the profile of the cell, times a gene's response to the niche and to two
    gradients across the tissue, at a library size that varies between cells.

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
        similar profiles become one cell type. Made up by default.
    genes
        n_genes unique names; ``gene_1`` and so on by default.

    Returns
    -------
    AnnData
        ``X`` CSR float32 counts; ``obs`` section, region, niche, cell_type;
        ``obsm["spatial"]`` (n_cells, 2) um, x y; ``uns["source"]`` how it was made.

    Raises
    ------
    InputError
        If a number is not positive, or profiles or genes do not fit together.
    """
    import anndata

    check_number("n_cells", n_cells, 1, MOST_CELLS, whole=True)
    check_number("n_sections", n_sections, 1, n_cells, whole=True)
    check_seed(seed)
    anatomy_rng, *section_rngs = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n_sections + 1)
    )
    anatomy = Anatomy.draw(profiles, n_genes, anatomy_rng)
    names = _gene_names(genes, anatomy.profiles.shape[1])
    counts, tables, positions = [], [], []
    for number, rng in enumerate(section_rngs, 1):
        n = n_cells // n_sections + (number <= n_cells % n_sections)
        coords, radius = place(n, rng)
        table, profile, niche = draw_cells(anatomy, coords, radius, rng)
        counts.append(_counts(anatomy, coords / radius, profile, niche, rng))
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
        "seed": seed,
        "profiles": "made up" if profiles is None else "given",
        "values": "counts",
        "units": "um",
        "notes": "Synthetic: no measured cell is in this file.",
    }
    return adata


@dataclass(frozen=True)
class Anatomy:
    """What all sections share.

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
        n_types: int = _N_TYPES,
    ) -> Anatomy:
        """Draw an anatomy; ``given`` profiles (K, G) decide their own types."""
        if given is None:
            n_genes = 150 if n_genes is None else n_genes
            profiles, type_of = _made_up_profiles(n_genes, n_types, rng)
        else:
            profiles, type_of = _typed_profiles(np.asarray(given, dtype=np.float64), n_genes)
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


def _made_up_profiles(
    n_genes: int, n_types: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    check_number("n_genes", n_genes, 1, MOST_GENES, whole=True)

    def markers(rows: int, share: float, fold: float) -> NDArray[np.float64]:
        return rng.gamma(4, fold / 4, (rows, n_genes)) * (rng.random((rows, n_genes)) < share)

    base = rng.normal(0, 1, n_genes)
    of_type = np.repeat(markers(n_types, 0.12, 2.0), _SUBTYPES, axis=0)
    profiles = np.exp(base + of_type + markers(n_types * _SUBTYPES, 0.08, 1.0))
    return profiles / profiles.sum(axis=1, keepdims=True), np.arange(len(profiles)) // _SUBTYPES


def _typed_profiles(
    profiles: NDArray[np.float64], n_genes: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the profiles, scaled to sum 1 and ordered by type, and the type of each."""
    if (
        profiles.ndim != 2
        or not profiles.size
        or not np.isfinite(profiles).all()
        or (profiles < 0).any()
        or (n_genes is not None and n_genes != profiles.shape[1])
    ):
        raise InputError(
            f"Profiles of shape {profiles.shape} cannot be used"
            f"{'' if n_genes is None else f' for {n_genes} genes'}.",
            "Give (K, n_genes) finite linear means that are not negative.",
        )
    profiles = profiles[profiles.sum(axis=1) > 0]
    if not len(profiles):
        raise InputError("All profiles are zero.", "Give at least one that expresses something.")
    profiles = profiles / profiles.sum(axis=1, keepdims=True)
    logged = np.log1p(profiles * 1000)
    label = np.zeros(len(profiles), dtype=np.int64)
    if len(profiles) > 1:
        label = fcluster(linkage(logged, "ward"), _N_TYPES, "maxclust")
    # Along its type's main axis, so that a smooth field picks similar profiles side by side.
    axis = np.linalg.svd(logged - logged.mean(axis=0), full_matrices=False)[0][:, 0]
    axis *= np.sign(axis[np.abs(axis).argmax()])  # which end comes first is LAPACK's whim
    order = np.lexsort((axis, label))
    return profiles[order], np.unique(label[order], return_inverse=True)[1]


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
    radius = (n / _DENSITY / np.pi) ** 0.5
    bumps = rng.uniform(0, 2 * np.pi, 3)
    # Matern's second hard-core process keeps a known share of the points it starts from.
    core_area = np.pi * _CORE_UM**2
    start = -np.log(1 - _DENSITY * core_area) / core_area
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
            cKDTree(points).query_pairs(_CORE_UM, output_type="ndarray").max(axis=1, initial=-1)
        ] = False
        if keep.sum() >= n:
            return points[keep][:n], radius
        surplus *= 1.2


def _field(
    coords: NDArray[np.float64], length_um: float, n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (len(coords), n) smooth random fields of variance 1 from random Fourier features."""
    waves = rng.normal(0, 1 / length_um, (n, 16, 2))
    phase = rng.uniform(0, 2 * np.pi, (n, 16))
    result = np.empty((len(coords), n))
    for i in range(n):
        for start in range(0, len(coords), _CHUNK):
            part = slice(start, start + _CHUNK)
            result[part, i] = np.cos(coords[part] @ waves[i].T + phase[i]).sum(axis=1) / 8**0.5
    return result


def draw_cells(
    anatomy: Anatomy, coords: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    """Return labels, and profile and niche (n,) of each cell."""
    u, v = (coords / radius).T
    depth = v + 0.2 * np.sin(2.2 * u + rng.normal(0, 0.3)) + rng.normal(0, 0.03)
    region = np.digitize(depth, [-0.45, 0.0, 0.45])
    cu, cv = rng.normal([0.25, -0.2], 0.04)
    region[((u - cu) / 0.35) ** 2 + ((v - cv) / 0.22) ** 2 < 1] = 4
    niche = 2 * region + (_field(coords, _NICHE_UM, 1, rng)[:, 0] > 0)
    n_types = anatomy.mixture.shape[1]
    # Adding Gumbel noise to logits and taking the highest is a draw from their softmax.
    logits = _field(coords, _CLUMP_UM, n_types, rng)
    logits += anatomy.mixture[niche]
    logits += rng.gumbel(0, 0.7, logits.shape)
    kind = logits.argmax(axis=1)
    del logits
    first = np.searchsorted(anatomy.type_of, np.arange(n_types + 1))
    along = 0.8 * _field(coords, _NICHE_UM, 1, rng)[:, 0] + 0.6 * rng.normal(size=len(coords))
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


def library_sizes(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n,) expected counts of cells."""
    return rng.lognormal(np.log(_COUNTS), 0.35, n)


def _counts(
    anatomy: Anatomy,
    where: NDArray[np.float64],
    profile: NDArray[np.int64],
    niche: NDArray[np.int64],
    rng: np.random.Generator,
) -> sparse.csr_matrix:
    """Return (n, G) CSR float32 counts of cells at ``where`` (n, 2) in units of the outline."""
    g = anatomy.profiles.shape[1]
    library = library_sizes(len(where), rng)
    parts = []
    for start in range(0, len(where), _CHUNK):
        part = slice(start, start + _CHUNK)
        mean = rates(anatomy, where[part], profile[part], niche[part]) * library[part, None]
        counts = rng.poisson(mean * rng.standard_gamma(SHAPE, (len(mean), g)) / SHAPE)
        parts.append(sparse.csr_matrix(counts.astype(np.float32)))
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"))
