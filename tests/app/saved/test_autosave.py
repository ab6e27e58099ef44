"""Everything is on disk as it happens; what was cut off is offered again."""

from __future__ import annotations

import gc
import json
import os
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
from saved_sessions import square
from shapely import Point

from napari_gest.app.actions import (
    AddRun,
    Choose,
    Keep,
    OpenSections,
    RenameRun,
    SetShapes,
    SetStrokes,
    UpdateRun,
)
from napari_gest.app.journal import Journal
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.training import TrainingOutcome, TrainingRun
from napari_gest.app.saved import autosave
from napari_gest.app.saved.autosave import Autosave, interrupted
from napari_gest.app.saved.folder import (
    ABOUT,
    ALIVE,
    JOURNAL,
    RESULTS,
    SESSION,
    has_result,
    read_lines,
)
from napari_gest.app.saved.restoring import read_session, restore
from napari_gest.app.session import Session
from napari_gest.errors import CheckpointError, GestError
from napari_gest.tasks.progress import finish


@pytest.fixture
def drawn(small):
    """The session with a region; returns it with its log."""
    small.journal.do(SetShapes(role="unseen", shapes=(square(small.state.opened, 30),)))
    return small, small.journal.log


def _die(log: Autosave) -> None:
    """Let a session look as if its program had been killed."""
    log.flush()
    about = json.loads((log.folder / ALIVE).read_text())
    (log.folder / ALIVE).write_text(json.dumps(about | {"pid": 2**22 + 7}))


def test_every_action_is_a_line(drawn):
    work, log = drawn
    work.journal.do(Choose.of(seed=4))
    work.journal.undo()
    work.journal.redo()
    log.flush()
    lines = read_lines(log.folder)
    assert [line["do"] for line in lines] == [
        "open_sections", "set_shapes", "choose", "undo", "redo",
    ]  # fmt: skip
    assert [line.get("n", line.get("of")) for line in lines] == [1, 2, 3, 2, 2]


def test_a_result_is_there_before_the_line_that_keeps_it(drawn, monkeypatch):
    work, log = drawn
    id_ = work.generate(work.state.opened, "pick", 30)
    log.flush()
    assert not has_result(log.folder, id_)
    seen = []
    append = log._writer.append
    monkeypatch.setattr(
        log._writer, "append", lambda line: (seen.append(has_result(log.folder, id_)), append(line))
    )
    work.keep(id_)
    log.flush()
    assert seen == [True]


def test_what_is_kept_is_written_again_when_it_changes(drawn):
    work, log = drawn
    id_ = work.keep(work.generate(work.state.opened, "pick", 30))
    log.flush()
    path = log.folder / RESULTS / id_ / "arrays.npz"
    first = path.stat().st_mtime_ns
    work.journal.do(RenameRun(id=id_, name="mine"))  # a line says that
    work.journal.undo()
    log.flush()
    assert path.stat().st_mtime_ns == first
    entry = work.state.entry(id_)
    other = entry.run.outcome(replace(entry.outcome.result))
    work.journal.do(UpdateRun(id=id_, outcome=other))
    log.flush()
    assert path.stat().st_mtime_ns > first


def test_keeping_that_is_done_again_has_its_result(drawn):
    work, log = drawn
    id_ = work.keep(work.generate(work.state.opened, "pick", 30))
    work.journal.undo()
    work.journal.redo()
    log.flush()
    assert finish(read_session(log.folder)).kept == (id_,)


def test_a_session_that_runs_is_not_offered_and_one_that_was_cut_off_is(drawn, tmp_path):
    _, log = drawn
    log.flush()
    assert interrupted(tmp_path / "sessions") == []
    _die(log)
    assert interrupted(tmp_path / "sessions") == [log.folder]
    (log.folder / ALIVE).unlink()
    assert interrupted(tmp_path / "sessions") == [log.folder]
    (log.folder / ALIVE).write_text(json.dumps({"pid": os.getppid(), "started": 5.0}))
    assert interrupted(tmp_path / "sessions") == [log.folder]  # another program has its number


def test_nothing_worth_it_is_removed_and_what_is_foreign_is_left(small, tmp_path):
    log = small.journal.log
    _die(log)
    (tmp_path / "sessions" / "mine").mkdir()
    (tmp_path / "sessions" / "file").touch()
    assert interrupted(tmp_path / "sessions") == []
    assert not log.folder.exists()
    assert (tmp_path / "sessions" / "mine").exists()
    assert interrupted(tmp_path / "nowhere") == []


def test_what_cannot_be_read_is_never_removed(small, tmp_path):
    log = small.journal.log
    _die(log)
    about, journal = log.folder / ABOUT, log.folder / JOURNAL
    for path, text in (
        (about, json.dumps({"napari_gest_session": 99, "version": "9"})),
        (journal, journal.read_text() + '{"do": "dance"}\n'),
        (journal, "damaged\n"),
        (journal, journal.read_text() + '{"do": "set_sha'),
    ):
        before = path.read_text()
        path.write_text(text)
        assert interrupted(tmp_path / "sessions") == []
        assert log.folder.exists()
        path.write_text(before)
    journal.unlink()
    assert interrupted(tmp_path / "sessions") == []
    assert log.folder.exists()


def test_a_journal_grows_with_what_is_drawn_and_no_faster(small, tmp_path):
    log, opened = small.journal.log, small.state.opened
    areas = [Point(1 / 3 + i, 2 / 7).buffer(20, quad_segs=16) for i in range(60)]
    strokes = [Stroke.of(opened.label, "add", area) for area in areas]
    log.flush()
    sizes = [(log.folder / JOURNAL).stat().st_size]
    for half in (30, 60):
        for n in range(half - 30, half):
            small.journal.do(SetStrokes(strokes=tuple(strokes[: n + 1])))
        log.flush()
        sizes.append((log.folder / JOURNAL).stat().st_size)
    first, second = np.diff(sizes)
    assert second < 1.1 * first
    assert first < 1.2 * sum(len(stroke.wkt) for stroke in strokes[:30])
    assert finish(read_session(log.folder)).strokes == tuple(strokes)
    journal = Journal(Session())
    journal.log = again = Autosave(journal.session, tmp_path / "again")
    finish(restore(log.folder)).put_into(journal)
    again.adopt(log.folder)
    journal.do(SetStrokes(strokes=tuple(strokes[:40])))
    again.close(keep=True)
    assert (again.folder / JOURNAL).stat().st_size < sizes[-1] + 200
    assert finish(read_session(again.folder)).strokes == tuple(strokes[:40])


def test_no_size_of_a_journal_is_too_much(small, monkeypatch):
    from napari_gest.tissue import text

    monkeypatch.setattr(text, "_MOST_BYTES", 200)
    log = small.journal.log
    small.journal.do(SetShapes(role="unseen", shapes=(square(small.state.opened, 30),)))
    log.flush()
    assert (log.folder / JOURNAL).stat().st_size > 200
    assert len(finish(read_session(log.folder)).shapes) == 1


def test_the_session_of_another_computer_is_left_alone(drawn, tmp_path):
    _, log = drawn
    log.flush()
    about = json.loads((log.folder / ALIVE).read_text())
    (log.folder / ALIVE).write_text(json.dumps(about | {"host": "node-7", "pid": 2**22 + 7}))
    assert interrupted(tmp_path / "sessions") == []
    for name in (ALIVE, JOURNAL):
        os.utime(log.folder / name, (1e9, 1e9))
    assert interrupted(tmp_path / "sessions") == [log.folder]  # nothing has happened for long
    journal = Journal(Session())
    journal.log = own = Autosave(journal.session, tmp_path / "sessions")
    finish(restore(log.folder)).put_into(journal)
    own.adopt(log.folder)
    own.close(keep=True)
    assert log.folder.exists()
    assert interrupted(tmp_path / "sessions") == [own.folder]


def test_nothing_of_another_computer_is_removed(small, tmp_path):
    log = small.journal.log
    log.flush()
    about = json.loads((log.folder / ALIVE).read_text())
    (log.folder / ALIVE).write_text(json.dumps(about | {"host": "node-7"}))
    for name in (ALIVE, JOURNAL):
        os.utime(log.folder / name, (1e9, 1e9))
    assert interrupted(tmp_path / "sessions") == []
    assert log.folder.exists()


def test_tissue_that_was_found_elsewhere_stays_found(drawn, tmp_path):
    work, log = drawn
    log.flush()
    (tmp_path / "t.h5ad").rename(tmp_path / "moved.h5ad")
    moved = {str(tmp_path / "t.h5ad"): tmp_path / "moved.h5ad"}
    journal = Journal(Session())
    journal.log = own = Autosave(journal.session, tmp_path / "sessions")
    finish(restore(log.folder, moved)).put_into(journal)
    own.adopt(log.folder, moved)
    own.close(keep=True)
    assert finish(read_session(own.folder)).shapes == work.state.shapes


def test_the_thread_ends_with_its_session(tmp_path):
    journal = Journal(Session())
    journal.log = Autosave(journal.session, tmp_path / "sessions")
    journal.do(Choose.of(seed=4))
    journal.log.flush()
    folder, thread = journal.log.folder, journal.log._writer._thread
    session = weakref.ref(journal.session)
    del journal
    gc.collect()
    assert session() is None
    thread.join(10)
    assert not thread.is_alive()
    assert not (folder / ALIVE).exists()
    assert read_lines(folder)


def test_a_copy_is_written_step_by_step_and_can_be_cancelled(drawn, tmp_path):
    work, log = drawn
    work.generate(work.state.opened, "pick", 30)
    ticks = []
    finish(log.copying(tmp_path / "mine.gest"), ticks.append)
    assert ticks[0].total == 2
    held = threading.Event()
    log._writer.put(held.wait)
    copying = log.copying(tmp_path / "other.gest")
    next(copying)
    copying.close()
    held.set()
    log.flush()
    assert not (tmp_path / "other.gest").exists()
    assert log.failed is None
    log.copying(tmp_path / "third.gest").close()  # before it has begun
    log.flush()
    assert not (tmp_path / "third.gest").exists()


def test_undecided_work_that_is_to_be_kept_is_offered(small, tmp_path):
    log = small.journal.log
    mask = np.arange(small.state.opened.section.n_obs) < 9
    snapshot = small.journal.session.snapshot(small.state.opened.label)
    run = small.add(GenerationRun(snapshot, mask, small.info, "pick"))
    log.save_results()
    log.close(keep=True)
    assert interrupted(tmp_path / "sessions") == [log.folder]
    assert [e.id for e in finish(read_session(log.folder)).listed()] == [run]


def test_closing_leaves_nothing(drawn):
    _, log = drawn
    log.close()
    assert not log.folder.exists()


def test_a_restored_session_goes_on_in_one_folder(drawn, tmp_path):
    work, log = drawn
    id_ = work.keep(work.generate(work.state.opened, "pick", 30))
    _die(log)
    with (log.folder / JOURNAL).open("ab") as file:
        file.write(b'{"do": "cho')  # torn
    journal = Journal(Session())
    journal.log = second = Autosave(journal.session, tmp_path / "sessions")
    finish(restore(log.folder)).put_into(journal)
    second.adopt(log.folder)
    journal.do(SetShapes(role="unseen", shapes=()))
    second.close(keep=True)
    assert not log.folder.exists()
    assert interrupted(tmp_path / "sessions") == [second.folder]
    state = finish(read_session(second.folder))
    assert state.kept == (id_,)
    assert state.shapes == ()
    numbers = [line["n"] for line in read_lines(second.folder) if "n" in line]
    assert numbers == sorted(set(numbers))


def test_a_copy_holds_undecided_results_too(drawn, tmp_path):
    work, log = drawn
    id_ = work.generate(work.state.opened, "pick", 30)
    finish(log.copying(tmp_path / "mine.gest"))
    assert SESSION.is_one(tmp_path / "mine.gest")
    restored = finish(restore(tmp_path / "mine.gest"))
    assert restored.lost == ()
    with pytest.raises(GestError, match=r"mine\.gest"):
        finish(log.copying(tmp_path / "mine.gest"))
    finish(log.copying(tmp_path / "mine.gest", overwrite=True))
    assert [e.id for e in finish(read_session(tmp_path / "mine.gest")).listed()] == [id_]


def test_a_full_disk_ends_saving_and_nothing_else(drawn, tmp_path, monkeypatch, caplog):
    work, log = drawn
    log.flush()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    told = []
    log.tell_failed(told.append)
    assert log.failed is None
    monkeypatch.setattr(autosave, "write_result", full)
    id_ = work.keep(work.generate(work.state.opened, "pick", 30))
    log.flush()
    assert work.state.kept == (id_,)
    assert [str(error) for error in told] == [str(log.failed)]
    assert "not saved any more: no space left" in caplog.text
    with pytest.raises(CheckpointError, match="no space left"):
        finish(log.copying(tmp_path / "mine.gest"))
    assert not (tmp_path / "mine.gest").exists()


def test_a_training_has_its_model_elsewhere(drawn, tmp_path):
    work, log = drawn
    opened = work.state.opened
    snapshots = (work.journal.session.snapshot(opened.label),)
    run = TrainingRun(snapshots, (opened.section,), tmp_path / "model")
    outcome = TrainingOutcome(tmp_path / "model")
    work.journal.do(AddRun.of(RunEntry("run-1", "a model", run, outcome)))
    work.journal.do(Keep(id="run-1"))
    finish(log.copying(tmp_path / "mine.gest"))
    assert finish(restore(tmp_path / "mine.gest")).lost == ()


def test_tissue_in_memory_cannot_come_back(tissue, small, tmp_path):
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, tmp_path / "sessions")
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state))
    other = type(small)(journal, small.model, small.info)
    id_ = other.keep(other.generate(other.state.opened, "pick", 30))
    log.close(keep=True)
    restored = finish(restore(log.folder))
    assert restored.lost == (id_,)
    again = Journal(Session())
    restored.put_into(again)
    assert not again.session.state.sections


def test_a_kept_result_brings_those_it_refers_to(drawn, info):
    from napari_gest.app.runs.niche_outcome import NicheOutcome
    from napari_gest.app.runs.niches import NicheRun

    work, log = drawn
    id_ = work.generate(work.state.opened, "pick", 30)  # looked at, and not kept
    run = NicheRun.of(work.state, info, (work.state.opened,))
    assert len(run.generated) == 1
    niches = work.keep(work.add(run, lambda found: NicheOutcome.of(found, 3)))
    log.flush()
    state = finish(read_session(log.folder))
    assert state.kept == (niches,)
    assert [e.id for e in state.listed()] == [id_, niches]
    (made,) = state.entry(niches).outcome.search.generated
    assert made.generated is state.entry(id_).outcome.result
