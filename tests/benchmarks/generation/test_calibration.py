from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.generation import calibration as c


@pytest.fixture
def honest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(400, 30))
    sd = np.repeat(rng.uniform(0.2, 2, (400, 1)), 30, axis=1)
    return rng.normal(mean, sd), mean, sd


def test_an_honest_sd_covers_what_it_says(honest):
    truth, mean, sd = honest
    scores = c.calibration(truth, mean, sd, np.linspace(0, 150, 400))
    for level in c.LEVELS:
        assert scores[f"coverage_{level:.0%}"] == pytest.approx(level, abs=0.02)
    assert scores["coverage_90%_0-50"] == pytest.approx(0.9, abs=0.03)
    assert "coverage_90%_>200" not in scores
    assert scores["error_rank"] > 0.9
    assert scores["nll"] == pytest.approx(-stats.norm(mean, sd).logpdf(truth).mean())


def test_overconfidence_shows(honest):
    truth, mean, sd = honest
    assert c.coverage(truth, mean, sd / 3)["coverage_90%"] < 0.6
    assert c.gaussian_nll(truth, mean, sd / 3) > c.gaussian_nll(truth, mean, sd)
    assert np.isfinite(c.gaussian_nll(truth, mean, 0 * sd))


def test_ece():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0, 1, 20000)
    correct = rng.uniform(size=20000) < confidence
    assert c.expected_calibration_error(confidence, correct) < 0.02
    assert c.expected_calibration_error(np.full(100, 0.9), np.zeros(100, bool)) == pytest.approx(
        0.9
    )
