from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import realism


@pytest.fixture
def tissue() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 300, (200, 2))
    common = rng.normal(size=(200, 1))
    return common + np.sin(coords[:, :1] / 40) + rng.normal(size=(200, 10)), coords


def test_energy_distance_agrees_with_scipy_in_one_dimension():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=80), rng.normal(0.5, 2, size=60)
    assert realism.energy_distance(a[:, None], b[:, None]) == pytest.approx(
        stats.energy_distance(a, b), rel=1e-6
    )


def test_the_truth_itself_is_perfect(tissue):
    values, coords = tissue
    scores = realism.realism(values, values.copy(), coords)
    assert scores["moran_error"] == scores["correlation_error"] == scores["energy"] == 0
    assert scores["variance_ratio"] == 1
    assert scores["auc"] == pytest.approx(0.5, abs=0.1)


def test_a_smooth_average_is_caught(tissue):
    values, coords = tissue
    smooth = np.repeat(values.mean(axis=0)[None], len(values), axis=0)
    scores = realism.realism(values, smooth, coords)
    assert scores["variance_ratio"] == pytest.approx(0)
    assert scores["auc"] > 0.95
    assert scores["energy"] > 0.3
    upper = np.triu_indices(10, 1)
    expected = np.abs(np.corrcoef(values.T)[upper]).mean()
    assert scores["correlation_error"] == pytest.approx(expected)


def test_composition():
    truth = np.array(["a", "a", "b", "b"])
    assert realism.composition_error(truth, truth[::-1]) == 0
    assert realism.composition_error(truth, np.array(["c"])) == 1
    assert realism.composition_error(truth, np.array(["a"])) == 0.5
