"""Sections are opened and closed, and one of them is in use."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from app_stubs import entry_of, shape

from napari_gest.app.actions import (
    Activate,
    AddRun,
    ChangeView,
    Choose,
    CloseSections,
    Keep,
    OpenSections,
    SetShapes,
    SetStrokes,
)
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Stroke
from napari_gest.app.runs.base import is_closed, is_gone, why_stale
from napari_gest.app.view_state import ViewState
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading

ONE, TWO = "section_1", "section_2"


class Models:
    """A registry in which one model knows some genes."""

    def __init__(self, model: ModelInfo) -> None:
        self.models = {model.name: model}

    def best_for(self, genes) -> str | None:
        (model,) = self.models.values()
        return model.name if set(genes) & set(model.genes) else None


def test_the_first_opened_is_in_use_and_coloured(journal, tissue):
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state))
    state = journal.session.state
    assert list(state.sections) == [ONE, TWO]
    assert state.active == ONE
    assert state.view == ViewState(column="cell_type")
    journal.do(ChangeView.of(column="region"))
    again = open_sections(tissue)
    journal.do(OpenSections.of(again, journal.session.state))
    state = journal.session.state
    assert list(state.sections) == [ONE, TWO, f"{ONE} (2)", f"{TWO} (2)"]
    assert state.active == f"{ONE} (2)"
    assert state.view.column == "region"
    assert journal.undoes is None


def test_sections_of_one_action_get_labels_of_their_own(journal, tissue):
    both = open_sections(tissue)[:1] + open_sections(tissue)[:1]
    journal.do(OpenSections.of(both, journal.session.state))
    assert list(journal.session.state.sections) == [ONE, f"{ONE} (2)"]


def test_the_model_that_fits_is_chosen_where_none_is(journal, tissue, model_info):
    models, state = Models(model_info), journal.session.state
    assert OpenSections.of(open_sections(tissue), state).model is None
    journal.do(OpenSections.of(open_sections(tissue), state, models))
    assert journal.session.state.choices.model == "m"
    journal.do(Choose.of(model="mine"))  # which was deleted from the disk meanwhile
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state, models))
    assert journal.session.state.choices.model == "m"
    models.models["mine"] = model_info
    journal.do(Choose.of(model="mine"))
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state, models))
    assert journal.session.state.choices.model == "mine"


def test_a_line_says_where_tissue_lies_and_how_it_was_read(journal, tissue, tmp_path):
    tissue.obsm["pixels"] = tissue.obsm.pop("spatial") / 0.5
    path = tmp_path / "own.h5ad"
    write_tissue(tissue, path)
    reading = Reading(spatial_key="pixels", um_per_unit=0.5)
    opened = open_sections(read_tissue(path), path, [TWO], reading)
    action = OpenSections.of(opened, journal.session.state)
    line = OpenSections.model_validate_json(action.model_dump_json())
    (ref,) = line.tissue
    assert (ref.path, ref.section, ref.label) == (str(path), TWO, TWO)
    assert ref.digest == opened[0].section.digest
    assert ref.reading == {"spatial_key": "pixels", "um_per_unit": 0.5}
    assert line.opened == ()
    journal.do(line)  # without the tissue there is nothing to open
    assert not journal.session.state.sections


def test_shapes_strokes_and_runs_go_with_their_section(work):
    strokes = tuple(
        Stroke(section=s, mode="add", wkt=shapely.Point(0, 0).buffer(1).wkt) for s in (ONE, TWO)
    )
    work.do(SetShapes(role="unseen", shapes=(shape(ONE), shape(TWO))))
    work.do(SetStrokes(strokes=strokes))
    for id, labels in (("one", [ONE]), ("two", [TWO]), ("both", [ONE, TWO])):
        work.do(AddRun.of(entry_of(work.session.state, id, labels)))
        work.do(Keep(id=id))
    view = work.session.state.view
    work.do(CloseSections(labels=(TWO,)))
    state = work.session.state
    assert list(state.sections) == [ONE]
    assert state.active == ONE
    assert state.shapes == (shape(ONE),)
    assert state.strokes == strokes[:1]
    assert [e.id for e in state.runs] == list(state.kept) == ["one", "both"]
    assert set(state.shown["generation"]) <= {"one", "both"}
    assert "gest_stub_both" in state.opened.adata.obs
    assert is_closed(state.entry("both"), state)
    assert not is_gone(state.entry("both"), state)
    assert "'section_2' was closed" in why_stale(state.entry("both"), state)
    assert state.view == view
    work.do(CloseSections(labels=("no such",)))
    assert work.session.state is state
    work.do(CloseSections(labels=(ONE,)))
    assert work.session.state.runs == work.session.state.kept == ()
    assert work.session.state.active is None
    assert work.session.state.view == ViewState()


def test_the_section_in_use_stays_unless_it_is_closed(work):
    work.do(Activate(label=TWO))
    work.do(CloseSections(labels=(ONE,)))
    assert work.session.state.active == TWO


def test_another_section_can_be_used(work):
    work.do(Activate(label=TWO))
    assert work.session.state.opened.section.name == TWO
    work.do(Activate(label="no such"))
    assert work.session.state.active == TWO


def test_tissue_of_memory_has_no_path(journal, tissue):
    (ref, _) = OpenSections.of(open_sections(tissue), journal.session.state).tissue
    assert ref.path is None
    assert ref.reading == {}


@pytest.mark.parametrize("labels", [(ONE,), (ONE, TWO)])
def test_closing_leaves_x_as_it_was(work, tissue, labels):
    before = tissue.X.copy()
    work.do(AddRun.of(entry_of(work.session.state, "run-1")))
    work.do(Keep(id="run-1"))
    work.do(CloseSections(labels=labels))
    assert (before != tissue.X).nnz == 0
    assert np.isfinite(tissue.X.data).all()
