"""What neighbouring cells have in common: its correlation, its size, and no added variance."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.tasks.generation.common_variation import (
    Common,
    CommonVariance,
    common_log_weights,
    draw_common,
)
from napari_gest.tasks.generation.emission import normalized


def test_the_field_has_unit_variance_and_the_correlation_of_its_reach() -> None:
    place = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 60.0]])
    rng = np.random.default_rng(0)
    drawn = draw_common(place, np.full(3, 1e6), 4000, 40.0, rng).unit
    assert drawn.var(1) == pytest.approx(1, abs=0.1)
    wanted = np.exp(-np.array([20.0, 60.0]) / 40.0)
    assert np.corrcoef(drawn)[0, 1:] == pytest.approx(wanted, abs=0.06)
    assert abs(np.corrcoef(drawn.T[:50].ravel(), drawn.T[50:100].ravel())[0, 1]) < 0.2


def test_the_rim_is_known_and_the_inside_is_not() -> None:
    depth = np.array([0.0, 20.0, 400.0])
    common = draw_common(np.zeros((3, 2)), depth, 1, 40.0, np.random.default_rng(0))
    assert common.unknown == pytest.approx([0, 1 - np.exp(-1), 1], abs=1e-6)
    assert common[np.array([2])].unknown == pytest.approx([1], abs=1e-6)


def test_neighbours_share_what_is_smooth_and_nothing_of_noise() -> None:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 1000, (4000, 2))
    smooth = np.sin(coords[:, 0] / 30) + np.cos(coords[:, 1] / 30)
    scores = np.stack([smooth, rng.normal(size=4000), smooth + rng.normal(size=4000)], 1)
    measured = CommonVariance(scores, coords)
    shared = measured.within(192)
    assert shared[0] == pytest.approx(smooth.var(), rel=0.3)
    assert shared[1] < 0.05
    assert shared[2] == pytest.approx(shared[0], rel=0.15)
    assert measured.within(16)[0] < shared[0], "fewer cells differ less"
    assert (measured.within(4) == 0).all()
    assert measured.within(200) is shared


def test_over_all_draws_the_weights_are_what_they_were() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1500, 2))
    plain = np.full((1, 1500), 1 / 1500)
    total, means = np.zeros(1500), []
    for _ in range(3000):
        common = Common(rng.normal(size=(1, 2)), np.ones(1))
        added = common_log_weights(plain, scores, np.array([0.4, 0.0]), common)
        weights = normalized(np.log(plain) + added)[0]
        total += weights / 3000
        means.append(weights @ scores)
    assert total @ scores == pytest.approx(scores.mean(0), abs=0.05)
    assert total @ np.square(scores) == pytest.approx(np.square(scores).mean(0), abs=0.08)
    # A single draw moves the mean of the first component, by the variance that is shared.
    assert np.var(means, axis=0) == pytest.approx([0.4, 0.0], abs=0.06)


def test_where_nothing_is_unknown_nothing_changes() -> None:
    rng = np.random.default_rng(0)
    plain = rng.dirichlet(np.ones(50), 3)
    common = Common(rng.normal(size=(3, 2)), np.zeros(3))
    added = common_log_weights(plain, rng.normal(size=(50, 2)), np.ones(2), common)
    np.testing.assert_allclose(normalized(np.log(plain) + added), plain, rtol=1e-9)


def test_what_is_expected_already_is_not_drawn_again() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 1))
    # Two groups of places whose means differ by more than neighbours share.
    weights = normalized(np.where(np.arange(20)[:, None] < 10, 1.0, -1.0) * 2 * scores.T)
    common = Common(np.full((20, 1), 3.0), np.ones(20))
    added = common_log_weights(weights, scores, np.array([0.3]), common)
    np.testing.assert_allclose(normalized(np.log(weights) + added), weights, rtol=1e-9)
