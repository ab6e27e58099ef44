from __future__ import annotations

import numpy as np
import pytest

from benchmarks.generation import distribution as d


def sparse_cells(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return values most of which are zero."""
    return rng.gamma(2, 1, shape) * (rng.uniform(size=shape) < 0.3)


def test_a_perfect_sampler_has_the_lowest_energy_score():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 8))
    perfect = rng.normal(size=(12, 400, 8))
    scores = {
        "perfect": d.energy_score(truth, perfect).mean(),
        "shifted": d.energy_score(truth, perfect + 0.5).mean(),
        "too narrow": d.energy_score(truth, 0.3 * perfect).mean(),
        "too wide": d.energy_score(truth, 2 * perfect).mean(),
        "the mean": d.energy_score(truth, np.zeros((12, 400, 8))).mean(),
    }
    assert min(scores, key=scores.get) == "perfect"


def test_identical_draws_score_their_distance():
    rng = np.random.default_rng(0)
    truth, point = rng.normal(size=(2, 50, 6))
    draws = np.stack([point] * 3)
    np.testing.assert_allclose(d.energy_score(truth, draws), np.linalg.norm(truth - point, axis=1))
    np.testing.assert_allclose(d.crps(truth, draws), np.abs(truth - point).mean(0))


def test_the_energy_score_does_not_depend_on_the_number_of_draws():
    rng = np.random.default_rng(0)
    truth, draws = rng.normal(size=(3000, 4)), rng.normal(size=(12, 3000, 4))
    few, many = (d.energy_score(truth, draws[:n]).mean() for n in (2, 12))
    assert few == pytest.approx(many, abs=0.02)


def test_crps_is_the_double_sum():
    rng = np.random.default_rng(0)
    truth, draws = sparse_cells(rng, 30, 5), sparse_cells(rng, 7, 30, 5)
    expected = np.zeros(5)
    for g in range(5):
        for i in range(30):
            x, y = draws[:, i, g], truth[i, g]
            pairs = [abs(a - b) for k, a in enumerate(x) for b in x[:k]]
            expected[g] += np.abs(x - y).mean() - np.mean(pairs) / 2
    np.testing.assert_allclose(d.crps(truth, draws), expected / 30)
    # The energy score of a single gene is the same.
    one = d.energy_score(truth[:, :1], draws[:, :, :1]).mean()
    assert one == pytest.approx(expected[0] / 30)


def test_pairs_that_do_not_stand_together_score_worse():
    rng = np.random.default_rng(0)
    coords = np.repeat(rng.uniform(0, 1000, (1500, 2)), 2, axis=0)
    coords[1::2] += 0.1
    # Two neighbours are alike, which each cell by itself does not show.
    truth, joint = (np.repeat(rng.normal(size=(s, 1500, 2)), 2, axis=1) for s in (1, 12))
    alone = rng.normal(size=(12, 3000, 2))
    cells = [d.energy_score(truth[0], x).mean() for x in (joint, alone)]
    pairs = [d.pair_energy_score(truth[0], x, coords).mean() for x in (joint, alone)]
    assert cells[0] == pytest.approx(cells[1], abs=0.01)
    assert pairs[0] < pairs[1] - 0.03
    assert len(d.adjacent_pairs(coords)) == 1500


def test_halves_of_one_population_are_not_told_apart():
    rng = np.random.default_rng(0)
    auc = [d.two_sample_auc(*sparse_cells(rng, 2, 300, 20), seed=i) for i in range(4)]
    assert np.mean(auc) == pytest.approx(0.5, abs=0.04)
    shifted = d.two_sample_auc(sparse_cells(rng, 300, 20), sparse_cells(rng, 300, 20) + 0.5)
    assert shifted > 0.95


def test_donors_that_repeat_are_not_known_by_heart():
    rng = np.random.default_rng(0)
    auc = []
    for seed in range(4):
        truth, donors = sparse_cells(rng, 300, 20), sparse_cells(rng, 40, 20)
        repeated = donors[rng.integers(0, 40, 300)]
        auc.append(d.two_sample_auc(truth, repeated, seed))
    assert np.mean(auc) < 0.62
    assert d.distinct(np.array([3, 3, 4, 5])) == 0.75


def test_the_transform_is_uniform_for_exchangeable_draws_with_many_zeros():
    rng = np.random.default_rng(0)
    truth, draws = sparse_cells(rng, 4000, 3), sparse_cells(rng, 12, 4000, 3)
    pit = d.randomized_pit(truth, draws)
    assert (truth == 0).mean() > 0.6
    for level in d.LEVELS:
        np.testing.assert_allclose(d.coverage(pit, level), level, atol=0.03)
    np.testing.assert_allclose(np.histogram(pit, 10)[0] / pit.size, 0.1, atol=0.01)
    narrow = d.randomized_pit(truth, 0.5 * draws)
    assert d.coverage(narrow, 0.9).max() < 0.87


def test_scaled_leaves_out_what_does_not_vary():
    known = np.array([[0.0, 1.0, 5.0], [2.0, 1.0, 7.0]])
    np.testing.assert_allclose(d.scaled(np.array([[3.0, 9.0, 4.0]]), known), [[3, 4]])


def test_skill():
    assert d.skill(8.0, 7.75, 7.0) == 0.25
    assert d.skill(8.0, 8.5, 7.0) == -0.5
    assert np.isnan(d.skill(7.0, 7.0, 7.5))
