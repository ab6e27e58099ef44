from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.generation import realism


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


def test_which_types_stand_side_by_side():
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 300, (400, 2))
    apart = (coords[:, 0] > 150).astype(int)  # each type among its own
    mixed = rng.permutation(apart)
    assert realism.enrichment_error(apart, apart, coords) == 0
    assert realism.enrichment_error(apart, mixed, coords) > 1
    # Another patch with the same pattern is about right.
    other = rng.uniform(0, 300, (400, 2))
    kinds = (other[:, 0] > 150).astype(int)
    assert realism.enrichment_error(apart, kinds, coords, other) < 0.6
    # Shares alone are no error of enrichment.
    rare = (rng.uniform(size=400) < 0.1).astype(int)
    assert realism.enrichment_error(mixed, rare, coords) < 0.5


def test_moran_of_another_patch_has_its_own_positions(tissue):
    values, coords = tissue
    shuffled = np.random.default_rng(1).permutation(len(coords))
    moved = values[shuffled], coords[shuffled]
    assert realism.moran_error(values, *moved[:1], coords) > 0.05
    assert realism.moran_error(values, moved[0], coords, moved[1]) == pytest.approx(0)
