"""The one bar of all jobs."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from mouse import type_key
from qtpy.QtCore import Qt

from napari_gest.canvas.jobs import Job
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.job_bar import CANCELLED, STOPPED, JobBar

pytestmark = pytest.mark.gui


def _work() -> Generator[Progress, None, str]:
    yield Progress("Working", 0, 1)
    return "result"


def _forever() -> Generator[Progress, None, None]:
    while True:
        yield Progress("Working", 2, 5)


def test_a_job_that_waits_for_another_to_end_can_be_cancelled(home, until):
    jobs, made = home.context.jobs, []
    bar = JobBar(home.context)

    def then(_: str) -> None:
        assert bar.start(_work, made.append, owner=home.run_panel)
        bar.refresh()
        assert bar.running()
        assert bar.running(home.run_panel)
        assert not bar.running(home.niches_panel)
        assert bar.cancel.isEnabled()
        bar.stop()
        assert not bar.running()

    jobs.start(Job(_work, on_done=then))
    until(lambda: not jobs.busy)
    assert made == []
    assert bar.message.text() == CANCELLED == "Cancelled. Nothing was changed."


def test_what_is_reported_cannot_be_cancelled(home, until):
    bar, enabled = JobBar(home.context), []

    def done(_: str) -> None:
        bar.refresh()
        enabled.append(bar.cancel.isEnabled())

    bar.start(_work, done, owner=home.run_panel)
    until(lambda: not home.context.jobs.busy)
    assert enabled == [False]


def test_the_dock_has_one_which_shows_whatever_runs(home, qtbot, until):
    bar, panel = home.job_bar, home.run_panel
    assert home.findChildren(JobBar) == [bar]
    assert home.context.job_bar is bar
    assert bar.start(_forever, print, owner=panel)
    until(lambda: "2 of 5" in bar.message.text())
    assert bar.isVisible()
    assert bar.bar.value() == bar.bar.maximum() * 2 // 5
    assert panel.running
    assert not bar.start(_work, print, owner=home.niches_panel)  # one at a time
    assert bar.running(panel)
    assert bar.bar.value() > 0  # and the one at work is shown as before
    assert "2 of 5" in bar.message.text()
    type_key(qtbot, bar.cancel, Qt.Key.Key_Escape)
    assert bar.message.text() == "Cancelling…"
    until(lambda: not home.context.jobs.busy)
    assert bar.message.text() == CANCELLED
    assert not bar.bar.isVisible()
    assert not bar.cancel.isVisible()


def test_what_is_cancelled_may_have_something_to_say(home, until):
    bar = home.job_bar
    bar.start(_forever, print, owner=home.run_panel, on_cancelled=lambda: "Half is there.")
    bar.stop()
    until(lambda: not home.context.jobs.busy)
    assert bar.message.text() == "Half is there."


def test_an_error_is_reported_over_the_panel_that_asked(home, until):
    told: list[tuple[object, object]] = []
    home.context.report = lambda parent, error: told.append((parent, error))
    failed: list[Exception] = []

    def fail() -> Generator[Progress, None, None]:
        yield Progress("Working", 0, 1)
        raise InputError("It is broken.", "Mend it.")

    home.job_bar.start(fail, print, owner=home.run_panel, on_error=failed.append)
    until(lambda: not home.context.jobs.busy)
    ((parent, error),) = told
    assert parent is home.run_panel
    assert failed == [error]
    assert home.job_bar.message.text() == STOPPED
