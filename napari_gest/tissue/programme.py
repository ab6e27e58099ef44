"""Simulated tissue with ground truth: cells of one type signal, their neighbours respond."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

import napari_gest
from napari_gest import keys
from napari_gest.limits import check_number
from napari_gest.seeds import check_seed
from napari_gest.tissue.simulate import (
    MOST_CELLS,
    Anatomy,
    draw_cells,
    place,
    rates,
)
from napari_gest.tissue.simulated import MOST_GENES, SHAPE, library_sizes

if TYPE_CHECKING:
    from anndata import AnnData

# Beyond this many decay lengths the signal of a sender is ignored.
_TAIL = 6.0


@dataclass(frozen=True)
class Programme:
    """A ligand-receptor programme and the edit of the ligand.

    The dose of a cell is the sum over cells of ligand level times ``exp(-distance / decay_um)``;
    cells of the receiving types multiply target ``g`` by ``fold_g ** (dose / (dose + half_dose))``.

    Attributes
    ----------
    n_types
        Cell types of the tissue. The first sends; the second and the third receive.
    sending_share
        Share of the sending type's cells that express the ligand.
    ligand_level
        Median level of a cell that expresses it; levels are log-normal with a width of 0.3.
    n_up, n_down
        Targets that rise and fall.
    fold_up, fold_down
        The strongest response; each target has its own, down to half of it on the log scale.
    decay_um
        Length over which the signal falls to 1/e.
    half_dose
        Dose of half the response.
    roi_radius_um
        Radius of the edited disc, one per section. All its cells get ``edit_level``.
    edit_level
        Ligand level of the edited cells.
    """

    n_types: int = 5
    sending_share: float = 1 / 3
    ligand_level: float = 1.0
    n_up: int = 10
    n_down: int = 7
    fold_up: float = 3.5
    fold_down: float = 0.3
    decay_um: float = 35.0
    half_dose: float = 2.0
    roi_radius_um: float = 90.0
    edit_level: float = 1.5

    def silent(self) -> Programme:
        """Return the programme without responding targets: the null."""
        return Programme(**{**asdict(self), "fold_up": 1.0, "fold_down": 1.0})


def simulate_programme(
    n_cells: int = 18_000,
    n_genes: int = 80,
    n_sections: int = 6,
    seed: int = 0,
    programme: Programme | None = None,
    draw: int = 0,
) -> AnnData:
    """Make a tissue with a ligand-receptor programme, before and after an edit of the ligand.

    The tissue is that of ``simulate``. Both counts come from the same random numbers, so cells
    that the edit does not reach are equal in both.

    Parameters
    ----------
    n_cells, n_genes, n_sections, seed
        As in ``simulate``.
    programme
        The programme that is planted.
    draw
        Another number gives other sections of the same anatomy and programme.

    Returns
    -------
    AnnData
        ``X`` counts before the edit; ``layers["perturbed"]`` counts after it;
        ``layers["expected_control"]`` and ``layers["expected_perturbed"]`` the mean of the counts;
        ``obs`` section, region, niche, cell_type, roi (bool), dose_control, dose_perturbed;
        ``var`` role (ligand, up, down, other) and log_fold; ``obsm["spatial"]`` um, x y.

    Raises
    ------
    InputError
        If there are too few genes for the programme, or a number is impossible.
    """
    import anndata

    programme = programme or Programme()
    check_seed(seed)
    wanted = 1 + programme.n_up + programme.n_down
    check_number("n_cells", n_cells, 1, MOST_CELLS, whole=True)
    check_number("n_sections", n_sections, 1, n_cells, whole=True)
    check_number("n_genes", n_genes, wanted, MOST_GENES, whole=True)
    anatomy_rng = np.random.default_rng([seed, 4])
    section_rngs = [
        np.random.default_rng(s)
        for s in np.random.SeedSequence([seed, 4, draw, 1]).spawn(n_sections)
    ]
    anatomy = Anatomy.draw(None, n_genes, anatomy_rng, programme.n_types)
    var = _roles(anatomy, programme, anatomy_rng)
    parts = []
    for number, rng in enumerate(section_rngs, 1):
        n = n_cells // n_sections + (number <= n_cells % n_sections)
        parts.append(_section(f"section_{number}", n, anatomy, var, programme, rng))
    obs = pd.concat([p.obs for p in parts], ignore_index=True)
    for column in (keys.SECTION, "region", "niche", "cell_type"):
        obs[column] = obs[column].astype("category")
    obs.index = pd.Index([f"cell_{i}" for i in range(n_cells)])

    def stacked(name: str) -> sparse.csr_matrix:
        values = np.concatenate([getattr(p, name) for p in parts])
        return sparse.csr_matrix(values.astype(np.float32))

    adata = anndata.AnnData(stacked("control"), obs=obs, var=var)
    for name in ("perturbed", "expected_control", "expected_perturbed"):
        adata.layers[name] = stacked(name)
    adata.obsm[keys.SPATIAL] = np.concatenate([p.coords for p in parts])
    adata.uns["source"] = {
        "generator": f"napari-gest {napari_gest.__version__} simulate --perturb",
        "seed": seed,
        "draw": draw,
        "values": "counts",
        "units": "um",
        "notes": "Synthetic: no measured cell is in this file.",
        "programme": asdict(programme),
    }
    return adata


@dataclass(frozen=True, eq=False)
class _Part:
    obs: pd.DataFrame
    coords: NDArray[np.float64]
    control: NDArray[np.float64]
    perturbed: NDArray[np.float64]
    expected_control: NDArray[np.float64]
    expected_perturbed: NDArray[np.float64]


def _roles(anatomy: Anatomy, programme: Programme, rng: np.random.Generator) -> pd.DataFrame:
    """Choose ligand and targets among the genes that are neither rare nor dominant."""
    mean = anatomy.profiles.mean(0)
    n_genes = len(mean)
    wanted = 1 + programme.n_up + programme.n_down
    by_mean = np.argsort(mean)
    spare = (n_genes - wanted) // 4
    chosen = rng.permutation(by_mean[spare : n_genes - spare])[:wanted]
    role = np.full(n_genes, "other", dtype=object)
    log_fold = np.zeros(n_genes)
    role[chosen[0]] = "ligand"
    for name, genes, fold in (
        ("up", chosen[1 : 1 + programme.n_up], programme.fold_up),
        ("down", chosen[1 + programme.n_up :], programme.fold_down),
    ):
        role[genes] = name
        log_fold[genes] = np.log(fold) * rng.uniform(0.5, 1.0, len(genes))
    names = pd.Index([f"gene_{i}" for i in range(1, n_genes + 1)])
    return pd.DataFrame({"role": pd.Categorical(role), "log_fold": log_fold}, index=names)


def _section(
    name: str,
    n: int,
    anatomy: Anatomy,
    var: pd.DataFrame,
    programme: Programme,
    rng: np.random.Generator,
) -> _Part:
    coords, radius = place(n, rng)
    table, profile, niche = draw_cells(anatomy, coords, radius, rng)
    kind = anatomy.type_of[profile]
    # Inside the section, so that the surroundings are complete.
    centre = coords[np.linalg.norm(coords, axis=1) < 0.6 * radius]
    centre = centre[rng.integers(len(centre))] if len(centre) else coords[0]
    roi = np.linalg.norm(coords - centre, axis=1) < programme.roi_radius_um
    on = (kind == 0) & (rng.random(n) < programme.sending_share)
    level = np.where(on, programme.ligand_level * rng.lognormal(0, 0.3, n), 0.0)
    edited = np.where(roi, programme.edit_level, level)
    receives = (kind == 1) | (kind == 2)
    base = rates(anatomy, coords / radius, profile, niche)
    base /= base.sum(1, keepdims=True)
    library = library_sizes(n, rng)[:, None]
    ligand = int(np.flatnonzero(var["role"] == "ligand")[0])
    typical = float(np.median(base))
    noise = rng.standard_gamma(SHAPE, base.shape) / SHAPE
    expected, doses = [], []
    for levels in (level, edited):
        dose = _dose(coords, levels, programme.decay_um)
        share = receives * dose / (dose + programme.half_dose)
        mean = base * np.exp(share[:, None] * var["log_fold"].to_numpy())
        mean[:, ligand] = 0.1 * typical + 6 * typical * levels
        expected.append(mean * library)
        doses.append(dose)
    # Both are thinned from the same counts, so equal means give equal counts before and after.
    most = np.maximum(*expected)
    drawn = rng.poisson(most * noise)
    counts = [rng.binomial(drawn, np.clip(e / np.maximum(most, 1e-12), 0, 1)) for e in expected]
    table.insert(0, keys.SECTION, name)
    table["roi"] = roi
    table["dose_control"], table["dose_perturbed"] = doses
    return _Part(table, coords - coords.min(axis=0), *counts, *expected)


def _dose(
    coords: NDArray[np.float64], level: NDArray[np.float64], decay_um: float
) -> NDArray[np.float64]:
    """Return (n,) the dose that reaches each cell from all others."""
    on = np.flatnonzero(level)
    if not len(on):
        return np.zeros(len(coords))
    pairs = cKDTree(coords).sparse_distance_matrix(
        cKDTree(coords[on]), _TAIL * decay_um, output_type="coo_matrix"
    )
    weight = np.exp(-pairs.data / decay_um) * level[on][pairs.col]
    weight[pairs.row == on[pairs.col]] = 0.0
    return np.bincount(pairs.row, weight, len(coords)).astype(np.float64)
