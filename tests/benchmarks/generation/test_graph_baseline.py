from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from benchmarks.common.holes import Case, cases
from benchmarks.generation import baselines
from benchmarks.generation.graph_baseline import GraphImputer, _nearest


@pytest.fixture(scope="module")
def validation() -> list[Case]:
    """Two sections whose cells differ by how far the nearest one is, which no mean can tell."""
    rng = np.random.default_rng(0)
    found = []
    for name in "ab":
        coords = rng.uniform(0, 600, (900, 2))
        crowded = np.log(cKDTree(coords).query(coords, 2)[0][:, 1:])
        values = 3 + crowded * np.linspace(-1, 1, 10) + 0.2 * rng.normal(size=(900, 10))
        found += cases(name, coords, values.astype(np.float32), 1, radii_um=(80.0, 100.0))
    return found


def short(seed: int = 0, rounds: int = 8) -> GraphImputer:
    imputer = GraphImputer(seed)
    imputer.rounds, imputer.draws, imputer.n_layers = rounds, 2, 2
    return imputer


@pytest.fixture(scope="module")
def fitted(validation) -> GraphImputer:
    return short().fit(validation)


def test_it_reads_how_the_cells_of_the_hole_are_arranged(fitted, validation):
    prediction = baselines.predict_case(fitted, validation[0])
    assert prediction.shape == validation[0].truth.shape
    assert prediction.dtype == np.float32
    mean = baselines.validation_score(baselines.InverseDistance(2.0, 500), validation)
    assert baselines.validation_score(fitted, validation) < mean - 0.05
    assert "rounds" in fitted.setting


def test_it_does_not_see_the_hole(fitted, validation):
    case = validation[0]
    scrambled = case.values.copy()
    scrambled[case.hole.mask] = -99
    blind = Case(case.section, case.coords_um, scrambled, case.hole, case.svg)
    np.testing.assert_array_equal(
        baselines.predict_case(fitted, case), baselines.predict_case(fitted, blind)
    )


def test_validation_holes_are_not_learned(validation, monkeypatch):
    # Their expression says only when to stop, and here it does not say that.
    monkeypatch.setattr(GraphImputer, "_score", lambda self, net, stop_on: 1.0)
    hidden = {
        name: np.any([c.hole.mask for c in validation if c.section == name], axis=0)
        for name in "ab"
    }
    blind = [
        Case(
            c.section, c.coords_um, np.where(hidden[c.section][:, None], 0, c.values), c.hole, c.svg
        )
        for c in validation
    ]
    made = [baselines.predict_case(short(rounds=1).fit(v), blind[0]) for v in (validation, blind)]
    np.testing.assert_array_equal(*made)


def test_one_seed_gives_one_network(validation):
    one, again, other = (
        baselines.predict_case(short(seed, rounds=1).fit(validation), validation[0])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_node_does_not_listen_to_itself():
    coords = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])  # two in one place
    own = np.arange(4)
    found = _nearest(coords, coords, 2, own)
    assert (found != own[:, None]).all()
    assert set(found[0]) == {1, 2}
    assert set(found[3]) <= {0, 1, 2}
    assert _nearest(coords[:1], coords[1:], 9, own[:1] - 1).shape == (1, 2)
