"""Worlds with a planted response, each drawn anew."""

from __future__ import annotations

import numpy as np

from benchmarks.perturbation.worlds import Plan, anatomy_of, make_world


def test_a_world_follows_from_its_seed_and_another_seed_plans_another() -> None:
    anatomy = anatomy_of(0, 60)
    one, plan = make_world(anatomy, 600, 2, 1)
    again, same = make_world(anatomy, 600, 2, 1)
    _, other = make_world(anatomy, 600, 2, 2)
    assert plan == same
    assert plan != other
    assert (one.X != again.X).nnz == 0
    assert (one.var["role"] == "ligand").sum() == 1
    assert (one.var["role"] == "up").sum() == plan.n_up
    assert (one.var["log_fold"] != 0).sum() == plan.n_up + plan.n_down
    assert one.obs.groupby("section", observed=True)["roi"].any().all()


def test_a_silent_world_has_its_common_causes_and_no_target() -> None:
    adata, plan = make_world(anatomy_of(0, 60), 600, 2, 1, silent=True)
    assert (adata.var["log_fold"] == 0).all()
    assert set(adata.var["role"]) == {"ligand", "other"}
    assert plan.n_common == make_world(anatomy_of(0, 60), 600, 2, 1)[1].n_common


def test_a_signal_falls_with_distance_and_no_cell_sends_to_itself() -> None:
    plan = Plan.draw(np.random.default_rng(3))
    weights = plan.weights(np.array([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0]])).toarray()
    assert np.diag(weights).tolist() == [0, 0, 0]
    assert weights[0, 1] == plan.weight(np.array(10.0))
    assert weights[0, 1] > weights[0, 2] > 0
