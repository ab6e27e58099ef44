from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.holes import Case, cases
from benchmarks.generation import baselines, learned_baselines


@pytest.fixture(scope="module")
def validation() -> list[Case]:
    """Two sections of one smooth pattern with noise, holes of two sizes in each."""
    rng = np.random.default_rng(0)
    found = []
    for name in "ab":
        coords = rng.uniform(0, 900, (1500, 2))
        wave = np.column_stack([np.sin(coords[:, 0] / 80), np.cos(coords[:, 1] / 80)])
        values = wave @ rng.normal(size=(2, 15)) + 3 + 0.5 * rng.normal(size=(1500, 15))
        found += cases(name, coords, values.astype(np.float32), 1, radii_um=(80.0, 120.0))
    return found


def test_every_baseline_predicts_the_shape_and_beats_nothing_at_all(validation):
    case = validation[0]
    for baseline in baselines.simple_baselines():
        prediction = baselines.predict_case(baseline.fit(validation), case)
        assert prediction.shape == case.truth.shape
        assert prediction.dtype == np.float32
        assert np.isfinite(prediction).all()
        assert baselines.validation_score(baseline, validation) <= np.sqrt(2) + 1e-6


def test_a_prediction_does_not_see_the_hole(validation):
    case = validation[0]
    scrambled = case.values.copy()
    scrambled[case.hole.mask] = -99
    blind = Case(case.section, case.coords_um, scrambled, case.hole, case.svg)
    for baseline in baselines.simple_baselines():
        np.testing.assert_array_equal(
            baselines.predict_case(baseline, case), baselines.predict_case(baseline, blind)
        )


def test_simple_baselines_by_hand():
    known = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 100.0]])
    values = np.array([[1.0], [3.0], [8.0]], np.float32)
    at = np.array([[2.0, 0.0]])

    def one(baseline: baselines.PointBaseline) -> float:
        return float(baseline.predict(known, values, at)[0, 0])

    assert one(baselines.ConstantMean()) == 4
    assert one(baselines.NearestCopy()) == 1
    assert one(baselines.KnnMean(1)) == 1
    assert one(baselines.KnnMean(2)) == 2
    assert one(baselines.KnnMean(99)) == 4  # more than there are
    assert one(baselines.InverseDistance(1.0, 2)) == pytest.approx(
        (1 / 2 + 3 / 8) / (1 / 2 + 1 / 8)
    )
    w = np.exp(-np.array([4, 64, 10004]) / 200)
    assert one(baselines.KernelMean(10.0)) == pytest.approx(w @ values[:, 0] / w.sum(), rel=1e-5)


def test_a_narrow_kernel_far_from_everything_copies_the_nearest():
    known = np.array([[0.0, 0.0], [50.0, 0.0]])
    values = np.array([[1.0], [2.0]], np.float32)
    assert baselines.KernelMean(1.0).predict(known, values, np.array([[4000.0, 0.0]])) == 2


def test_tuning_takes_the_setting_that_validates_best(validation):
    tuned = baselines.KnnMean().fit(validation)
    scores = {k: baselines.validation_score(baselines.KnnMean(k), validation) for k in tuned.grid}
    assert tuned.k == min(scores, key=scores.get)
    assert str(tuned.k) in tuned.setting


@pytest.fixture(scope="module")
def learned(validation) -> list[baselines.PointBaseline]:
    fewer = [validation[0], validation[2]]  # one hole in each section
    return [baseline.fit(fewer) for baseline in learned_baselines.trained_baselines(seed=0)]


def test_learned_baselines_follow_a_smooth_pattern(learned, validation):
    mean = baselines.validation_score(baselines.NearestCopy(), validation)
    for baseline in learned:
        prediction = baselines.predict_case(baseline, validation[0])
        assert prediction.shape == validation[0].truth.shape
        assert prediction.dtype == np.float32
        assert baselines.validation_score(baseline, validation) < mean, baseline.name
        assert baseline.setting


def test_learned_baselines_do_not_see_the_hole_and_repeat(learned, validation):
    case = validation[0]
    scrambled = case.values.copy()
    scrambled[case.hole.mask] = -99
    blind = Case(case.section, case.coords_um, scrambled, case.hole, case.svg)
    for baseline in learned:
        np.testing.assert_array_equal(
            baselines.predict_case(baseline, case), baselines.predict_case(baseline, blind)
        )


def test_gp_recovers_a_noiseless_field():
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 300, (600, 2))
    field = np.column_stack([np.sin(coords[:, 0] / 60), np.cos(coords[:, 1] / 60)])
    values = (field @ rng.normal(size=(2, 6))).astype(np.float32)
    gp = learned_baselines.SparseGP(n_pcs=2, smoothness=1.5)
    prediction = gp.predict(coords[100:], values[100:], coords[:100])
    assert np.abs(prediction - values[:100]).mean() < 0.1 * values.std()
