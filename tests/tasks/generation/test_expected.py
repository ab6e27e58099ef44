"""Mode ``sample`` with ``expected``: the mean first, then draws, of one field."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.emission import Donors
from napari_gest.tasks.generation.generate import GenerateRequest, Painted, generate
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.generation.sample import N_CANDIDATES, SampledGeneration
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def test_mean_and_drawn_cells_are_those_of_their_own_modes_bit_for_bit(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    new = section.coords_um.mean(0) + np.array([[0.0, 3.0], [5.0, 0.0]])
    asked = {"seed": 4, "new_coords_um": new}
    both = generate(section, tiny_model, unseen, mode="sample", expected=True, draws=2, **asked)
    drawn = generate(section, tiny_model, unseen, mode="sample", draws=2, **asked)
    mean = generate(section, tiny_model, unseen, mode="weighted", **asked)
    np.testing.assert_array_equal(both.expected, mean.expression)
    assert both.expected.dtype == mean.expression.dtype
    for name in ("rows", "coords_um", "expression", "sd", "entropy", "meta_cell", "donor"):
        np.testing.assert_array_equal(getattr(both, name), getattr(drawn, name))
    np.testing.assert_array_equal(both.further[0].expression, drawn.further[0].expression)
    assert both.settings == drawn.settings
    assert drawn.expected is None


def test_the_field_is_fitted_once(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, fit = [], Generation.fit_field
    monkeypatch.setattr(
        Generation, "fit_field", lambda self: fitted.append(self.request.mode) or fit(self)
    )
    generate(section, tiny_model, unseen, mode="sample", expected=True, draws=2)
    assert fitted == ["weighted"]


def test_expected_cells_come_first_and_at_once(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    request = GenerateRequest(section, tiny_model, unseen, mode="sample", expected=True)
    ticks = list(request.run())
    assert isinstance(ticks[0].payload, Painted)  # nothing is fitted before it
    drawn = [tick.payload.drawn for tick in ticks if tick.payload is not None]
    assert drawn == sorted(drawn)
    for which in (False, True):
        parts = [t.payload.index for t in ticks if t.payload and t.payload.drawn is which]
        assert sorted(np.concatenate(parts)) == list(range(unseen.sum()))


def test_a_finished_run_goes_on_with_the_draws_that_a_longer_one_has(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    request = GenerateRequest(section, tiny_model, unseen, mode="sample", expected=True, seed=2)
    run = request.begin()
    assert isinstance(run, SampledGeneration)
    made = finish(run.steps())
    third = finish(run.another(3))
    steps = run.another(2)
    next(steps)
    steps.close()  # one that is cut off leaves nothing behind
    went_on = made.with_draws((finish(run.another(2)), third))
    gone = request.begin()
    finish(gone.resume())
    np.testing.assert_array_equal(finish(gone.another(3)).donor, third.donor)
    long = generate(section, tiny_model, unseen, mode="sample", expected=True, seed=2, draws=3)
    for number in (1, 2, 3):
        one, same = went_on.of_draw(number), long.of_draw(number)
        np.testing.assert_array_equal(one.expression, same.expression)
        np.testing.assert_array_equal(one.donor, same.donor)
        np.testing.assert_array_equal(one.meta_cell, same.meta_cell)
        np.testing.assert_array_equal(one.expected, same.expected)
        assert one.settings == same.settings
    two = generate(section, tiny_model, unseen, mode="sample", expected=True, seed=2, draws=2)
    assert went_on.first_draws(2).settings == two.settings
    assert len(went_on.first_draws(2).further) == 1


@pytest.mark.parametrize("mode", ["weighted", "pick"])
def test_only_sample_has_something_else_to_expect(
    section: Section, tiny_model: GeST, unseen: np.ndarray, mode: str
) -> None:
    with pytest.raises(InputError, match="mode 'sample'"):
        generate(section, tiny_model, unseen, mode=mode, expected=True)


def test_a_run_cut_off_before_all_are_drawn_holds_those_expected(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    request = GenerateRequest(section, tiny_model, unseen, mode="sample", expected=True, frontier=8)
    run = request.begin()
    steps = run.steps()
    next(steps)
    part = run.so_far()
    assert len(part.rows) == 8
    assert not part.is_drawn
    while not (tick := next(steps)).payload or not tick.payload.drawn:
        pass
    part = run.so_far()
    assert len(part.rows) == unseen.sum()
    assert not part.is_drawn
    assert part.donor is None
    mean = generate(section, tiny_model, unseen, frontier=8)
    np.testing.assert_array_equal(part.expression, mean.expression)


def test_agreement_is_of_the_mean(section: Section, tiny_model: GeST, unseen: np.ndarray) -> None:
    both = generate(section, tiny_model, unseen, mode="sample", expected=True)
    mean = generate(section, tiny_model, unseen)
    drawn = generate(section, tiny_model, unseen, mode="sample")
    assert both.agreement(section) == mean.agreement(section)
    assert both.agreement(section) != drawn.agreement(section)


def test_the_mean_is_written_beside_the_drawn_cells(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    both = generate(section, tiny_model, unseen, mode="sample", expected=True)
    assert keys.EXPECTED in both.write(tissue)
    held = tissue.layers[keys.EXPECTED].toarray()
    place = [tissue.var_names.get_loc(gene) for gene in both.genes]
    np.testing.assert_array_equal(held[both.rows][:, place], both.expected)
    others = np.setdiff1d(np.arange(tissue.n_obs), both.rows)
    same = tissue.layers[keys.EXPRESSION].toarray()
    np.testing.assert_array_equal(held[others], same[others])


def test_of_cells_of_other_runs_the_mean_is_kept_or_not_said(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    here = np.flatnonzero(unseen)
    parts = []
    for cells in np.array_split(here, 3):
        mask = np.zeros_like(unseen)
        mask[cells] = True
        parts.append(mask)
    generate(section, tiny_model, parts[0], mode="sample").write(tissue)
    assert keys.EXPECTED not in tissue.layers
    both = generate(section, tiny_model, parts[1], mode="sample", expected=True)
    both.write(tissue)
    mean = generate(section, tiny_model, parts[2])
    assert keys.EXPECTED in mean.write(tissue)
    held = tissue.layers[keys.EXPECTED].toarray()
    place = [tissue.var_names.get_loc(gene) for gene in both.genes]
    assert np.isnan(held[section.rows[parts[0]]]).all()  # nobody asked for it
    np.testing.assert_array_equal(held[both.rows][:, place], both.expected)
    np.testing.assert_array_equal(held[mean.rows][:, place], mean.expression)
    pick = generate(section, tiny_model, parts[1], mode="pick")
    pick.write(tissue)
    held = tissue.layers[keys.EXPECTED].toarray()
    np.testing.assert_array_equal(held[both.rows][:, place], pick.expression)


def test_candidates_hold_each_donor_as_often_as_it_is_likely(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    made = generate(section, tiny_model, unseen, mode="sample", draws=2)
    assert made.candidates.shape == (unseen.sum(), N_CANDIDATES)
    assert not unseen[made.candidates].any()
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(300, 0.3), 5)
    donors = object.__new__(Donors)
    donors.token = rng.integers(0, 6, 300)
    found = donors.quantiles(weights, 64)
    for token in range(6):
        share = weights[:, donors.token == token].sum(1)
        counted = (donors.token[found] == token).mean(1)
        np.testing.assert_allclose(counted, share, atol=1 / 64)
