"""Sessions in the dock: saved, opened, restored, closed, and written as code. No dialog opens."""

from __future__ import annotations

import json

import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_gest.app.actions import AddRun, Choose, Discard, Keep, SetShapes
from napari_gest.app.journal import Journal
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.folder import ALIVE, JOURNAL, SESSION
from napari_gest.app.saved.restoring import read_session
from napari_gest.app.session import Session
from napari_gest.tasks.progress import finish
from napari_gest.widgets.common.saving import save_opened

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def no_dialogs(monkeypatch):
    """Fail where a dialog would wait for a user."""

    def refuse(*_args, **_options):
        raise AssertionError("a dialog was opened")

    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        monkeypatch.setattr(QFileDialog, name, refuse)
    monkeypatch.setattr(QMessageBox, "exec", refuse)


@pytest.fixture
def menu(opened_home):
    """The menu, with a region drawn on the open tissue."""
    opened = opened_home.context.opened
    x, y = opened.section.coords_um.mean(0)
    corners = ((x - 30, y - 30), (x - 30, y + 30), (x + 30, y + 30), (x + 30, y - 30))
    shape = Shape(role="unseen", section=opened.label, kind="polygon", corners=corners)
    opened_home.context.do(SetShapes(role="unseen", shapes=(shape,)))
    return opened_home.session_menu


def _generated(menu) -> str:
    """Add a run of generation that has ended; return its id."""
    context = menu.context
    context.do(Choose.of(mode="pick"))
    run = GenerationRun.of(context.state, context.model)
    outcome = finish(run.work(context.registry.load))
    id_ = context.session.next_id()
    context.do(AddRun.of(RunEntry(id_, run.title, run, outcome)))
    return id_


def test_a_session_is_saved_and_opened_again(menu, tmp_path, until, errors):
    id_ = _generated(menu)
    menu.context.do(Keep(id=id_))
    menu.save(tmp_path / "mine.gest")
    assert SESSION.is_one(tmp_path / "mine.gest")
    shapes = menu.context.state.shapes
    menu.context.do(SetShapes(role="unseen", shapes=()))
    menu.context.do(Discard(id=id_))
    first = menu.autosave
    menu.open(tmp_path / "mine.gest")
    until(lambda: menu.context.state.kept == (id_,) and not menu.context.jobs.busy)
    assert menu.context.state.shapes == shapes
    assert "open again" in menu.context.job_bar.message.text()
    assert menu.context.scene.generated_layer(id_) is not None
    assert menu.context.journal.log is menu.autosave is not first
    assert not first.folder.exists()
    menu.context.undo()
    assert menu.context.state.kept == ()
    menu.autosave.flush()
    assert finish(read_session(menu.autosave.folder)).kept == ()
    menu.save(tmp_path / "mine.gest")
    assert len(errors) == 1  # it is there already
    assert "mine.gest" in str(errors[0])


def test_what_was_cut_off_is_offered_and_restored(menu, home, sessions_folder, until):
    assert not home.session_menu.context.job_bar.message.text()
    journal = Journal(Session())
    journal.log = other = Autosave(journal.session, sessions_folder)
    for step in ("open_sections", "set_shapes"):  # as in the session that is open
        action = {"open_sections": _opening, "set_shapes": _drawing}[step](menu)
        journal.do(action)
    other.flush()
    about = json.loads((other.folder / ALIVE).read_text())
    (other.folder / ALIVE).write_text(json.dumps(about | {"pid": 2**22 + 9}))
    menu.offer_restore()
    assert "cut off" in menu.context.job_bar.message.text()
    menu._allow()
    assert menu.restore_action.isEnabled()
    menu.context.do(SetShapes(role="unseen", shapes=()))
    menu.restore_last()
    until(lambda: menu.context.state.shapes and not menu.context.jobs.busy)
    opened = menu.context.opened
    assert "_columns" in vars(opened)  # not left to the window's thread
    menu.autosave.flush()
    assert not other.folder.exists()
    menu._allow()
    assert not menu.restore_action.isEnabled()
    other._thread = None


def _opening(menu):
    from napari_gest.app.actions import OpenSections
    from napari_gest.app.opened import open_sections
    from napari_gest.app.state import State
    from napari_gest.tissue.io import read_tissue

    path = menu.context.opened.path
    return OpenSections.of(open_sections(read_tissue(path), path), State())


def _drawing(menu):
    return SetShapes(role="unseen", shapes=menu.context.state.shapes)


def test_closing_asks_only_for_undecided_work_and_only_a_user(menu):
    asked = []
    menu.ask = lambda parent, text: asked.append(text) or "cancel"
    assert menu.undecided() == ""
    id_ = _generated(menu)
    assert "neither kept nor discarded" in menu.undecided()
    assert not menu.may_close(menu, by_user=True)
    assert asked == [menu.undecided()]
    folder = menu.autosave.folder
    assert menu.may_close(menu, by_user=False)
    assert len(asked) == 1
    assert SESSION.is_one(folder)  # for the next time, with what is undecided
    assert [e.id for e in finish(read_session(folder)).listed()] == [id_]


@pytest.mark.parametrize("how", ["tissue", "session"])
def test_a_decided_session_is_closed_without_a_question(menu, tmp_path, until, how):
    menu.ask = None
    context = menu.context
    context.do(Keep(id=_generated(menu)))
    assert "in no file yet" in menu.undecided()
    if how == "tissue":
        save_opened(context, menu, context.opened, tmp_path / "out.h5ad", overwrite=False)
        until(lambda: not context.jobs.busy)
    else:
        menu.save(tmp_path / "mine.gest")
    assert menu.undecided() == ""
    folder = menu.autosave.folder
    menu.autosave.flush()
    assert menu.may_close(menu, by_user=True)
    assert not folder.exists()


@pytest.mark.parametrize("answer", ["keep", "discard"])
def test_the_answer_decides_what_becomes_of_it(menu, answer):
    menu.ask = lambda parent, text: answer
    _generated(menu)
    folder = menu.autosave.folder
    assert menu.may_close(menu, by_user=True)
    assert folder.exists() == (answer == "keep")


def test_opening_another_asks_for_undecided_work(menu, tmp_path, until):
    menu.save(tmp_path / "mine.gest")
    _generated(menu)
    menu.ask = lambda parent, text: "cancel"
    menu.open(tmp_path / "mine.gest")
    assert not menu.context.jobs.busy
    menu.ask = lambda parent, text: "keep"
    before = menu.autosave.folder
    menu.open(tmp_path / "mine.gest")
    until(lambda: not list(menu.context.state.listed()) and not menu.context.jobs.busy)
    assert SESSION.is_one(before)
    assert len(list(finish(read_session(before)).listed())) == 1


def test_moved_tissue_asks_where_it_is(menu, tmp_path, until, monkeypatch, errors):
    menu.save(tmp_path / "mine.gest")
    path = menu.context.opened.path
    lines = (tmp_path / "mine.gest" / JOURNAL).read_text()
    gone = lines.replace(json.dumps(str(path)), json.dumps("/gone/tissue.h5ad"))
    (tmp_path / "mine.gest" / JOURNAL).write_text(gone)
    asked = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: asked.append(a[1]) or ("", ""))
    menu.open(tmp_path / "mine.gest")
    until(lambda: asked and not menu.context.jobs.busy)
    assert asked == ["Where is tissue.h5ad now?"]
    assert "not at '/gone/tissue.h5ad'" in menu.context.job_bar.message.text()
    menu.context.do(SetShapes(role="unseen", shapes=()))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))
    menu.open(tmp_path / "mine.gest")
    until(lambda: menu.context.state.shapes and not menu.context.jobs.busy)
    assert errors == []


def test_a_session_is_written_as_code(menu, tmp_path, errors):
    menu.export_script(tmp_path / "s.py")
    assert "Nothing was kept" in str(errors.pop())
    menu.context.do(Keep(id=_generated(menu)))
    menu._allow()
    assert menu.script_action.isEnabled()
    menu.export_script(tmp_path / "s.py")
    assert "generate(" in (tmp_path / "s.py").read_text()
    menu.export_script(tmp_path / "s.py")
    assert "s.py" in str(errors[0])


def test_what_is_no_session_is_reported(menu, tmp_path, errors, qtbot):
    (tmp_path / "other").mkdir()
    menu.open(tmp_path / "other")
    qtbot.waitUntil(lambda: bool(errors) and not menu.context.jobs.busy, timeout=60_000)
    assert "session" in str(errors[0])
    assert menu.context.state.sections  # what was open is open still


def test_paths_are_chosen_in_dialogs(menu, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "a"), ""))
    menu._choose_save()
    assert SESSION.is_one(tmp_path / "a.gest")
    menu.context.do(Keep(id=_generated(menu)))
    menu._choose_script()
    assert (tmp_path / "a").exists()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "")
    menu._choose_open()
    assert not menu.context.jobs.busy
