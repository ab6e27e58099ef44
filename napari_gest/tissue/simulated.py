"""Building blocks of simulated tissues: profiles, smooth fields and counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage

from napari_gest.errors import InputError
from napari_gest.limits import check_number

DENSITY = 0.0018  # cells per um2
CORE_UM = 6.0  # no two cells are nearer to each other than this
N_TYPES = 12
SHAPE = 4.0  # of the gamma in gamma-Poisson counts
MOST_GENES = 1_000_000
_SUBTYPES = 3  # profiles of a type, where none are given
_COUNTS = 250.0  # median counts of a cell
CHUNK = 20_000  # cells whose dense counts are held at once

Shares = Callable[[slice], NDArray[np.float64]]  # of each gene in some cells, (m, G)


def profiles_of_types(
    given: ArrayLike | None, n_genes: int | None, n_types: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return profiles (K, G) that sum to 1, ordered by type, and the type (K,) of each.

    ``given`` profiles decide their own types; without any, those of ``n_types`` are made up.
    """
    if given is None:
        return _made_up_profiles(150 if n_genes is None else n_genes, n_types, rng)
    return _typed_profiles(np.asarray(given, dtype=np.float64), n_genes)


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
        label = fcluster(linkage(logged, "ward"), N_TYPES, "maxclust")
    # Along its type's main axis, so that a smooth field picks similar profiles side by side.
    axis = np.linalg.svd(logged - logged.mean(axis=0), full_matrices=False)[0][:, 0]
    axis *= np.sign(axis[np.abs(axis).argmax()])  # LAPACK's sign is arbitrary
    order = np.lexsort((axis, label))
    return profiles[order], np.unique(label[order], return_inverse=True)[1]


def smooth_field(
    coords: NDArray[np.float64], length_um: float, n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (len(coords), n) smooth random fields of variance 1 from random Fourier features."""
    waves = rng.normal(0, 1 / length_um, (n, 16, 2))
    phase = rng.uniform(0, 2 * np.pi, (n, 16))
    result = np.empty((len(coords), n))
    for i in range(n):
        for start in range(0, len(coords), CHUNK):
            part = slice(start, start + CHUNK)
            result[part, i] = np.cos(coords[part] @ waves[i].T + phase[i]).sum(axis=1) / 8**0.5
    return result


def library_sizes(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n,) expected counts of cells."""
    return rng.lognormal(np.log(_COUNTS), 0.35, n)


def draw_counts(shares: Shares, n: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return (n, G) CSR float32 counts; ``shares`` gives the expected share of each gene."""
    library = library_sizes(n, rng)
    parts = []
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        mean = shares(part) * library[part, None]
        counts = rng.poisson(mean * rng.standard_gamma(SHAPE, mean.shape) / SHAPE)
        parts.append(sparse.csr_matrix(counts.astype(np.float32)))
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"))
