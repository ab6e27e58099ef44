"""The moving parts of a run: order of cells, donors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from napari_gest.model.gest import GeST
from napari_gest.tasks.generation import generation
from napari_gest.tasks.generation.emission import N_CANDIDATES
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.generation.generation import Generation, rim_first
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section


def test_groups_are_compact_and_the_rim_comes_first() -> None:
    rng = np.random.default_rng(0)
    coords = rng.uniform(-100, 100, (500, 2))
    depth = 100 - np.linalg.norm(coords, axis=1)
    groups = rim_first(coords, depth, 60)
    assert sorted(np.concatenate(groups)) == list(range(500))
    assert max(len(group) for group in groups) <= 60
    means = [depth[group].mean() for group in groups]
    assert means == sorted(means)
    assert all((np.diff(depth[group]) >= 0).all() for group in groups)


def test_donors_are_filled_known_cells_the_nearest_of_many(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = section.expression.toarray()
    known = np.flatnonzero(~unseen)
    dense[known[:5]] = 0
    sparser = replace(section, expression=sparse.csr_matrix(dense))
    run = Generation(GenerateRequest(sparser, tiny_model, unseen))
    assert set(run.donor_cells) == set(known[5:])
    monkeypatch.setattr(generation, "MOST_DONORS", 10)
    few = Generation(GenerateRequest(sparser, tiny_model, unseen))
    most = 2 * int(unseen.sum())
    assert len(few.donor_cells) == min(most, len(known) - 5)
    distance = few.distance_to_region()
    taken = np.isin(np.arange(len(few.known)), few.donor_places)
    filled = ~np.isin(few.known, known[:5])
    assert distance[taken].max() <= distance[~taken & filled].min(initial=np.inf)


@pytest.mark.parametrize("mode", ["weighted", "pick"])
def test_means_can_tell_which_known_cells_could_have_given_them(
    section: Section, tiny_model: GeST, mode: str
) -> None:
    unseen = np.zeros(section.n_obs, bool)
    unseen[100:110] = True
    run = GenerateRequest(section, tiny_model, unseen, mode=mode, field=0.0).begin()
    made = finish(run.steps())
    named = finish(run.with_candidates(made))
    assert named.candidates.shape == (10, N_CANDIDATES)
    assert not unseen[named.candidates].any()
    np.testing.assert_array_equal(named.expression, made.expression)
