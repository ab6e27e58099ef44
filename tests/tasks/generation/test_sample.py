"""Mode ``sample``: what is drawn are cells that were measured, and what is written says which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.config import EmissionConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.cell_types import CellTypes
from napari_gest.tasks.generation.emission import Donors
from napari_gest.tasks.generation.generate import GenerateRequest, Painted, generate
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.generation.sample import N_CANDIDATES, SampledGeneration
from napari_gest.tasks.progress import finish
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def test_a_drawn_cell_is_a_known_cell_of_the_section_and_each_gives_once(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    made = generate(section, tiny_model, unseen, mode="sample", draws=3)
    assert len(made.further) == 2
    measured = log_normalize(section.align(tiny_model.genes)[0], tiny_model.target_sum)
    tokens = tiny_model.tokenizer.tokens(measured.copy())
    for draw in (made, *made.further):
        assert draw.donor is not None
        assert not unseen[draw.donor].any()
        assert len(np.unique(draw.donor)) == unseen.sum()
        np.testing.assert_array_equal(draw.expression, measured[draw.donor])
        np.testing.assert_array_equal(draw.meta_cell, tokens[draw.donor])
    assert made.settings["repeated_donors"] == 0
    assert made.settings["draws"] == 3
    assert made.settings["draw"] == 1
    assert not np.array_equal(made.donor, made.further[0].donor)


def test_the_first_draw_does_not_depend_on_how_many_are_asked_for(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    one, many = (
        generate(section, tiny_model, unseen, mode="sample", seed=3, draws=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(one.donor, many.donor)
    np.testing.assert_array_equal(one.expression, many.expression)
    again = generate(section, tiny_model, unseen, mode="sample", seed=3, draws=3)
    for first, second in zip(many.further, again.further, strict=True):
        np.testing.assert_array_equal(first.donor, second.donor)


def test_draws_follow_cells_when_rows_are_permuted(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    made = generate(section, tiny_model, unseen, mode="sample", draws=2)
    order = np.random.default_rng(5).permutation(tissue.n_obs)
    moved = Section.from_anndata(tissue[order].copy(), section.name)
    hidden = set(section.obs_names[unseen])
    mask = np.array([name in hidden for name in moved.obs_names])
    other = generate(moved, tiny_model, mask, mode="sample", draws=2)
    names = dict(zip(section.obs_names[made.index], section.obs_names[made.donor], strict=True))
    assert names == dict(
        zip(moved.obs_names[other.index], moved.obs_names[other.donor], strict=True)
    )


def test_more_cells_than_donors_use_donors_again_and_count_them(
    section: Section, tiny_model: GeST
) -> None:
    unseen = np.ones(section.n_obs, bool)
    unseen[section.order[: section.n_obs // 3]] = False
    made = generate(section, tiny_model, unseen, mode="sample")
    assert made.donor is not None
    used = np.bincount(made.donor, minlength=section.n_obs)[~unseen]
    assert used.min() >= 1
    assert made.settings["repeated_donors"] == unseen.sum() - (~unseen).sum()


def test_top_k_keeps_draws_to_the_likeliest_meta_cells(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    untilted = EmissionConfig(prior_shift=0, locality=0, tilt=0)
    free, narrow = (
        generate(section, tiny_model, unseen, mode="sample", top_k=k, emission=untilted)
        for k in (None, 1)
    )
    assert len(np.unique(narrow.meta_cell)) < len(np.unique(free.meta_cell))


def test_what_is_drawn_is_sharper_than_what_is_reported(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    names = np.array(["a", "b"], object)[np.arange(section.n_obs) % 2]
    plain, sharp = (
        generate(
            section,
            tiny_model,
            unseen,
            mode="sample",
            emission=EmissionConfig(prior_shift=0, locality=0, tilt=0, sharpness=power),
            types=CellTypes("kind", names),
            frontier=section.n_obs,  # all at once: nothing drawn is read again
        )
        for power in (1.0, 20.0)
    )
    # Of one window, whose probabilities are those before anything was drawn.
    same = plain.entropy == sharp.entropy
    assert same.sum() >= min(unseen.sum(), 64)
    assert plain.types is not None
    assert sharp.types is not None
    np.testing.assert_array_equal(plain.types.probability[same], sharp.types.probability[same])
    np.testing.assert_array_equal(plain.sd[same], sharp.sd[same])
    assert len(np.unique(sharp.meta_cell)) < len(np.unique(plain.meta_cell))
    assert sharp.settings["emission"]["sharpness"] == 20


def test_it_is_told_from_measured_cells_less_well_than_a_mean(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    truth = section.model_space(tiny_model.target_sum)[unseen]
    drawn, mean = (
        generate(section, tiny_model, unseen, mode=mode).expression
        for mode in ("sample", "weighted")
    )
    zeros = [(values <= 0).mean() for values in (truth, drawn, mean)]
    assert abs(zeros[1] - zeros[0]) < 0.05 < abs(zeros[2] - zeros[0])
    ratio = [np.median(v.var(0) / truth.var(0)) for v in (drawn, mean)]
    assert 0.7 < ratio[0] < 1.4
    assert ratio[1] < 0.6


def test_counts_and_donors_are_written(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray, tmp_path: Path
) -> None:
    made = generate(section, tiny_model, unseen, mode="sample", draws=2)
    before = tissue.X.copy()
    whole = made.to_anndata(tissue)
    write_tissue(whole, tmp_path / "out.h5ad")
    read = read_tissue(tmp_path / "out.h5ad")
    assert (before != read.X).nnz == 0
    counts = read.layers[keys.COUNTS]
    assert counts.dtype.kind == "i"
    assert made.donor is not None
    np.testing.assert_array_equal(
        counts[section.rows[unseen]].toarray(), section.expression[made.donor].toarray()
    )
    known = np.setdiff1d(np.arange(read.n_obs), section.rows[unseen])
    assert (counts[known] != before[known]).nnz == 0
    donor = read.obs[keys.DONOR]
    assert donor.notna().sum() == unseen.sum()
    assert donor.iloc[section.rows[unseen]].tolist() == section.obs_names[made.donor].tolist()
    second = read.layers[keys.DRAW.format(2)][section.rows[unseen]].toarray()
    genes = read.var_names.get_indexer(list(made.genes))
    np.testing.assert_allclose(second[:, genes], made.further[0].expression)
    assert read.uns[keys.UNS]["draws"] == 2
    # A later run with one draw leaves no draw of another result behind.
    once = generate(section, tiny_model, unseen, mode="sample", seed=1).to_anndata(read)
    assert keys.DRAW.format(2) not in once.layers


def test_writing_counts_leaves_measured_values_alone(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    damaged = tissue.copy()
    damaged.X = sparse.csr_matrix(damaged.X, dtype=np.float32)
    row = section.rows[unseen][0]
    damaged.X.data[damaged.X.indptr[row] : damaged.X.indptr[row + 1]] = np.nan
    before = damaged.X.copy()
    made = generate(section, tiny_model, unseen, mode="sample")
    for whole in (damaged, made.to_anndata(damaged)):
        if whole is damaged:
            made.write(damaged)
        np.testing.assert_array_equal(whole.X.indptr, before.indptr)
        np.testing.assert_array_equal(whole.X.indices, before.indices)
        np.testing.assert_array_equal(whole.X.data, before.data)


def test_new_cells_get_donors_too(tissue: AnnData, section: Section, tiny_model: GeST) -> None:
    new = section.coords_um.mean(0) + np.array([[1.5, 2.5], [-3.5, 4.5], [5.0, -6.0]])
    nothing = np.zeros(section.n_obs, bool)
    made = generate(section, tiny_model, nothing, mode="sample", new_coords_um=new)
    whole = made.to_anndata(tissue)
    assert whole.n_obs == tissue.n_obs + 3
    assert whole.obs[keys.DONOR].iloc[-3:].notna().all()
    assert whole.layers[keys.COUNTS][-3:].sum() > 0


def test_values_that_are_no_counts_give_no_counts(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    halved = replace(section, expression=sparse.csr_matrix(section.expression * 0.37))
    made = generate(halved, tiny_model, unseen, mode="sample")
    whole = made.to_anndata(tissue)
    assert keys.COUNTS not in whole.layers
    assert keys.DONOR in whole.obs


def test_a_cancelled_run_holds_what_was_drawn(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    generation = GenerateRequest(section, tiny_model, unseen, mode="sample", frontier=8).begin()
    for tick in generation.steps():
        if tick.payload is not None:
            break
    part = generation.so_far()
    assert part.donor is not None
    assert len(part.rows) == len(part.donor) == 8


@pytest.mark.parametrize(("mode", "draws"), [("weighted", 2), ("pick", 3), ("sample", 0)])
def test_only_sample_has_several_draws(
    section: Section, tiny_model: GeST, unseen: np.ndarray, mode: str, draws: int
) -> None:
    with pytest.raises(InputError, match="draws"):
        generate(section, tiny_model, unseen, mode=mode, draws=draws)


def test_without_expression_around_there_is_no_donor(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    empty = section.expression.copy()
    empty.data[:] = 0
    empty.eliminate_zeros()
    with pytest.raises(InputError, match="no donor"):
        generate(replace(section, expression=empty), tiny_model, unseen, mode="sample")


# With ``expected``: the mean first, then draws, of one field.


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
