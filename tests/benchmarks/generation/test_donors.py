from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.holes import cases
from benchmarks.generation import donors
from benchmarks.generation.donors import (
    AnyCell,
    LikelyType,
    NearbyCell,
    NearestCell,
    TrueToken,
    Typed,
)


@pytest.fixture(scope="module")
def typed() -> list[Typed]:
    """Two holes in tissue whose left and right half are of different types and tokens."""
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 800, (1500, 2))
    right = (coords[:, 0] > 400).astype(int)
    token = 2 * right + rng.integers(0, 2, 1500)
    values = rng.normal(size=(4, 12))[token] * 2 + rng.normal(size=(1500, 12))
    place = np.array([[0.0, 0], [1, 0], [10, 0], [11, 0], [12, 0]], np.float32)
    found = cases("s", coords, values.astype(np.float32), 3, radii_um=(80.0, 150.0))
    return [Typed(case, token, np.array([0, 0, 1, 1, 1]), place) for case in found]


@pytest.mark.parametrize("method", [AnyCell(), NearbyCell(30), LikelyType(60), TrueToken()])
def test_each_known_cell_is_drawn_once_at_most(typed, method):
    one = typed[1]
    drawn = method.draw(one, 4, seed=1)
    assert drawn.shape == (4, len(one.case.truth))
    assert drawn.min() >= 0
    assert drawn.max() < len(one.case.known_values)
    assert all(len(np.unique(row)) == len(row) for row in drawn)
    np.testing.assert_array_equal(drawn, method.draw(one, 4, seed=1))
    assert (drawn[0] != drawn[1]).any()


def test_nearby_cells_are_near_while_they_last(typed):
    case = typed[0].case
    log_weights = NearbyCell(50).log_weights(typed[0])
    distance = np.linalg.norm(case.hole_coords[:, None] - case.known_coords, axis=2)
    best = np.sort(distance, axis=1)[:, 49:50]
    np.testing.assert_array_equal(log_weights == 0, distance <= best + 1e-3)
    drawn = NearbyCell(50).draw(typed[0], 3, seed=0)
    reached = np.linalg.norm(case.known_coords[drawn] - case.hole_coords, axis=2)
    section = np.linalg.norm(
        case.known_coords[AnyCell().draw(typed[0], 3, 0)] - case.hole_coords, axis=2
    )
    assert reached.mean() < 0.5 * section.mean()


def test_types_follow_their_shares_among_neighbours(typed):
    one = typed[1]
    weights = np.exp(LikelyType(60).log_weights(one).astype(float))
    kind = one.type_of[one.known_token]
    near = one.tree.query(one.case.hole_coords, 60)[1]
    share = (kind[near] == 1).mean(1)
    np.testing.assert_allclose(weights[:, kind == 1].sum(1), share, atol=1e-5)


def test_the_oracle_takes_the_true_token(typed):
    one = typed[0]
    drawn = TrueToken().draw(one, 2, seed=0)
    np.testing.assert_array_equal(one.known_token[drawn], np.stack([one.true_token] * 2))


def test_a_token_without_donors_falls_to_the_nearest_that_has_some(typed):
    one = typed[0]
    token = one.token.copy()
    token[one.case.hole.mask] = 4  # nowhere among the known cells; meta cell 3 is next to it
    lost = Typed(one.case, token, one.type_of, one.place_of)
    assert (lost.known_token[TrueToken().draw(lost, 2, seed=0)] == 3).all()


def test_the_nearest_copy_is_one_answer(typed):
    drawn = NearestCell().draw(typed[0], 3, seed=0)
    assert (drawn == drawn[0]).all()
    np.testing.assert_array_equal(drawn[0], typed[0].tree.query(typed[0].case.hole_coords)[1])


def test_validation_chooses_the_lowest_energy_score_and_ranks_the_oracle_first(typed):
    near = NearbyCell().fit(typed)
    scores = {k: donors.validation_score(NearbyCell(k), typed) for k in donors.NUMBERS}
    assert near.k == min(scores, key=scores.get)
    assert str(near.k) in near.setting
    oracle, local, anywhere = (
        donors.validation_score(m, typed) for m in (TrueToken(), near, AnyCell())
    )
    assert oracle < local < anywhere


def test_the_truth_is_not_looked_at_by_any_baseline(typed):
    one = typed[0]
    token, values = one.token.copy(), one.case.values.copy()
    token[one.case.hole.mask], values[one.case.hole.mask] = 4, -99
    case = type(one.case)("s", one.case.coords_um, values, one.case.hole, one.case.svg)
    blind = Typed(case, token, one.type_of, one.place_of)
    for method in donors.baselines():
        np.testing.assert_array_equal(method.draw(one, 2, 0), method.draw(blind, 2, 0))
