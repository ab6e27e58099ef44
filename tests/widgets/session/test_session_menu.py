"""Sessions in the dock: saved, opened, restored, closed, and written as code. No dialog opens."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget
from shapely import Point

from napari_gest import keys
from napari_gest.app.actions import (
    AddRun,
    Choose,
    Discard,
    Keep,
    SetShapes,
    SetStrokes,
    ShowDraw,
    UpdateRun,
)
from napari_gest.app.journal import Journal
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.saved import autosave
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.folder import ALIVE, JOURNAL, SESSION, read_lines
from napari_gest.app.saved.restoring import Restored, read_session
from napari_gest.app.session import Session
from napari_gest.canvas.event_loop import call_later
from napari_gest.errors import CheckpointError
from napari_gest.tasks.generation.generate import Draw
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.widgets.common import saving
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
    shape = _shape(opened_home.context.opened, "unseen")
    opened_home.context.do(SetShapes(role="unseen", shapes=(shape,)))
    return opened_home.session_menu


@pytest.fixture
def saved(menu, until):
    """Saves the session, and waits until that is done."""

    def save(path, overwrite=False):
        menu.save(path, overwrite)
        until(lambda: not menu.context.jobs.busy)

    return save


def _generated(menu) -> str:
    """Add a run of generation that has ended; return its id."""
    context = menu.context
    context.do(Choose.of(mode="pick"))
    run = GenerationRun.of(context.state, context.model)
    outcome = finish(run.work(context.registry.load))
    id_ = context.session.next_id()
    context.do(AddRun.of(RunEntry(id_, run.title, run, outcome)))
    return id_


def test_a_session_is_saved_and_opened_again(menu, saved, tmp_path, until, errors):
    id_ = _generated(menu)
    menu.context.do(Keep(id=id_))
    saved(tmp_path / "mine.gest")
    assert SESSION.is_one(tmp_path / "mine.gest")
    shapes = menu.context.state.shapes
    menu.context.do(SetShapes(role="unseen", shapes=()))
    menu.context.do(Discard(id=id_))
    first = menu.autosave
    menu.open(tmp_path / "mine.gest")
    until(lambda: menu.context.state.kept == (id_,) and not menu.context.jobs.busy)
    assert menu.undecided() == ""  # all of it is in the folder that was opened
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
    until(lambda: not menu.context.jobs.busy)
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
    assert "by_gene" in vars(opened)  # not left to the window's thread
    menu.autosave.flush()
    assert not other.folder.exists()
    menu._allow()
    assert not menu.restore_action.isEnabled()


def _shape(opened, role, at=0.0):
    x, y = opened.section.coords_um.mean(0) + at
    corners = ((x - 30, y - 30), (x - 30, y + 30), (x + 30, y + 30), (x + 30, y - 30))
    return Shape(role=role, section=opened.label, kind="polygon", corners=corners)


def _stroke(opened):
    return Stroke.of(opened.label, "add", Point(*opened.section.coords_um.mean(0)).buffer(20))


def _opening(menu):
    from napari_gest.app.actions import OpenSections
    from napari_gest.app.opened import open_sections
    from napari_gest.app.state import State
    from napari_gest.tissue.io import read_tissue

    path = menu.context.opened.path
    return OpenSections.of(open_sections(read_tissue(path), path), State())


def _drawing(menu):
    return SetShapes(role="unseen", shapes=menu.context.state.shapes)


def test_closing_asks_for_all_that_would_be_lost_and_only_a_user(menu, saved, tmp_path):
    asked, context = [], menu.context
    menu.ask = lambda parent, text: asked.append(text) or "cancel"
    assert menu.undecided() == "A region is drawn."
    assert not menu.may_close(menu, by_user=True)
    saved(tmp_path / "mine.gest")
    assert menu.undecided() == ""
    id_ = _generated(menu)
    assert "neither kept nor discarded" in menu.undecided()
    assert not menu.may_close(menu, by_user=True)
    assert asked[1:] == [menu.undecided()]
    two = tuple(_shape(context.opened, "named", at) for at in (0, 9))
    context.do(SetShapes(role="named", shapes=two))
    context.do(SetStrokes(strokes=(_stroke(context.opened),)))
    assert "3 regions are drawn." in menu.undecided()
    folder = menu.autosave.folder
    assert menu.may_close(menu, by_user=False)
    menu.close_session()
    assert len(asked) == 2
    assert SESSION.is_one(folder)  # for the next time, with what is undecided
    assert [e.id for e in finish(read_session(folder)).listed()] == [id_]


def test_a_run_at_work_is_asked_about(menu, until, tmp_path, errors):
    menu.context.do(SetShapes(role="unseen", shapes=()))
    assert menu.undecided() == ""
    go = threading.Event()

    def work():
        yield Progress("At work", 0, 1)
        assert go.wait(30)

    menu.context.job_bar.start(work, lambda _: None, owner=menu)
    assert menu.undecided() == "A run is at work."
    menu.ask = None
    for refused in (menu.open, menu.save):
        refused(tmp_path / "mine.gest")
        assert "A job is running" in str(errors.pop())
    go.set()
    until(lambda: not menu.context.jobs.busy)
    assert menu.undecided() == ""


def test_a_region_of_a_kept_run_is_in_its_file(menu, tmp_path, until):
    context = menu.context
    run = GenerationRun.of(context.state, context.model)
    assert run.shapes == context.state.shapes
    context.do(Keep(id=_generated(menu)))
    save_opened(context, menu, context.opened, tmp_path / "out.h5ad", overwrite=False)
    until(lambda: not context.jobs.busy)
    assert menu.undecided() == ""


@pytest.mark.parametrize("how", ["tissue", "session"])
def test_a_decided_session_is_closed_without_a_question(menu, saved, tmp_path, until, how):
    menu.ask = None
    context = menu.context
    context.do(Keep(id=_generated(menu)))
    assert "in no file yet" in menu.undecided()
    if how == "tissue":
        save_opened(context, menu, context.opened, tmp_path / "out.h5ad", overwrite=False)
        until(lambda: not context.jobs.busy)
    else:
        saved(tmp_path / "mine.gest")
    assert menu.undecided() == ""
    folder = menu.autosave.folder
    menu.autosave.flush()
    assert menu.may_close(menu, by_user=True)
    menu.close_session()
    assert not folder.exists()


def test_only_what_was_written_counts_as_saved(menu, tmp_path, until):
    context = menu.context
    id_ = _generated(menu)
    context.do(Keep(id=id_))
    save_opened(context, menu, context.opened, tmp_path / "out.h5ad", overwrite=False)
    until(lambda: not context.jobs.busy)
    assert menu.undecided() == ""
    made = context.state.entry(id_).outcome
    donor = np.zeros(len(made.result.meta_cell), np.int64)
    another = Draw(made.result.expression, made.result.meta_cell, donor)
    context.do(UpdateRun(id=id_, outcome=made.with_draws((another,))))
    context.do(ShowDraw(id=id_, draw=2))
    assert menu.undecided() == ""
    context.do(Keep(id=id_))
    assert "kept, but in no file yet" in menu.undecided()


def test_what_is_being_saved_is_not_undone(menu, tmp_path, until, errors, monkeypatch):
    context = menu.context
    id_ = _generated(menu)
    context.do(Keep(id=id_))
    reads, go = threading.Event(), threading.Event()

    def slowly(adata, path, *, overwrite):
        reads.set()
        assert go.wait(30)
        write_tissue(adata, path, overwrite=overwrite)

    monkeypatch.setattr(saving, "write_tissue", slowly)
    save_opened(context, menu, context.opened, tmp_path / "out.h5ad", overwrite=False)
    until(reads.is_set)
    save_opened(context, menu, context.opened, tmp_path / "two.h5ad", overwrite=False)
    assert "A job is running" in str(errors.pop())
    context.undo()
    assert "being saved" in str(errors.pop())
    assert context.state.kept == (id_,)
    go.set()
    until(lambda: not context.jobs.busy)
    assert keys.GENERATED in read_tissue(tmp_path / "out.h5ad").obs
    assert context.unsaved() == []
    context.undo()
    assert context.state.kept == ()
    assert errors == []


@pytest.mark.parametrize("answer", ["keep", "discard"])
def test_the_answer_decides_what_becomes_of_it(menu, answer):
    menu.ask = lambda parent, text: answer
    _generated(menu)
    folder = menu.autosave.folder
    assert menu.may_close(menu, by_user=True)
    assert folder.exists()  # until the window is closed for certain
    menu.close_session()
    assert folder.exists() == (answer == "keep")


def test_a_session_that_cannot_be_kept_is_not_closed(menu, monkeypatch, errors, until):
    menu.ask = lambda parent, text: "keep"

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(autosave, "write_result", full)
    _generated(menu)
    assert not menu.may_close(menu, by_user=True)
    assert "no space left" in str(errors[0])
    until(lambda: len(errors) == 2)  # told when it happens, too, whoever asked
    menu.context.do(Choose.of(seed=8))
    menu.ask = lambda parent, text: "discard"
    assert menu.may_close(menu, by_user=True)
    assert len(errors) == 2


def test_a_window_that_stays_open_keeps_its_session(menu, opened_home):
    menu.context.do(SetShapes(role="unseen", shapes=()))
    menu.autosave.flush()
    folder, window = menu.autosave.folder, opened_home._window
    assert window.isVisible()
    # The dock lets it close, and then napari asks whether the user is sure.
    assert not opened_home.eventFilter(window, QCloseEvent())
    menu.context.do(Choose.of(seed=8))
    menu.autosave.flush()
    done = [line["do"] for line in read_lines(folder)]
    assert done[0] == "open_sections"
    assert done[-1] == "choose"


def test_a_window_that_is_closed_ends_its_session(menu, opened_home, qtbot):
    menu.context.do(SetShapes(role="unseen", shapes=()))
    menu.autosave.flush()
    window = opened_home._window = QWidget()  # one that is not to be seen
    qtbot.addWidget(window)
    assert menu.autosave.folder.exists()
    assert not opened_home.eventFilter(window, QCloseEvent())
    assert not menu.autosave.folder.exists()
    assert not opened_home._attached


def test_opening_another_asks_for_undecided_work(menu, saved, tmp_path, until):
    saved(tmp_path / "mine.gest")
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


def _moved(folder, path, gone):
    """Let the tissue of a session have been elsewhere."""
    lines = (folder / JOURNAL).read_text()
    (folder / JOURNAL).write_text(lines.replace(json.dumps(str(path)), json.dumps(gone)))


def test_moved_tissue_asks_where_it_is(menu, saved, tmp_path, until, monkeypatch, errors):
    saved(tmp_path / "mine.gest")
    path = menu.context.opened.path
    _moved(tmp_path / "mine.gest", path, "/gone/tissue.h5ad")
    asked, questions, later = [], [], []
    _generated(menu)
    menu.ask = lambda parent, text: questions.append(text) or "keep"

    def ask(*args):
        asked.append(args[1])
        call_later(lambda: later.append(True))  # others are not held up by the dialog
        loop = QEventLoop()
        QTimer.singleShot(200, loop.quit)
        loop.exec()
        assert later
        return "", ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", ask)
    menu.open(tmp_path / "mine.gest")
    until(lambda: "not at '/gone/tissue.h5ad'" in menu.context.job_bar.message.text())
    assert asked == ["Where is tissue.h5ad now?"]
    menu.context.do(SetShapes(role="unseen", shapes=()))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))
    menu.open(tmp_path / "mine.gest")
    until(lambda: menu.context.state.shapes and not menu.context.jobs.busy)
    assert len(questions) == 2  # each was asked once
    menu.autosave.flush()
    assert finish(read_session(menu.autosave.folder)).shapes == menu.context.state.shapes
    assert errors == []


def test_a_moved_folder_is_asked_for_as_one(menu, saved, tmp_path, until, monkeypatch):
    context = menu.context
    write_tissue(read_tissue(context.opened.path), tmp_path / "there.zarr")
    saved(tmp_path / "mine.gest")
    _moved(tmp_path / "mine.gest", context.opened.path, "/gone/tissue.zarr")
    context.do(SetShapes(role="unseen", shapes=()))
    there = str(tmp_path / "there.zarr")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: there)
    menu.open(tmp_path / "mine.gest")
    until(lambda: context.state.shapes and not context.jobs.busy)
    assert str(context.opened.path) == there


def test_a_result_that_does_not_fit_is_left_out(menu, saved, tmp_path, until, errors):
    context, path = menu.context, menu.context.opened.path
    context.do(Keep(id=_generated(menu)))
    saved(tmp_path / "mine.gest")
    write_tissue(read_tissue(path)[40:].copy(), tmp_path / "changed.h5ad")
    _moved(tmp_path / "mine.gest", path, str(tmp_path / "changed.h5ad"))
    menu.open(tmp_path / "mine.gest")
    until(lambda: context.opened.path == tmp_path / "changed.h5ad" and not context.jobs.busy)
    assert errors == []
    assert "1 result does not fit the tissue any more" in context.job_bar.message.text()
    assert len(context.state.shapes) == 1


def test_a_session_that_fails_leaves_what_was_open_for_later(
    menu, saved, tmp_path, until, errors, monkeypatch
):
    saved(tmp_path / "mine.gest")
    before = menu.autosave.folder
    menu.ask = lambda parent, text: "discard"
    menu.context.do(SetShapes(role="unseen", shapes=(_shape(menu.context.opened, "unseen", 5),)))

    def fail(restored, journal):
        journal.start_anew()
        raise CheckpointError("It does not fit.", "Run again.")

    monkeypatch.setattr(Restored, "put_into", fail)
    menu.open(tmp_path / "mine.gest")
    until(lambda: bool(errors))
    assert SESSION.is_one(before)
    assert "brings back what was open" in menu.context.job_bar.message.text()
    assert menu.autosave.folder != before


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
    menu.ask = lambda parent, text: "discard"
    menu.open(tmp_path / "other")
    qtbot.waitUntil(lambda: bool(errors) and not menu.context.jobs.busy, timeout=60_000)
    assert "session" in str(errors[0])
    assert menu.context.state.sections  # what was open is open still


def test_paths_are_chosen_in_dialogs(menu, tmp_path, monkeypatch, until, errors):
    def save_as(name):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / name), ""))
        menu._choose_save()
        until(lambda: not menu.context.jobs.busy)

    save_as("a")
    first = (tmp_path / "a.gest").stat().st_ino
    save_as("a.v2")
    assert SESSION.is_one(tmp_path / "a.v2.gest")
    until(lambda: not menu.context.jobs.busy)
    menu.context.job_bar.say("")
    save_as("a")  # the dialog did not ask about a.gest
    assert "a.gest" in str(errors.pop())
    assert (tmp_path / "a.gest").stat().st_ino == first
    save_as("a.gest")  # it did
    assert (tmp_path / "a.gest").stat().st_ino != first
    assert errors == []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "a"), ""))
    menu.context.do(Keep(id=_generated(menu)))
    menu._choose_script()
    assert (tmp_path / "a").exists()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "")
    menu._choose_open()
    assert not menu.context.jobs.busy
