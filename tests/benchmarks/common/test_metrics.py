from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from benchmarks.common import metrics


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.round(rng.gamma(1.0, 2.0, (60, 12)))  # ties, as counts have
    return truth, 0.4 * truth + rng.normal(size=truth.shape)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(metrics.pearson, stats.pearsonr), (metrics.spearman, stats.spearmanr)]
)
def test_correlations_agree_with_scipy(pair, ours, theirs):
    truth, prediction = pair
    per_gene = [theirs(truth[:, g], prediction[:, g])[0] for g in range(truth.shape[1])]
    per_cell = [theirs(t, p)[0] for t, p in zip(truth, prediction, strict=True)]
    np.testing.assert_allclose(ours(truth, prediction), per_gene, atol=1e-12)
    np.testing.assert_allclose(ours(truth, prediction, axis=1), per_cell, atol=1e-12)


def test_rmse_z_is_the_rmse_of_z_scores(pair):
    truth, prediction = pair
    z = stats.zscore(truth) - stats.zscore(prediction)
    assert metrics.rmse_z(truth, prediction) == pytest.approx(np.sqrt((z**2).mean()))
    r = metrics.pearson(truth, prediction).mean()
    assert metrics.rmse_z(truth, prediction) == pytest.approx(np.sqrt(2 * (1 - r)))


def test_a_constant_prediction_is_sqrt_two_by_definition(pair):
    truth, _ = pair
    # Float32 sums in another order leave rounding noise on what is meant to be constant.
    constant = np.full(truth.shape, 0.1, np.float32)
    constant[::2] = np.nextafter(constant[::2], np.float32(1))
    assert metrics.rmse_z(truth, constant) == pytest.approx(np.sqrt(2))
    assert (metrics.spearman(truth, constant) == 0).all()


def test_genes_constant_in_the_truth_are_left_out_and_counted(pair):
    truth, prediction = pair
    truth = truth.copy()
    truth[:, 4] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.accuracy(truth, prediction, np.array([4, 5]))
    rest = np.delete(np.arange(12), 4)
    assert scores["n_constant"] == 1
    assert scores["n_constant_svg"] == 1
    expected = metrics.pearson(truth[:, rest], prediction[:, rest]).mean()
    assert scores["pearson_gene"] == pytest.approx(expected)
    assert scores["pearson_gene_svg"] == pytest.approx(
        stats.pearsonr(truth[:, 5], prediction[:, 5])[0]
    )
    assert scores["rmse"] == pytest.approx(np.sqrt(((truth - prediction) ** 2).mean()))


def test_by_depth_splits_the_cells(pair):
    truth, prediction = pair
    depth = np.linspace(0, 250, len(truth))
    bands = metrics.by_depth(truth, prediction, depth, np.array([0]), (0, 100, 200, np.inf), 5)
    assert list(bands) == ["0-100", "100-200", ">200"]
    assert sum(b["n_cells"] for b in bands.values()) == len(truth)
    shallow = depth < 100
    assert bands["0-100"]["rmse"] == metrics.rmse(truth[shallow], prediction[shallow])


def test_number_of_svgs():
    assert metrics.n_svgs(135) == 27
    assert metrics.n_svgs(2000) == 200
    assert metrics.n_svgs(3) == 1
