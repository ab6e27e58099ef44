"""Checks and maps are saved, restored, replayed and written as a script, like any run."""

from __future__ import annotations

import numpy as np
import pytest
from checks import map_entry, square
from saved_sessions import Work, same

from napari_gest import keys
from napari_gest.app.actions import AddRun, Choose, SetShapes, ShowRuns
from napari_gest.app.journal import Journal
from napari_gest.app.runs.check import CheckRun
from napari_gest.app.runs.check_map import CheckMapRun
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.saved.replaying import replay
from napari_gest.app.saved.restoring import restore
from napari_gest.app.script import session_script
from napari_gest.app.session import Session
from napari_gest.errors import CheckpointError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture
def checked(small: Work) -> Work:
    """A session in which a check and a map were kept, before the cells that they are about."""
    small.journal.do(SetShapes(role="unseen", shapes=(square(small.state, 50),)))
    small.journal.do(Choose.of(check=False, believable=True))
    generation = GenerationRun.of(small.state, small.info)
    small.keep(small.add(CheckRun(generation)))
    small.keep(small.add(CheckMapRun.of(small.state, small.info)))
    small.keep(small.add(generation))
    return small


def restored(folder) -> Journal:
    journal = Journal(Session())
    finish(restore(folder)).put_into(journal)
    return journal


def test_they_come_back_and_are_done_again(checked, tmp_path, monkeypatch):
    log, state = checked.journal.log, checked.state
    log.flush()
    one = restored(log.folder).session.state
    assert one.kept == state.kept
    assert (one.choices.check, one.choices.believable) == (False, True)
    before, after = (s.entry("run-1").outcome for s in (state, one))
    assert after.check.table.equals(before.check.table)
    assert after.check.verdict == before.check.verdict
    assert (after.beyond is None) == (before.beyond is None)
    assert after.run.generation.shapes == before.run.generation.shapes
    before, after = (s.entry("run-2").outcome.report for s in (state, one))
    assert after.table.equals(before.table)
    np.testing.assert_array_equal(after.tile, before.tile)
    assert after.verdict == before.verdict
    assert one.view == state.view
    same(state.opened.adata, one.opened.adata)

    again = finish(replay(log.folder))
    same(state.opened.adata, again.opened.adata)

    monkeypatch.chdir(tmp_path)
    exec(compile(session_script(state), "script", "exec"), {})
    written = read_tissue(tmp_path / "session.h5ad")
    assert str(written.uns[keys.UNS]["check"]["verdict"]) == before_verdict(state)
    np.testing.assert_array_equal(
        written.obs[keys.CHECK_GAIN], state.opened.adata.obs[keys.CHECK_GAIN]
    )


def before_verdict(state) -> str:
    return state.entry("run-1").outcome.check.verdict


def test_a_check_that_was_not_kept_is_no_loss(small):
    small.journal.do(SetShapes(role="unseen", shapes=(square(small.state, 50),)))
    small.add(CheckRun(GenerationRun.of(small.state, small.info)))
    small.journal.log.flush()
    found = finish(restore(small.journal.log.folder))
    assert found.lost == ()
    journal = Journal(Session())
    found.put_into(journal)
    assert not journal.session.state.runs
    # Saved by hand, it is there.
    small.journal.log.save_results()
    small.journal.log.flush()
    assert restored(small.journal.log.folder).session.state.shown_run("check") is not None


@pytest.mark.parametrize("what", ["columns", "text", "tiles"])
def test_damaged_ones_are_refused(small, what):
    entry = map_entry(small.state, small.journal.session.next_id(), small.info)
    report = entry.outcome.report
    if what == "columns":
        report.table["other"] = 1.0
    elif what == "text":
        report.table["gain"] = "a"
    else:
        report.tile[0] = 2
    small.journal.do(AddRun.of(entry))
    small.journal.do(ShowRuns(kind="map", ids=(entry.id,)))
    small.journal.log.save_results()
    small.journal.log.flush()
    with pytest.raises(CheckpointError, match="damaged"):
        finish(restore(small.journal.log.folder))
