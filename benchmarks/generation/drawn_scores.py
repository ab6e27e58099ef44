"""All scores of one method's draws on one hole."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation.distribution import (
    LEVELS,
    coverage,
    crps,
    distinct,
    energy_score,
    pair_energy_score,
    randomized_pit,
    scaled,
    two_sample_auc,
    zeros,
)
from benchmarks.generation.donors import Typed
from benchmarks.generation.realism import (
    composition_error,
    correlation_error,
    enrichment_error,
    moran_error,
    variance_ratio,
)

SAMPLE = "GeST sample"
SAMPLE_ONE_STEP = "GeST sample, one step"
SAMPLE_COOL = "GeST sample, temperature 1"
SAMPLE_UNSHARP = "GeST sample, p as it is"
SAMPLE_UNSHARED = "GeST sample, neighbours apart"
SAMPLE_NO_FIELD = "GeST sample, no field"
SAMPLE_NO_TILT = "GeST sample, no tilt"
SAMPLE_P_ALONE = "GeST sample, p(meta cell) alone"
WEIGHTED = "GeST weighted (a point)"
PATCH = "look-alike measured patch"
POPULATION_DRAWS = 4  # the first draws, over which scores of populations are means
BANDS_UM = (0.0, 50.0, 100.0, 200.0, np.inf)


@dataclass(frozen=True, eq=False)
class Draws:
    """A method's draws of the cells of a hole.

    Attributes
    ----------
    values
        (S, m, G) model space.
    token
        (S, m) meta cell of each drawn cell.
    donor
        (S, m) the known cell of which each is a copy; None if cells are not copies.
    point
        Whether all draws are the same, so that intervals have no meaning.
    """

    values: NDArray[np.float32]
    token: NDArray[np.int64]
    donor: NDArray[np.int64] | None = None
    point: bool = False

    @classmethod
    def of(cls, typed: Typed, donor: NDArray[np.int64], point: bool = False) -> Draws:
        """Return the draws of the donors ``donor`` (S, m), indices of known cells."""
        return cls(typed.case.known_values[donor], typed.known_token[donor], donor, point)


@dataclass
class DrawnRow:
    """One method's draws on one hole.

    Attributes
    ----------
    split, section, seed, radius_um, method
        What was scored.
    kind
        ``"gest"``, ``"baseline"``, ``"oracle"`` or ``"real"``.
    n_cells
        Cells of the hole.
    scores
        Means over cells, genes and draws, by name.
    bands
        By band of depth from the known cells: cells, and coverage of each level.
    covered
        By level, the number of covered cells of each gene, (G,), which is summed over holes.
    """

    split: str
    section: str
    seed: int
    radius_um: float
    method: str
    kind: str
    n_cells: int
    scores: dict[str, float]
    bands: dict[str, dict[str, float]]
    covered: dict[str, list[int]]


def population_scores(
    typed: Typed,
    made: NDArray[np.float32],
    token: NDArray[np.int64],
    coords_um: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Compare one population with the hole's, without matching single cells.

    Parameters
    ----------
    typed
        The hole.
    made
        (m, G) model space.
    token
        (m,) meta cells.
    coords_um
        (m, 2) um, if they differ from the hole's.
    """
    case = typed.case
    truth, here = case.truth, case.hole_coords
    kinds = typed.type_of[typed.true_token], typed.type_of[token]
    return {
        "zeros": zeros(made) - zeros(truth),
        "variance_ratio": variance_ratio(truth, made),
        "correlation_error": correlation_error(truth, made),
        "moran_error": moran_error(truth[:, case.svg], made[:, case.svg], here, coords_um),
        "composition_error": composition_error(*kinds),
        "enrichment_error": enrichment_error(*kinds, here, coords_um),
    }


def score_draws(typed: Typed, draws: Draws, seed: int, auc_draws: int = 1) -> dict[str, float]:
    """Return all scores of a method on a hole.

    Parameters
    ----------
    typed
        The hole.
    draws
        Draws of the method.
    seed
        Seed of the trees and their folds.
    auc_draws
        Number of draws for the two-sample AUC; the trees take most of the time. With 0 there is
        no AUC.
    """
    case = typed.case
    truth, made = (scaled(v, case.known_values) for v in (case.truth, draws.values))
    single = crps(case.truth, draws.values)
    spread = case.known_values.astype(np.float64).std(0)
    by_gene = np.where(spread > 1e-6, single / np.maximum(spread, 1e-6), np.nan)
    scores = {
        "energy_score": float(energy_score(truth, made).mean()),
        "crps_svg": float(np.nanmean(by_gene[case.svg])),
        "crps": float(np.nanmean(by_gene)),
        "pair_energy_score": float(pair_energy_score(truth, made, case.hole_coords).mean()),
    }
    # A point is the same in every draw.
    n = 1 if draws.point else POPULATION_DRAWS
    each = [population_scores(typed, draws.values[i], draws.token[i]) for i in range(n)]
    scores |= {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    auc = [two_sample_auc(truth, made[i], seed + i) for i in range(min(n, auc_draws))]
    if auc:
        scores["auc"] = float(np.mean(auc))
    if draws.donor is not None:
        scores["distinct"] = float(np.mean([distinct(one) for one in draws.donor]))
    return scores


def calibration_scores(
    typed: Typed, draws: Draws, seed: int, min_cells: int = 20
) -> tuple[dict[str, dict[str, float]], dict[str, list[int]]]:
    """Return the coverage of central intervals by band of depth, and by gene.

    Returns
    -------
    ``bands`` and ``covered`` of a `DrawnRow`.
    """
    case = typed.case
    pit = randomized_pit(case.truth, draws.values, seed)
    depth, bands = case.depth_um, {}
    for low, high in pairwise(BANDS_UM):
        inside = (depth >= low) & (depth < high)
        if inside.sum() >= min_cells:
            name = f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"
            bands[name] = {"n_cells": int(inside.sum())} | {
                f"{level:.0%}": float(coverage(pit[inside], level).mean()) for level in LEVELS
            }
    covered = {
        f"{level:.0%}": np.rint(coverage(pit, level) * len(pit)).astype(int).tolist()
        for level in LEVELS
    }
    return bands, covered
