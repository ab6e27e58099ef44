"""Checks of a region and maps of a section: what they ask, and what is done with them. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_entry, map_entry, middle, square

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.actions import (
    Activate,
    AddRun,
    ChangeView,
    Choose,
    CloseSections,
    Discard,
    Keep,
    SetShapes,
)
from napari_gest.app.colors import MISSING
from napari_gest.app.regions import drawn_region
from napari_gest.app.run_preview import preview_of
from napari_gest.app.run_table import run_state
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.check import CheckRun, believable, known_check
from napari_gest.app.runs.check_map import CheckMapRun
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.view_state import Normalization, ViewState, section_legend, section_rgba
from napari_gest.errors import InputError
from napari_gest.tasks.generation.check_map_report import CheckMap
from napari_gest.tasks.progress import finish

ONE, TWO = "section_1", "section_2"


@pytest.fixture
def drawn(work):
    """A journal with a square drawn in the middle of the first section."""
    work.do(SetShapes(role="unseen", shapes=(square(work.session.state, 50),)))
    return work


def legend_and_colors(state):
    view, opened, space = state.view, state.opened, Normalization()
    legend = section_legend(view, opened, space, preview_of(state))
    return legend, section_rgba(view, opened, legend, space, preview_of(state))


# A check.


def test_it_is_about_the_generation_to_come(drawn, model_info):
    drawn.do(Choose.of(seed=3))
    generation = GenerationRun.of(drawn.session.state, model_info)
    run = CheckRun(generation)
    run.check()
    assert run.title == f"check of {generation.title}"
    assert (run.settings, run.model, run.seed) == ("drawn region", model_info, 3)
    assert run.snapshots == generation.snapshots


def test_it_does_what_the_public_function_does(drawn, model_info, tiny_model, short_field):
    from napari_gest.tasks.generation.check import check_generation

    state = drawn.session.state
    run = CheckRun(GenerationRun.of(state, model_info))
    outcome = finish(run.work(lambda name: tiny_model))
    made = check_generation(state.opened.section, tiny_model, run.generation.unseen)
    assert outcome.check.table.equals(made.table)
    assert (outcome.beyond is None) or outcome.check.depth_um
    assert f"of {len(made.table)} genes" in outcome.agreement_text
    script = run.script()
    assert "check = check_generation(section, model, unseen, seed=0)" in script
    assert "check.write(adata)" in script
    compile(script, "script", "exec")


def test_the_same_question_is_known(drawn, model_info):
    state = drawn.session.state
    drawn.do(AddRun.of(check_entry(state, "run-1", model_info)))

    def ask():
        return known_check(drawn.session.state, CheckRun(GenerationRun.of(
            drawn.session.state, model_info)))  # fmt: skip

    assert ask().id == "run-1"
    drawn.do(Choose.of(seed=9, mode="sample"))  # the seed hardly matters, the read-out not at all
    assert ask().id == "run-1"
    drawn.do(SetShapes(role="unseen", shapes=(square(state, 45),)))
    assert ask() is None
    drawn.undo()
    assert ask().id == "run-1"
    drawn.do(Discard(id="run-1"))
    assert ask() is None


def test_it_is_stale_once_the_region_changed(drawn, model_info):
    state = drawn.session.state
    drawn.do(AddRun.of(check_entry(state, "run-1", model_info)))
    entry = drawn.session.state.entry("run-1")
    assert why_stale(entry, drawn.session.state) is None
    assert run_state(entry, drawn.session.state) == "not kept"
    drawn.do(SetShapes(role="unseen", shapes=()))
    assert "region was changed" in why_stale(entry, drawn.session.state)
    drawn.undo()
    assert why_stale(entry, drawn.session.state) is None
    drawn.session.state.opened.adata.obs["mask"] = np.arange(1200) % 5 == 0
    drawn.do(Choose.of(mask_key="mask"))
    assert "Something else marks" in why_stale(entry, drawn.session.state)
    drawn.do(CloseSections(labels=(ONE,)))
    assert not drawn.session.state.runs


def test_it_comes_without_taking_back_what_could_be_done_again(drawn, model_info):
    drawn.do(SetShapes(role="unseen", shapes=()))
    drawn.undo()
    assert drawn.redoes is not None
    view = drawn.session.state.view
    drawn.do(AddRun.of(check_entry(drawn.session.state, "run-1", model_info)))
    assert drawn.redoes is not None
    assert drawn.session.state.view == view


def test_only_believable_genes_are_listed_where_that_is_wanted(drawn, model_info):
    drawn.do(AddRun.of(check_entry(drawn.session.state, "run-1", model_info)))
    assert believable(drawn.session.state) is None
    drawn.do(Choose.of(believable=True))
    genes = drawn.session.state.opened.section.genes
    assert believable(drawn.session.state) == frozenset(genes[:5])
    drawn.do(Activate(label=TWO))
    assert believable(drawn.session.state) is None
    drawn.do(Activate(label=ONE))
    drawn.do(Discard(id="run-1"))
    assert believable(drawn.session.state) is None


def test_the_shrunk_region_is_what_is_not_beyond(drawn, model_info):
    state = drawn.session.state
    inner = middle(state, 20)
    outcome = check_entry(state, "run-1", model_info, inner).outcome
    before = drawn_region(state.region("unseen"))
    drawn.do(SetShapes(role="unseen", shapes=outcome.shrunk))
    after = drawn_region(drawn.session.state.region("unseen"))
    assert after.area_um2 == pytest.approx(before.area_um2 - inner.area_um2)
    assert after.geometry.intersection(inner.geometry).area == pytest.approx(0, abs=1e-6)
    drawn.undo()
    assert drawn.session.state.region("unseen") == state.region("unseen")
    assert not check_entry(state, "run-1", model_info).outcome.shrunk


def test_it_is_kept_beside_the_cells_whichever_came_first(drawn, model_info, tiny_model):
    state = drawn.session.state
    adata = state.opened.adata
    drawn.do(AddRun.of(check_entry(state, "run-1", model_info)))
    drawn.do(Keep(id="run-1"))
    check = drawn.session.state.entry("run-1").outcome.check
    assert adata.uns[keys.UNS]["check"]["verdict"] == check.verdict

    run = GenerationRun.of(drawn.session.state, model_info)
    made = finish(run.work(lambda name: tiny_model))
    drawn.do(AddRun.of(RunEntry("run-2", run.title, run, made)))
    drawn.do(Keep(id="run-2"))
    assert adata.uns[keys.UNS]["check"]["verdict"] == check.verdict
    assert adata.uns[keys.UNS]["seed"] == 0
    drawn.undo()
    drawn.undo()
    assert keys.UNS not in adata.uns


# A map.


def test_a_map_is_of_the_section_without_the_region(drawn, model_info, tiny_model, short_field):
    state = drawn.session.state
    run = CheckMapRun.of(state, model_info)
    run.check()
    assert run.settings == "tiles of the region's size"
    drawn.do(SetShapes(role="unseen", shapes=()))
    assert CheckMapRun.of(drawn.session.state, model_info).settings == "tiles of usual size"
    assert run.changed_since(drawn.session.state) is None  # one draws where it is good
    payloads, steps = [], run.work(lambda name: tiny_model)
    while True:
        try:
            payloads.append(next(steps).payload)
        except StopIteration as stop:
            outcome = stop.value
            break
    assert np.isnan(outcome.report.gain_of_cells[run.region.unseen]).all()
    assert "tiles" in outcome.agreement_text
    partial = [p for p in payloads if isinstance(p, CheckMap)]
    assert run.outcome(partial[0]).report is partial[0]
    script = run.script()
    assert "where = check_map(section, model, unseen=unseen, seed=0)" in script
    compile(script, "script", "exec")
    no_tissue = type(state)()
    with pytest.raises(InputError, match="No tissue is open"):
        CheckMapRun.of(no_tissue, model_info)


def test_a_map_colours_the_cells_about_zero_and_leaves_others_grey(work, model_info):
    work.do(ChangeView.of(gene=work.session.state.opened.section.genes[0], view="generated"))
    entry = map_entry(work.session.state, "run-1", model_info)
    work.do(AddRun.of(entry))
    state = work.session.state
    assert state.view.of_run == ("run-1", "gain")
    assert state.view.view == "measured"  # generated cells would cover what is below them
    legend, rgba = legend_and_colors(state)
    assert legend.colors.cmap == colors.DIVERGING
    assert legend.colors.low == -legend.colors.high
    tile = entry.outcome.report.tile
    np.testing.assert_allclose(rgba[tile == 1], np.tile(MISSING, ((tile == 1).sum(), 1)))
    assert not np.allclose(rgba[tile == 0][0], MISSING)
    work.do(ChangeView.of(value_limits=(-0.1, 0.4)))
    assert legend_and_colors(work.session.state)[0].colors.low == -0.4
    work.do(Discard(id="run-1"))
    assert work.session.state.view.of_run is None


def test_a_map_that_is_kept_is_a_column_about_zero(work, model_info):
    work.do(AddRun.of(map_entry(work.session.state, "run-1", model_info)))
    work.do(Keep(id="run-1"))
    opened = work.session.state.opened
    assert keys.CHECK_GAIN in opened.adata.obs
    view = ViewState(column=keys.CHECK_GAIN)
    scale = section_legend(view, opened, Normalization()).colors
    assert (scale.cmap, scale.low) == (colors.DIVERGING, -scale.high)
    work.undo()
    assert keys.CHECK_GAIN not in opened.adata.obs
