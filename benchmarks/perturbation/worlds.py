"""Planted worlds, each drawn anew: reach, dose, depth, targets and common causes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest import keys
from napari_gest.tissue.simulate import Anatomy, draw_cells, place, rates
from napari_gest.tissue.simulated import SHAPE, smooth_field

N_TYPES = 5
_TAIL = 5.0  # reaches beyond which a sender counts for nothing
_COUNTS = 250.0  # median counts of a cell
_EDITED_UM = 90.0  # radius of the edited disc
_HIGH = 1.5  # ligand level of an edited cell


@dataclass(frozen=True)
class Plan:
    """What is planted in one world.

    Attributes
    ----------
    kernel, reach_um
        How a signal falls with distance: ``exp(-d / reach)`` or ``exp(-d^2 / (2 reach^2))``.
    half_dose, hill
        Dose of half the response, in mean doses of a receiving cell, and Hill's exponent.
    n_up, n_down, fold_up, fold_down
        Targets and their strongest response; each has its own, down to half of it in logarithms.
    receivers
        Cell types that respond; type 0 sends.
    sending_share
        Share of the sending type's cells whose ligand is on.
    depth_sd, depth_field_sd, depth_um
        Spread of log depth between cells, and of a smooth field of it.
    n_common, common_um, common_share, common_sd
        Smooth fields that move the ligand's odds and a share of all genes alike: common causes.
    """

    kernel: Literal["exponential", "gaussian"]
    reach_um: float
    half_dose: float
    hill: float
    n_up: int
    n_down: int
    fold_up: float
    fold_down: float
    receivers: tuple[int, ...]
    sending_share: float
    depth_sd: float
    depth_field_sd: float
    depth_um: float
    n_common: int
    common_um: float
    common_share: float
    common_sd: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Plan:
        """Draw a plan."""
        kernel: Literal["exponential", "gaussian"] = (
            "gaussian" if rng.random() < 0.5 else "exponential"
        )
        n_receivers = int(rng.integers(1, 4))
        return cls(
            kernel,
            float(rng.uniform(15, 45)),
            float(rng.uniform(0.3, 1.2)),
            float(rng.choice([1.0, 2.0])),
            int(rng.integers(5, 21)),
            int(rng.integers(5, 21)),
            float(rng.uniform(2.5, 5.0)),
            float(rng.uniform(0.15, 0.4)),
            tuple(int(t) for t in np.sort(rng.choice(np.arange(1, N_TYPES), n_receivers, False))),
            float(rng.uniform(0.25, 0.5)),
            float(rng.uniform(0.2, 0.6)),
            float(rng.uniform(0.0, 0.4)),
            float(rng.uniform(80, 300)),
            int(rng.integers(0, 3)),
            float(rng.uniform(100, 300)),
            float(rng.uniform(0.05, 0.25)),
            float(rng.uniform(0.2, 0.6)),
        )

    def silent(self) -> Plan:
        """Return the plan without a response; common causes stay."""
        return replace(self, fold_up=1.0, fold_down=1.0)

    def weight(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a signal is worth at a distance, um."""
        if self.kernel == "exponential":
            return np.asarray(np.exp(-distance / self.reach_um))
        return np.asarray(np.exp(-0.5 * np.square(distance / self.reach_um)))

    def weights(self, coords: NDArray[np.float64]) -> sparse.csr_matrix:
        """Return (n, n) what each cell receives of each other."""
        tree = cKDTree(coords)
        pairs = tree.sparse_distance_matrix(tree, _TAIL * self.reach_um, output_type="coo_matrix")
        apart = pairs.data > 0
        return sparse.csr_matrix(
            (self.weight(pairs.data[apart]), (pairs.row[apart], pairs.col[apart])),
            shape=pairs.shape,
        )


def anatomy_of(seed: int, n_genes: int) -> Anatomy:
    """Return an anatomy; worlds of one anatomy share cell types and niches."""
    return Anatomy.draw(None, n_genes, np.random.default_rng([seed, 41]), N_TYPES)


def plain_tissue(anatomy: Anatomy, n_cells: int, n_sections: int, seed: int) -> AnnData:
    """Make sections of an anatomy in which nothing signals, such as a model is trained on."""
    rng = np.random.default_rng([seed, 42])
    return _stacked(anatomy, Plan.draw(rng).silent(), n_cells, n_sections, rng)


def make_world(
    anatomy: Anatomy, n_cells: int, n_sections: int, seed: int, *, silent: bool = False
) -> tuple[AnnData, Plan]:
    """Make a world: control counts, and what was planted.

    Returns
    -------
    adata
        ``X`` counts; ``obs`` section, cell_type, roi; ``var`` role and log_fold.
    plan
        What was drawn.
    """
    rng = np.random.default_rng([seed, 43])
    plan = Plan.draw(rng)
    plan = plan.silent() if silent else plan
    return _stacked(anatomy, plan, n_cells, n_sections, rng), plan


def _stacked(
    anatomy: Anatomy, plan: Plan, n_cells: int, n_sections: int, rng: np.random.Generator
) -> AnnData:
    n_genes = anatomy.profiles.shape[1]
    var = _roles(anatomy, plan, rng)
    common = rng.normal(0, plan.common_sd, (plan.n_common, n_genes))
    common *= rng.random(common.shape) < plan.common_share
    odds = rng.choice([-1.0, 1.0], plan.n_common) * rng.uniform(0.5, 1.5, plan.n_common)
    parts = [
        _section(anatomy, plan, n_cells // n_sections, var, common, odds, rng)
        for _ in range(n_sections)
    ]
    tables = [p[0].assign(**{keys.SECTION: f"section_{i}"}) for i, p in enumerate(parts, 1)]
    obs = pd.concat(tables, ignore_index=True)
    for column in (keys.SECTION, "cell_type"):
        obs[column] = obs[column].astype("category")
    obs.index = pd.Index([f"cell_{i}" for i in range(len(obs))])
    counts = sparse.csr_matrix(np.concatenate([p[2] for p in parts]).astype(np.float32))
    adata = AnnData(counts, obs=obs, var=var)
    adata.obsm[keys.SPATIAL] = np.concatenate([p[1] for p in parts])
    adata.uns["plan"] = {**asdict(plan), "receivers": list(plan.receivers)}
    return adata


def _roles(anatomy: Anatomy, plan: Plan, rng: np.random.Generator) -> pd.DataFrame:
    """Choose the ligand and the targets among the genes that are neither rare nor dominant."""
    mean = anatomy.profiles.mean(0)
    wanted = 1 + plan.n_up + plan.n_down
    spare = (len(mean) - wanted) // 4
    chosen = rng.permutation(np.argsort(mean)[spare : len(mean) - spare])[:wanted]
    role = np.full(len(mean), "other", object)
    log_fold = np.zeros(len(mean))
    role[chosen[0]] = "ligand"
    for name, genes, fold in (
        ("up", chosen[1 : 1 + plan.n_up], plan.fold_up),
        ("down", chosen[1 + plan.n_up :], plan.fold_down),
    ):
        role[genes] = name if fold != 1.0 else "other"
        log_fold[genes] = np.log(fold) * rng.uniform(0.5, 1.0, len(genes))
    names = pd.Index([f"gene_{i}" for i in range(1, len(mean) + 1)])
    return pd.DataFrame({"role": pd.Categorical(role), "log_fold": log_fold}, index=names)


def _section(
    anatomy: Anatomy,
    plan: Plan,
    n: int,
    var: pd.DataFrame,
    common: NDArray[np.float64],
    odds: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.int64]]:
    coords, radius = place(n, rng)
    table, profile, niche = draw_cells(anatomy, coords, radius, rng)
    kind = anatomy.type_of[profile]
    fields = smooth_field(coords, plan.common_um, plan.n_common, rng)
    logit = np.log(plan.sending_share / (1 - plan.sending_share)) + fields @ odds
    on = (kind == 0) & (rng.random(n) < 1 / (1 + np.exp(-logit)))
    level = np.where(on, rng.lognormal(0, 0.3, n), 0.0)
    dose = plan.weights(coords) @ level
    receives = np.isin(kind, plan.receivers)
    half = plan.half_dose * max(float(np.mean(dose[receives])) if receives.any() else 0, 1e-3)
    share = receives * dose**plan.hill / (dose**plan.hill + half**plan.hill)
    base = rates(anatomy, coords / radius, profile, niche) * np.exp(fields @ common)
    base /= base.sum(1, keepdims=True)
    typical = float(np.median(base))
    mean = base * np.exp(share[:, None] * var["log_fold"].to_numpy())
    ligand = int(np.flatnonzero(var["role"] == "ligand")[0])
    mean[:, ligand] = 0.1 * typical + 6 * typical * level
    depth = plan.depth_sd * rng.normal(size=n)
    depth += plan.depth_field_sd * smooth_field(coords, plan.depth_um, 1, rng)[:, 0]
    library = _COUNTS * np.exp(depth)
    counts = rng.poisson(mean * library[:, None] * rng.standard_gamma(SHAPE, mean.shape) / SHAPE)
    centre = coords[np.linalg.norm(coords, axis=1) < 0.6 * radius][0]
    table["roi"] = np.linalg.norm(coords - centre, axis=1) < _EDITED_UM
    return table[["cell_type", "roi"]], coords - coords.min(0), counts
