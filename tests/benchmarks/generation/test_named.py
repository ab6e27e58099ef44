from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.holes import Case, Hole
from benchmarks.generation import named
from benchmarks.generation.calibration import pooled_calibration_error
from benchmarks.generation.donors import Typed
from napari_gest.tasks.generation.cell_types import CellTypes, NamedTypes


@pytest.fixture
def typed() -> Typed:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 100, (400, 2))
    mask = np.hypot(*(coords - 50).T) < 20
    hole = Hole(np.full(2, 50.0), 20.0, mask, np.zeros_like(mask))
    case = Case("s", coords, rng.poisson(1, (400, 4)).astype(np.float32), hole, np.arange(4))
    token = np.where(coords[:, 0] < 50, 0, rng.integers(1, 3, 400))
    return Typed(case, token, np.array([0, 1, 1]), np.eye(3, dtype=np.float32))


def test_combined_names_come_apart_again(typed: Typed) -> None:
    labels = np.array(["x", "y"], object)[np.arange(400) % 2]
    labels[::10] = None
    both = named.combined_types(typed, CellTypes("kind", labels))
    hidden = typed.case.hole.mask
    assert all(name is None for name in both.labels[hidden]), "the hole's own are not given"
    names = both.names
    probability = np.random.default_rng(1).dirichlet(np.ones(len(names)), 5).astype(np.float32)
    made = NamedTypes("kind", names, probability, np.array([0, 1, 2, 3, 4]))
    levels, p, called = named.separate(made, 0)
    assert levels == ["0", "1"]
    first = [name.startswith("0") for name in names]
    np.testing.assert_allclose(p[:, 0], probability[:, first].sum(1), rtol=1e-6)
    assert called == [names[i][0] for i in range(5)]
    kinds, p, _ = named.separate(made, 1)
    assert kinds == ["", "x", "y"]
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)


def test_shares_among_neighbours_are_those_of_the_nearest(typed: Typed) -> None:
    labels = named.labels_of(typed, None)
    share = named.neighbour_shares(typed, labels, ["0", "1"], 10)
    np.testing.assert_allclose(share.sum(1), 1)
    near = typed.tree.query(typed.case.hole_coords[0], 10)[1]
    known = labels[typed.case.hole.known]
    composition = (known == "0").mean()
    assert share[0, 0] == pytest.approx(0.98 * (known[near] == "0").mean() + 0.02 * composition)
    assert named.tuned_number([typed], {}) in named.NUMBERS


def test_loss_and_calibration_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    truth = np.array(["a", "b", "b", None], object)
    loss = named.log_loss(p, ["a", "b"], truth)
    assert loss == pytest.approx(-np.log([0.9, 0.4, 0.8]).mean())
    bins = named.bins_of(p, ["a", "b"], truth)
    assert bins[9] == [1.0, 0.9, 1.0]
    assert bins[6] == [1.0, 0.6, 0.0]
    assert bins[8] == [1.0, 0.8, 1.0]
    assert pooled_calibration_error([bins]) == pytest.approx((0.1 + 0.6 + 0.2) / 3)
    # Holes are pooled before the gaps are taken.
    assert pooled_calibration_error([bins, bins]) == pytest.approx(0.3)


def test_a_meta_cell_is_scored_with_the_temperature_and_without(typed: Typed) -> None:
    m = int(typed.case.hole.mask.sum())
    p = np.full((m, 3), 0.01, np.float32)
    p[np.arange(m), (typed.true_token + np.arange(m) % 2) % 3] = 0.98  # right half of the time
    row = named.meta_cell_row(("x", "s", 0, 20.0), typed, p, 2.0)
    assert row.losses[named.OURS] < row.losses[named.AT_ONE]
    assert row.n_cells == m
    same = named.meta_cell_row(("x", "s", 0, 20.0), typed, p, 1.0)
    assert same.losses[named.OURS] == pytest.approx(same.losses[named.AT_ONE], rel=1e-5)
