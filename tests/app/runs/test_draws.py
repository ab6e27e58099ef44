"""Draws of a run of generation: which is shown and kept, and how they come back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app.actions import AddRun, Keep, SetShapes, ShowDraw
from napari_gest.app.regions import Shape
from napari_gest.app.runs import generation_outcome
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import Begun, GenerationRun
from napari_gest.app.script import Script
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import write_tissue

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture
def made(work, model_info, tiny_model, tissue, tmp_path):
    """A run that was added, and its moving parts."""
    write_tissue(tissue, tmp_path / "two.h5ad")
    x, y = work.session.state.opened.section.coords_um.mean(0)
    corners = [(x + 50 * i, y + 50 * j) for i, j in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    shape = Shape(role="unseen", section="section_1", kind="polygon", corners=corners)
    work.do(SetShapes(role="unseen", shapes=(shape,)))
    run = GenerationRun.of(work.session.state, model_info)
    object.__setattr__(run, "path", tmp_path / "two.h5ad")
    steps, parts = run.work(lambda name: tiny_model), None
    while True:
        try:
            payload = next(steps).payload
        except StopIteration as stop:
            outcome = stop.value
            break
        parts = payload.generation if isinstance(payload, Begun) else parts
    work.do(AddRun.of(RunEntry("run-1", run.title, run, outcome)))
    return run, parts


def outcome_of(work):
    return work.session.state.entry("run-1").outcome


def test_another_draw_is_shown_and_undone(work, made):
    _, parts = made
    before = outcome_of(work)
    second = finish(parts.another(2))
    work.do(ShowDraw(id="run-1", draw=2, added=(second,)))
    now = outcome_of(work)
    assert (now.number, now.n_draws, now.cells.number, now.cells.of) == (2, 2, 2, 2)
    np.testing.assert_array_equal(now.cells.expression, second.expression)
    np.testing.assert_array_equal(now.cells.expected, before.result.expected)
    assert now.result is before.result  # niches speak of it
    work.undo()
    assert (outcome_of(work).number, outcome_of(work).n_draws) == (1, 2)
    work.redo()
    assert (outcome_of(work).number, outcome_of(work).n_draws) == (2, 2)
    state = work.session.state
    for draw in (0, 3):  # there is none
        work.do(ShowDraw(id="run-1", draw=draw))
        assert work.session.state is state


def test_parts_that_are_gone_are_made_anew(work, made, tiny_model):
    run, parts = made
    again = finish(run.resume(lambda name: tiny_model, outcome_of(work).result))
    same, anew = finish(parts.another(2)), finish(again.another(2))
    np.testing.assert_array_equal(same.expression, anew.expression)
    np.testing.assert_array_equal(same.donor, anew.donor)


def test_the_draw_that_is_shown_is_kept(work, made, tiny_model):
    run, parts = made
    section, adata = run.snapshot.section, work.session.state.opened.adata
    more = tuple(finish(parts.another(number)) for number in (2, 3))
    work.do(ShowDraw(id="run-1", draw=2, added=more))
    work.do(Keep(id="run-1"))
    long = generate(section, tiny_model, run.unseen, mode="sample", expected=True, draws=2).of_draw(
        2
    )
    place = [adata.var_names.get_loc(gene) for gene in long.genes]

    def written(key: str) -> np.ndarray:
        return adata.layers[key].toarray()[long.rows][:, place]

    np.testing.assert_array_equal(written(keys.EXPRESSION), long.expression)
    np.testing.assert_array_equal(written(keys.EXPECTED), long.expected)
    assert adata.uns[keys.UNS] == long.settings
    assert (adata.uns[keys.UNS]["draw"], adata.uns[keys.UNS]["draws"]) == (2, 2)
    # What is looked at later, and draws that join, change nothing of what was kept.
    before = adata.layers[keys.EXPRESSION]
    work.do(ShowDraw(id="run-1", draw=3))
    work.do(ShowDraw(id="run-1", draw=4, added=(finish(parts.another(4)),)))
    assert adata.layers[keys.EXPRESSION] is before
    work.do(Keep(id="run-1"))
    assert adata.uns[keys.UNS]["draw"] == 4
    work.undo()
    np.testing.assert_array_equal(written(keys.EXPRESSION), long.expression)
    assert outcome_of(work).kept_draw.number == 2


@pytest.mark.parametrize("draw", [1, 3])
def test_the_script_gives_the_draw(work, made, tiny_model, monkeypatch, tmp_path, draw):
    _, parts = made
    more = tuple(finish(parts.another(number)) for number in (2, 3))
    work.do(ShowDraw(id="run-1", draw=3, added=more))
    work.do(ShowDraw(id="run-1", draw=draw))
    script = Script()
    outcome_of(work).add_to(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GeST, "load", lambda name: tiny_model)
    scope: dict = {}
    exec(compile(script.text("generated"), "copied", "exec"), scope)
    made_now = scope["result" if draw == 1 else "drawn"]
    asked = outcome_of(work).of_draw(draw)
    np.testing.assert_array_equal(made_now.expression, asked.expression)
    np.testing.assert_array_equal(made_now.expected, asked.expected)
    assert made_now.settings == asked.settings
    # Other runs speak of the first.
    np.testing.assert_array_equal(scope["result"].expression, outcome_of(work).result.expression)
    assert scope["result"].settings == outcome_of(work).result.settings


def test_there_is_an_end_to_draws(work, made, monkeypatch):
    outcome = outcome_of(work)
    assert outcome.why_no_more() is None
    monkeypatch.setattr(generation_outcome, "MOST_DRAWS", 2)
    assert outcome.why_no_more() is None
    assert "another seed" in outcome.why_no_more(1)
    monkeypatch.setattr(generation_outcome, "_MOST_VALUES", 1)
    assert "memory" in outcome.why_no_more()
