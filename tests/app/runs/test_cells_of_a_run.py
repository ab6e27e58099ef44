"""Generated cells while they come. No Qt."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


def test_a_trial_starts_empty_and_fills(trial, opened):
    assert trial.cells[:3].tolist() == [5, 6, 7]
    assert trial.cells[-3:].tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(trial.coords_um[:40], opened.section.coords_um[5:45])
    assert trial.filled.sum() == 10
    assert trial.has_truth
    assert np.isnan(trial.gene(trial.genes[0])[10:]).all()
    assert np.isnan(trial.from_section(np.ones(opened.section.n_obs, np.float32))[-3:]).all()


def test_what_a_cut_off_run_has_made_is_a_result_of_its_own(trial):
    assert trial.part() is None  # nothing was begun
    made = SimpleNamespace(
        rows=np.array([7, 9, -1]),
        index=np.array([7, 9]),
        coords_um=np.array([[0.0, 0], [1, 1], [3, 4]]),
        expression=np.ones((3, len(trial.genes)), np.float32),
        sd=np.zeros((3, len(trial.genes)), np.float32),
        entropy=np.zeros(3, np.float32),
    )
    trial.so_far = lambda: made
    part = trial.part()
    assert part.cut_off
    assert not trial.cut_off
    assert part.result is made
    assert part.cells.tolist() == [7, 9, -1]
    np.testing.assert_array_equal(part.coords_um[-1], [3, 4])
    assert part.filled.all()
    assert (part.gene(trial.genes[0]) == 1).all()
    assert (part.gene_sd(trial.genes[0]) == 0).all()
    assert np.isnan(part.gene("none")).all()
    trial.so_far = lambda: SimpleNamespace(rows=np.empty(0, int))
    assert trial.part() is None


def test_filling_takes_in_the_cells_of_one_frontier(trial):
    index = np.array([20, 21])
    painted = SimpleNamespace(
        index=index,
        expression=np.full((2, len(trial.genes)), 2.0, np.float32),
        sd=np.ones((2, len(trial.genes)), np.float32),
        entropy=np.array([0.1, 0.2], np.float32),
    )
    trial.fill(painted)
    assert trial.filled[index].all()
    assert trial.gene(trial.genes[0])[index].tolist() == [2, 2]
    assert trial.entropy[index].tolist() == np.array([0.1, 0.2], np.float32).tolist()
