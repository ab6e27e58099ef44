"""Donors: which measured cell may stand at another place, and how one is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gest.model.config import EmissionConfig
from napari_gest.tasks.generation.emission import Donors, draw_once, normalized, sharpened

K, G, N = 6, 12, 600
PLAIN = EmissionConfig(prior_shift=0, locality=0, tilt=0)


def donors(config: EmissionConfig = PLAIN, **changes: Any) -> Donors:
    rng = np.random.default_rng(0)
    token = rng.choice(K, N, p=[0.4, 0.2, 0.2, 0.1, 0.1, 0.0])
    centres = rng.gamma(2.0, 0.5, (K, G))
    values = np.maximum(centres[token] + rng.normal(0, 0.3, (N, G)), 0).astype(np.float32)
    given: dict[str, Any] = {
        "values": values,
        "token": token,
        "coords_um": rng.uniform(0, 500, (N, 2)),
        "spacing_um": 10.0,
        "frequency": np.full(K, 1 / K, np.float32),
        "measured": np.ones(G, bool),
    }
    return Donors(**given | changes, config=config)


def places(q: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    probability = rng.dirichlet(np.ones(K), q).astype(np.float32)
    return probability, np.ones((q, G), np.float32), rng.uniform(0, 500, (q, 2))


def test_a_meta_cell_is_as_likely_as_the_model_says_whatever_its_number_of_donors() -> None:
    ours = donors()
    probability, expected, coords = places()
    weights = normalized(ours.log_weights(probability, expected, coords))
    share = np.stack([weights[:, ours.token == k].sum(1) for k in range(K)], 1)
    wanted = probability.astype(float).copy()
    wanted[:, 5] = 0  # has no donor here
    np.testing.assert_allclose(share, wanted / wanted.sum(1, keepdims=True), atol=1e-6)


def test_the_prior_follows_the_section_where_it_is_shifted() -> None:
    ours = donors(PLAIN.model_copy(update={"prior_shift": 1.0}))
    # A model that knows nothing but the frequencies in training: all donors are alike.
    flat = np.full((1, K), 1 / K, np.float32)
    weights = normalized(ours.log_weights(flat, np.ones((1, G), np.float32), np.zeros((1, 2))))
    np.testing.assert_allclose(weights, 1 / N, rtol=1e-6)


def test_the_tilt_moves_the_mean_over_donors_to_what_is_expected() -> None:
    config = PLAIN.model_copy(update={"tilt": 1.0, "tilt_ridge": 0.0, "n_pcs": G})
    plain, ours = donors(), donors(config)
    half = donors(config.model_copy(update={"tilt": 0.5}))
    probability, expected, coords = places()
    rng = np.random.default_rng(2)
    for i in range(len(probability)):
        place = slice(i, i + 1)

        def mean(of: Donors, wanted: np.ndarray, place: slice = place) -> np.ndarray:
            return normalized(of.log_weights(probability[place], wanted, coords[place])) @ of.values

        before = mean(plain, expected[place])
        shift = rng.normal(0, 0.01, before.shape)
        wanted = (before + shift).astype(np.float32)
        moved = mean(ours, wanted) - before
        # The covariance of the donors is that of this place alone: exact to first order.
        assert np.corrcoef(moved.ravel(), shift.ravel())[0, 1] > 0.99
        assert 0.95 < (moved * shift).sum() / np.square(shift).sum() < 1.05
        nearer = mean(half, wanted) - before
        assert 0.45 < (nearer * shift).sum() / np.square(shift).sum() < 0.55


def test_the_shared_tilt_moves_the_mean_over_places_to_what_is_expected() -> None:
    own = PLAIN.model_copy(update={"tilt": 1.0, "tilt_ridge": 1e9, "shared_ridge": 1e9})
    without, ours = donors(own), donors(own.model_copy(update={"shared_ridge": 0.0}))
    probability, expected, coords = places(100)
    before = normalized(without.log_weights(probability, expected, coords)).mean(0) @ ours.values
    wanted = before + np.random.default_rng(3).normal(0, 0.1, G)
    asked = np.tile(wanted, (100, 1)).astype(np.float32)
    after = normalized(ours.log_weights(probability, asked, coords)).mean(0) @ ours.values
    assert np.linalg.norm(after - wanted) < 0.1 * np.linalg.norm(before - wanted)


def test_the_shared_tilt_is_never_farther_off_than_none() -> None:
    own = PLAIN.model_copy(update={"tilt": 1.0, "tilt_ridge": 1e9, "shared_ridge": 1e9})
    without, ours = donors(own), donors(own.model_copy(update={"shared_ridge": 0.0}))
    probability, _, coords = places(100)
    for far in (1.0, 10.0, 1000.0):  # no mean of donors can be so far out
        asked = np.full((100, G), far, np.float32)
        plain, tilted = (
            normalized(of.log_weights(probability, asked, coords)).mean(0) @ of.scores
            for of in (without, ours)
        )
        wanted = (ours._scaled(asked) @ ours.axes.T).mean(0)
        assert np.isfinite(tilted).all()
        assert np.linalg.norm(tilted - wanted) <= np.linalg.norm(plain - wanted) + 1e-9


def test_a_donor_that_has_given_is_left_out_and_its_meta_cell_keeps_its_share() -> None:
    ours = donors()
    probability, expected, coords = places()
    free = np.ones(N, bool)
    free[np.flatnonzero(ours.token == 0)[10:]] = False
    weights = normalized(ours.log_weights(probability, expected, coords, free))
    assert (weights[:, ~free] == 0).all()
    everyone = normalized(ours.log_weights(probability, expected, coords))
    first = ours.token == 0
    np.testing.assert_allclose(weights[:, first].sum(1), everyone[:, first].sum(1), rtol=1e-6)


def test_neighbours_are_drawn_together_where_they_have_something_in_common() -> None:
    ours = donors(PLAIN.model_copy(update={"tilt": 1.0}))
    probability, expected, coords = places(60)
    depth = np.full(60, 1e6)
    ours.common_variance.known = {64: np.full(ours.common_scores.shape[1], 5.0)}
    common = ours.draw_common(coords, depth, np.random.default_rng(0))
    assert common is not None
    plain = normalized(ours.log_weights(probability, expected, coords)) @ ours.common_scores
    moved = (
        normalized(ours.log_weights(probability, expected, coords, None, common))
        @ ours.common_scores
    ) - plain
    assert np.corrcoef(moved[:, 0], common.unit[:, 0])[0, 1] > 0.5
    # With a gain of 0 nothing is common, with a larger one more than measured.
    off = []
    for gain in (0.0, 1.0, 3.0):
        other = donors(PLAIN.model_copy(update={"tilt": 1.0, "common_gain": gain}))
        other.common_variance.known = {64: np.full(other.common_scores.shape[1], 0.1)}
        weights = normalized(other.log_weights(probability, expected, coords, None, common))
        off.append(np.square(weights @ other.common_scores - plain).sum())
    assert off[0] == pytest.approx(0, abs=1e-12)
    assert off[0] < off[1] < off[2]
    alone = donors(PLAIN.model_copy(update={"tilt": 1.0, "common_reach": 0.0}))
    assert alone.draw_common(coords, depth, np.random.default_rng(0)) is None


def test_donors_nearby_are_preferred() -> None:
    ours = donors(PLAIN.model_copy(update={"locality": 1.0}))
    probability, expected, coords = places()
    weights = ours.log_weights(probability, expected, coords)
    distance = np.linalg.norm(ours.coords - coords[0], axis=1)
    same = ours.token == 0
    order = np.argsort(distance[same])
    assert (np.diff(weights[0][same][order]) <= 1e-12).all()


def test_genes_that_were_not_measured_do_not_tilt() -> None:
    config = PLAIN.model_copy(update={"tilt": 1.0})
    measured = np.ones(G, bool)
    measured[:3] = False
    ours = donors(config, measured=measured)
    probability, expected, coords = places()
    other = expected.copy()
    other[:, :3] += 5
    one, two = (ours.log_weights(probability, e, coords) for e in (expected, other))
    np.testing.assert_array_equal(one, two)


def test_spread_is_that_of_the_weighted_donors() -> None:
    ours = donors()
    weights = np.zeros((1, N))
    weights[0, [3, 4]] = 0.5
    spread = ours.spread_of(weights)[0]
    np.testing.assert_allclose(spread, ours.values[[3, 4]].std(0), atol=1e-3)


def test_each_donor_gives_once_while_supply_lasts() -> None:
    free = np.ones(10, bool)
    drawn = draw_once(np.zeros((10, 10)), free, np.random.default_rng(0))
    assert sorted(drawn) == list(range(10))
    again = draw_once(np.zeros((25, 10)), free, np.random.default_rng(0))
    assert np.bincount(again, minlength=10).max() == 3, "a new round begins when all have given"


def test_draws_follow_the_weights() -> None:
    weights = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    rng = np.random.default_rng(0)
    drawn = [draw_once(weights[None], np.ones(4, bool), rng)[0] for _ in range(8000)]
    assert np.bincount(drawn) / 8000 == pytest.approx(np.exp(weights), abs=0.02)


def test_one_donor_and_one_gene_are_enough() -> None:
    alone = Donors(
        np.ones((1, 1), np.float32),
        np.zeros(1, np.int64),
        np.zeros((1, 2)),
        10.0,
        np.ones(1, np.float32),
        np.ones(1, bool),
        EmissionConfig(),
    )
    weights = alone.log_weights(np.ones((2, 1), np.float32), np.ones((2, 1)), np.ones((2, 2)))
    assert normalized(weights).tolist() == [[1.0], [1.0]]


def test_a_sharpened_probability_favours_what_is_likely_and_keeps_what_is_excluded() -> None:
    probability = np.array([[0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.25, 0.25]], np.float32)
    sharp = sharpened(probability, 2.0)
    np.testing.assert_allclose(sharp[0], np.array([25, 9, 4, 0]) / 38, rtol=1e-6)
    np.testing.assert_allclose(sharp[1], 0.25, rtol=1e-6)
    np.testing.assert_allclose(sharpened(probability, 1.0), probability, rtol=1e-6)
    assert sharp.dtype == np.float32
