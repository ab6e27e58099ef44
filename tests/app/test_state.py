"""What a session holds, and what is read from it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import shapely
from app_stubs import entry_of, shape

from napari_gest.app.actions import AddRun, Choose, Discard, Keep, SetShapes, SetStrokes, ShowRuns
from napari_gest.app.regions import Stroke
from napari_gest.app.state import State

ONE, TWO = "section_1", "section_2"


@pytest.fixture
def busy(work):
    """Four runs of two kinds; the first generation is thrown away."""
    for id, kind in (("a", "generation"), ("b", "generation"), ("c", "niches"), ("d", "niches")):
        work.do(AddRun.of(entry_of(work.session.state, id, kind=kind)))
    work.do(Discard(id="a"))
    return work


def test_an_empty_one():
    state = State()
    assert state.opened is None
    assert state.mask_key is None
    assert state.region("unseen") == ()
    assert state.active_strokes() == ()
    assert list(state.listed()) == []
    assert state.shown_run("generation") is None
    assert state.changed_fields(State()) == frozenset()
    with pytest.raises(FrozenInstanceError):
        state.active = "x"
    with pytest.raises(TypeError):
        state.sections["x"] = None


def test_regions_and_strokes_are_those_of_the_section_in_use(work):
    shapes = (shape(ONE), shape(TWO), shape(ONE, at=5.0))
    strokes = tuple(
        Stroke(section=s, mode="add", wkt=shapely.Point(0, 0).buffer(1).wkt) for s in (ONE, TWO)
    )
    work.do(SetShapes(role="unseen", shapes=shapes))
    work.do(SetStrokes(strokes=strokes))
    state = replace(work.session.state, active=ONE)
    assert state.region("unseen") == (shapes[0], shapes[2])
    assert state.region("edited") == ()
    assert state.active_strokes() == strokes[:1]


def test_a_mask_counts_where_the_section_has_it(work, tissue):
    one = work.session.state.opened
    tissue.obs["some"] = False
    tissue.obs.iloc[one.section.rows[:5], tissue.obs.columns.get_loc("some")] = True
    work.do(Choose.of(mask_key="some"))
    assert work.session.state.mask_key == "some"
    assert replace(work.session.state, active=TWO).mask_key is None


def test_runs_are_listed_unless_they_were_discarded(busy):
    state = busy.session.state
    assert [e.id for e in state.runs] == ["a", "b", "c", "d"]
    assert [e.id for e in state.listed()] == ["b", "c", "d"]
    assert [e.id for e in state.listed("niches")] == ["c", "d"]
    assert state.entry("a").discarded
    with pytest.raises(KeyError):
        state.entry("x")


def test_the_runs_looked_at_are_those_on_the_list(busy):
    busy.do(ShowRuns(kind="niches", ids=("d", "c")))
    state = busy.session.state
    assert [e.id for e in state.shown_runs("niches")] == ["d", "c"]
    assert state.shown_run("niches").id == "d"
    assert state.with_shown("niches", ("x", "c")).shown_run("niches").id == "c"
    assert state.with_shown("generation", ("a",)).shown_run("generation") is None


def test_an_entry_is_replaced_in_its_place(busy):
    state = busy.session.state
    other = replace(state.entry("b"), name="mine")
    changed = state.with_entry(other)
    assert [e.id for e in changed.runs] == ["a", "b", "c", "d"]
    assert changed.entry("b") is other
    assert changed.changed_fields(state) == {"runs"}
    busy.do(Keep(id="b"))
    assert busy.session.state.changed_fields(state) == {"kept"}
