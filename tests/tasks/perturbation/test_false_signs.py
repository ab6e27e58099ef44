"""Probabilities of wrong signs: their calibration, what is reported, and sets of identities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_gest.tasks.perturbation.false_signs import SignModel, s_values

GENES, KINDS = 120, 4


def drawn(seed: int, n_targets: int) -> tuple[NDArray, NDArray, NDArray]:
    """True slopes of targets that respond in identities 1 and 2, estimates, and errors."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((KINDS, GENES))
    truth[1:3, :n_targets] = rng.normal(0, 0.3, n_targets)
    error = rng.uniform(0.05, 0.12, (KINDS, GENES))
    return truth, rng.normal(truth, error), error


def reported(seed: int, n_targets: int, doses: NDArray) -> tuple[NDArray, NDArray]:
    """Return which genes are reported, and which of them wrongly."""
    truth, slope, error = drawn(seed, n_targets)
    signs = SignModel.fit(slope, error, np.ones(GENES, bool)).signs(doses)
    best = np.sign(signs.rises - signs.falls)
    sure = s_values(signs.false_rate(best)) <= 0.05
    return sure, sure & (best != np.sign(doses @ truth))


def test_few_of_the_reported_signs_are_wrong_and_most_targets_are_reported() -> None:
    found = [reported(seed, 25, np.ones(KINDS)) for seed in range(20)]
    n, wrong = (sum(part.sum() for part in parts) for parts in zip(*found, strict=True))
    assert n > 0.55 * 20 * 25
    assert wrong <= 0.05 * n


def test_nothing_is_reported_where_nothing_responds() -> None:
    runs = [reported(seed, 0, np.ones(KINDS))[0].any() for seed in range(20)]
    assert sum(runs) <= 1


def test_identities_that_the_edit_does_not_reach_do_not_count() -> None:
    truth, slope, error = drawn(3, 25)
    model = SignModel.fit(truth + 0.02 * (slope - truth), 0.02 * error, np.ones(GENES, bool))
    for doses, n_right in ((np.eye(KINDS)[1], 25), (np.eye(KINDS)[0], 0)):
        sure = model.signs(doses).false_rate(np.sign(truth[1])) < 0.01
        assert sure[25:].sum() == 0
        assert n_right - 1 <= sure.sum() <= n_right


def test_an_identity_without_an_error_is_no_information() -> None:
    _, slope, error = drawn(1, 25)
    error[0], slope[0] = np.inf, 100.0
    alone = SignModel.fit(slope[1:], error[1:], np.ones(GENES, bool)).signs(np.ones(KINDS - 1))
    beside = SignModel.fit(slope, error, np.ones(GENES, bool)).signs(np.ones(KINDS))
    np.testing.assert_allclose(beside.rises, alone.rises)


def test_without_any_information_every_sign_is_as_good_as_wrong() -> None:
    nothing = np.full((KINDS, GENES), np.inf)
    signs = SignModel.fit(np.zeros(nothing.shape), nothing, np.ones(GENES, bool)).signs(
        np.ones(KINDS)
    )
    assert signs.silent == 1
    np.testing.assert_array_equal(signs.false_rate(np.ones(GENES)), 1)


def test_the_other_sign_has_what_is_left_at_least() -> None:
    _, slope, error = drawn(2, 25)
    signs = SignModel.fit(slope, error, np.ones(GENES, bool)).signs(np.ones(KINDS))
    up, down = signs.false_rate(np.ones(GENES)), signs.false_rate(-np.ones(GENES))
    assert (up + down >= 1 - 1e-9).all()
    np.testing.assert_array_equal(signs.false_rate(np.zeros(GENES)), 1)


def test_an_s_value_is_the_running_mean_of_rates() -> None:
    rate = np.array([0.2, 0.01, np.nan, 0.03, 0.03])
    expected = np.array([0.27 / 4, 0.01, np.nan, 0.07 / 3, 0.07 / 3])
    np.testing.assert_allclose(s_values(rate), expected)


def test_many_identities_are_taken_in_small_sets_and_all_together() -> None:
    rng = np.random.default_rng(0)
    error = np.full((12, 30), 0.1)
    model = SignModel.fit(rng.normal(0, 0.1, (12, 30)), error, np.ones(30, bool))
    sizes = model.patterns.sum(1)
    assert len(sizes) < 256
    assert set(sizes) == {1, 2, 12}
