"""Actions are done, undone and done again in one place."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from app_stubs import entry_of, heard_by, own_keys, shape

from napari_gest.app.actions import (
    Action,
    Activate,
    AddRun,
    ChangeView,
    Choose,
    CloseSections,
    Discard,
    Keep,
    RenameRun,
    SetEdits,
    SetShapes,
    SetStrokes,
)
from napari_gest.app.actions.lines import action_of
from napari_gest.app.journal import REDO, UNDO, Journal
from napari_gest.app.regions import Stroke
from napari_gest.app.state import EditChoices
from napari_gest.errors import InputError

ONE, TWO = "section_1", "section_2"
STROKE = Stroke(section=ONE, mode="add", wkt="POLYGON ((0 0, 0 9, 9 9, 0 0))")
UNDOABLE = {
    "shapes": SetShapes(role="unseen", shapes=(shape(ONE), shape(TWO))),
    "strokes": SetStrokes(strokes=(STROKE,)),
    "clearing": SetStrokes(strokes=(), clear_shapes=True),
    "edits": SetEdits(edits=EditChoices(strength=3.0)),
    "keep": Keep(id="run-1"),
    "discard": Discard(id="run-1"),
    "rename": RenameRun(id="run-1", name="mine"),
}


class Lines:
    """A log in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def write(self, line: dict[str, Any], action: Action | None) -> None:
        self.lines.append(line)


@pytest.fixture
def busy(work) -> Journal:
    """Something drawn, painted and run; nothing to undo."""
    state = work.session.state
    work.do(SetShapes(role="edited", shapes=(shape(ONE, "edited"),)))
    work.do(SetShapes(role="named", shapes=(shape(ONE, "named", name="a"),)))
    work.do(SetStrokes(strokes=(STROKE, STROKE)))
    work.do(AddRun.of(entry_of(state, "run-1")))
    work.do(AddRun.of(entry_of(state, "run-2")))
    work.do(Keep(id="run-2"))
    work.clear()
    return work


@pytest.mark.parametrize("name", UNDOABLE)
def test_what_can_be_undone_can_be_done_again(busy, name):
    action, session = UNDOABLE[name], busy.session
    before, keys = session.state, own_keys(session.state.opened.adata)
    busy.do(action)
    after, keys_after = session.state, own_keys(session.state.opened.adata)
    assert after != before
    assert busy.undoes == action.title
    for _ in range(2):
        assert busy.undo()
        undone = session.state
        for field in after.changed_fields(before) - {"active", "runs", "shown"}:
            assert getattr(undone, field) == getattr(before, field)
        assert [vars(e) for e in undone.runs] == [vars(e) for e in before.runs]
        assert own_keys(session.state.opened.adata) == keys
        assert busy.redoes == action.title
        assert busy.redo()
        assert session.state.changed_fields(after) <= {"runs"}
        assert [vars(e) for e in session.state.runs] == [vars(e) for e in after.runs]
        assert own_keys(session.state.opened.adata) == keys_after


def test_nothing_is_undone_of_opening_looking_and_choosing(work):
    for action in (Activate(label=TWO), ChangeView.of(gene="g"), Choose.of(seed=4)):
        work.do(action)
    assert work.undoes is None
    assert not work.undo()
    assert not work.redo()
    assert work.session.state.choices.seed == 4


def test_hundred_steps_and_more(work):
    steps = [SetShapes(role="unseen", shapes=(shape(ONE, at=float(n)),)) for n in range(300)]
    for step in steps:
        work.do(step)
    for step in steps[-2::-1]:
        assert work.undo()
        assert work.session.state.shapes == step.shapes
    assert work.undo()
    assert work.session.state.shapes == ()
    assert not work.undo()
    for step in steps:
        assert work.redo()
        assert work.session.state.shapes == step.shapes
    assert not work.redo()


def test_what_was_undone_is_gone_when_something_else_is_done(work):
    work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    work.undo()
    work.do(Choose.of(seed=3))  # which cannot be undone, and so leaves it
    assert work.redoes == "region"
    work.do(SetEdits(edits=EditChoices(remove=True)))
    assert work.redoes is None
    assert not work.redo()


def test_an_action_that_changes_nothing_is_none(work):
    heard = heard_by(work)
    work.do(SetShapes(role="unseen", shapes=()))
    work.do(Activate(label=ONE))
    work.do(Activate(label="no such section"))
    assert heard == []
    assert work.undoes is None


def test_a_listener_that_fails_loses_no_line(work):
    work.log, heard = Lines(), []
    work.changed.connect(lambda: heard.append(work.undoes))

    def fail(changed):
        raise RuntimeError("a panel fails")

    work.session.changed.connect(fail)
    with pytest.raises(Exception, match="a panel fails"):
        work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    with pytest.raises(Exception, match="a panel fails"):
        work.undo()
    assert [line["do"] for line in work.log.lines] == ["set_shapes", "undo"]
    assert heard == ["region", None]


def test_each_action_is_told_of_once_with_the_fields_it_changed(work):
    heard = heard_by(work)
    work.do(SetShapes(role="unseen", shapes=(shape(TWO),)))
    work.do(AddRun.of(entry_of(work.session.state, "run-1")))
    work.do(Keep(id="run-1"))
    work.undo()
    work.redo()
    kept = frozenset({"kept", "gest_stub_run-1"})
    assert heard == [
        frozenset({"shapes", "active"}), frozenset({"runs", "shown"}), kept, kept, kept,
    ]  # fmt: skip


def test_an_action_that_fails_changes_nothing(busy):
    session, heard = busy.session, heard_by(busy)
    busy.do(SetEdits(edits=EditChoices(strength=2)))
    busy.undo()
    heard.clear()
    before = session.state
    with pytest.raises(InputError, match="already"):
        busy.do(RenameRun(id="run-1", name=before.entry("run-2").name))
    assert session.state is before
    assert heard == []
    assert (busy.undoes, busy.redoes) == (None, "edits")


def test_a_result_that_cannot_be_written_leaves_nothing_to_undo(work):
    entry = entry_of(work.session.state, "run-1", fails_on=(ONE,))
    work.do(AddRun.of(entry))
    work.do(SetEdits(edits=EditChoices(strength=2)))
    work.undo()
    before = work.session.state
    with pytest.raises(InputError, match="disk is full"):
        work.do(Keep(id="run-1"))
    assert work.session.state is before
    assert own_keys(before.opened.adata) == set()
    assert (work.undoes, work.redoes) == (None, "edits")


def test_what_cannot_be_written_again_stays_to_be_done(work):
    entry = entry_of(work.session.state, "run-1")
    work.do(AddRun.of(entry))
    work.do(Keep(id="run-1"))
    work.undo()
    ((_, result),) = entry.outcome.results(work.session.state)
    object.__setattr__(result, "fails", True)
    with pytest.raises(InputError, match="disk is full"):
        work.redo()
    assert (work.undoes, work.redoes) == (None, "keeping")
    object.__setattr__(result, "fails", False)
    assert work.redo()
    assert work.session.state.kept == ("run-1",)


def test_an_action_from_a_listener_waits(work):
    heard: list[tuple[int, float]] = []

    def listen(changed: frozenset[str]) -> None:
        state = work.session.state
        if "shapes" in changed:
            work.do(Choose.of(seed=state.choices.seed + 1))
            work.do(SetEdits(edits=EditChoices(strength=2)))
            assert work.session.state is state  # nothing is done in the middle of another
            assert not work.undo()
        heard.append((state.choices.seed, state.edits.strength))

    work.session.changed.connect(listen)
    work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    assert heard == [(0, 1.0), (1, 1.0), (1, 2.0)]
    assert work.undoes == "edits"


@pytest.mark.parametrize("way", ["undo", "redo"])
def test_an_action_from_a_listener_to_undo_or_redo_is_done_right_after_it(work, way):
    work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    if way == "redo":
        work.undo()
    work.session.changed.connect(lambda c: "shapes" in c and work.do(Choose.of(seed=7)))
    getattr(work, way)()
    assert work.session.state.choices.seed == 7


def test_actions_that_wait_are_done_though_one_of_them_fails(work):
    def listen(changed: frozenset[str]) -> None:
        if "shapes" in changed:
            work.do(AddRun.of(entry_of(work.session.state, "run-1")))
            work.do(RenameRun(id="run-1", name=" "))
            work.do(Choose.of(seed=7))

    work.session.changed.connect(listen)
    with pytest.raises(InputError, match="needs a name"):
        work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    assert work.session.state.choices.seed == 7
    assert work.undoes == "region"
    work.do(Choose.of(seed=8))
    assert work.session.state.choices.seed == 8


def test_a_listener_that_fails_does_not_lock_the_journal(work):
    def fail(_changed: frozenset[str]) -> None:
        raise RuntimeError("a panel")

    work.session.changed.connect(fail)
    with pytest.raises(Exception, match="a panel"):
        work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    work.session.changed.disconnect(fail)
    assert work.undo()
    assert work.session.state.shapes == ()


def test_undo_and_redo_pass_over_what_is_gone(work):
    work.do(Choose.of(seed=1))
    work.do(SetEdits(edits=EditChoices(strength=2)))
    work.do(AddRun.of(entry_of(work.session.state, "run-1", [TWO])))
    work.do(Keep(id="run-1"))
    work.do(SetShapes(role="unseen", shapes=(shape(TWO),)))
    work.do(CloseSections(labels=(TWO,)))
    assert work.undo()  # the shape and the run went with the section
    assert work.session.state.edits == EditChoices()
    assert work.undoes is None
    work.do(AddRun.of(entry_of(work.session.state, "run-2", [ONE])))
    work.do(Keep(id="run-2"))
    work.do(SetEdits(edits=EditChoices(strength=3)))
    work.undo()
    work.undo()
    work.do(CloseSections(labels=(ONE,)))
    assert work.redo()
    assert work.session.state.edits.strength == 3
    assert not work.redo()


def test_every_line_is_logged_and_can_be_read_again(work):
    log = work.log = Lines()
    action = SetShapes(role="unseen", shapes=(shape(ONE),))
    work.do(action)
    work.undo()
    work.redo()
    work.do(ChangeView.of(hidden={"a"}))
    assert [line["do"] for line in log.lines] == ["set_shapes", UNDO, REDO, "change_view"]
    drawn, undone, redone, hidden = log.lines  # the section was opened before
    assert (drawn["n"], hidden["n"]) == (2, 3)
    assert undone["of"] == redone["of"] == 2
    for line in (drawn, hidden):
        del line["n"]
    assert action_of(log.lines[0]) == action
    assert action_of(log.lines[3]).changes == {"hidden": frozenset({"a"})}


def test_it_tells_when_what_can_be_undone_has_changed(work):
    told: list[tuple[str | None, str | None]] = []
    work.changed.connect(lambda: told.append((work.undoes, work.redoes)))
    work.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    work.undo()
    work.redo()
    work.clear()
    assert told == [("region", None), (None, "region"), ("region", None), (None, None)]


def test_steps_about_runs_that_are_gone_are_let_go_of(work):
    entry = entry_of(work.session.state, "run-1", [ONE])
    gone = weakref.ref(entry.outcome)
    work.do(AddRun.of(entry))
    work.do(SetEdits(edits=EditChoices(strength=2)))
    work.do(Keep(id="run-1"))
    work.do(RenameRun(id="run-1", name="mine"))
    work.undo()
    del entry
    work.do(CloseSections(labels=(ONE,)))
    gc.collect()
    assert gone() is None
    assert (work.undoes, work.redoes) == ("edits", None)
