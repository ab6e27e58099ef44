"""Downstream results from a filled hole, compared with those from the measured one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.common.datasets import Loaded
from benchmarks.generation.donors import Typed
from benchmarks.generation.drawn_scores import Draws
from benchmarks.generation.expression_change import (
    compare_changes,
    inner_against_outer,
    region_against_ring,
)
from benchmarks.generation.rim_pairs import RimPairs, pairs_of
from benchmarks.niches.niche_shares import NicheShares
from napari_gest.model.gest import GeST
from napari_gest.tissue.section import Section

USED_DRAWS = 3  # each is scored separately, and the mean is shown
NICHE_HOLE = 250  # cells; niches of smaller holes are not clustered
SURROUNDINGS = "surroundings only"
TRUTH_AGAIN = "measured, clustered with another seed"


@dataclass
class DownstreamRow:
    """Downstream results from one hole filled by one method, compared with the truth.

    Attributes
    ----------
    split, section, seed, radius_um, method, n_cells
        As in `DrawnRow`.
    scores
        By name; scores that are not defined for a method or a hole are absent.
    """

    split: str
    section: str
    seed: int
    radius_um: float
    method: str
    n_cells: int
    scores: dict[str, float]


def conclusions(
    split: str,
    section: Section,
    loaded: Loaded,
    typed: Typed,
    model: GeST,
    filled: Mapping[str, Draws],
) -> Iterator[DownstreamRow]:
    """Yield downstream results from a hole: filled by each method, and left empty.

    Parameters
    ----------
    split, section, loaded, model
        As in `score_distribution`.
    typed
        The hole.
    filled
        Draws of it by method.
    """
    case = typed.case
    scores: dict[str, dict[str, float]] = {}
    changes = region_against_ring(case, case.truth)
    pairs = RimPairs.of(case, pairs_of(loaded.genes, case))
    enriched = pairs.enrichment(case.truth)
    for name, draws in filled.items():
        each = [
            compare_changes(changes, region_against_ring(case, made))
            | pairs.compare(enriched, pairs.enrichment(made))
            for made in draws.values[: 1 if draws.point else USED_DRAWS]
        ]
        scores[name] = {key: _mean([one[key] for one in each]) for key in each[0]}
    scores[SURROUNDINGS] = compare_changes(changes, inner_against_outer(case))
    scores[SURROUNDINGS] |= pairs.compare(enriched, pairs.beside())
    if len(case.truth) >= NICHE_HOLE:
        shares = NicheShares.of(section, model, case, loaded.seed)
        for name, draws in filled.items():
            scores[name] |= shares.compare(shares.filled(draws.values[0]))
        scores[SURROUNDINGS] |= shares.compare(shares.unfilled())
        scores[TRUTH_AGAIN] = shares.compare(shares.filled(case.truth, loaded.seed + 1))
    for name, made in scores.items():
        radius = case.hole.radius_um
        yield DownstreamRow(split, case.section, loaded.seed, radius, name, len(case.truth), made)


def _mean(values: list[float]) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    kept = [v for v in values if np.isfinite(v)]
    return float(np.mean(kept)) if kept else float("nan")
