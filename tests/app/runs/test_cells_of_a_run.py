"""Generated cells while they come. No Qt."""

from __future__ import annotations

import numpy as np


def test_a_trial_starts_empty_and_fills(trial, opened):
    assert trial.cells[:3].tolist() == [5, 6, 7]
    assert trial.cells[-3:].tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(trial.coords_um[:40], opened.section.coords_um[5:45])
    assert trial.filled.sum() == 10
    assert trial.has_truth
    assert np.isnan(trial.gene(trial.genes[0])[10:]).all()
    assert np.isnan(trial.from_section(np.ones(opened.section.n_obs, np.float32))[-3:]).all()
