"""The bar of a panel's jobs."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from napari_gest.canvas.jobs import Job
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.job_bar import JobBar

pytestmark = pytest.mark.gui


def _work() -> Generator[Progress, None, str]:
    yield Progress("Working", 0, 1)
    return "result"


def test_a_job_that_waits_for_another_to_end_can_be_cancelled(home, until):
    jobs, made = home.context.jobs, []
    bar = JobBar(home.context)

    def then(_: str) -> None:
        assert bar.start(_work, made.append)
        bar.refresh()
        assert bar.running
        assert bar.cancel.isEnabled()
        bar.stop()
        assert not bar.running

    jobs.start(Job(_work, on_done=then))
    until(lambda: not jobs.busy)
    assert made == []
    assert bar.message.text() == "Cancelled. Nothing was changed."


def test_what_is_reported_cannot_be_cancelled(home, until):
    bar, enabled = JobBar(home.context), []

    def done(_: str) -> None:
        bar.refresh()
        enabled.append(bar.cancel.isEnabled())

    bar.start(_work, done)
    until(lambda: not home.context.jobs.busy)
    assert enabled == [False]
