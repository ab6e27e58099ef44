"""Only the newest piece of work counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

import pytest

from napari_gest.canvas.jobs import Job
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.tasks.progress import Progress

pytestmark = pytest.mark.gui


@pytest.fixture
def latest(qtbot) -> Generator[LatestJob, None, None]:
    made = LatestJob()
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: not made.busy)


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def job(done) -> Callable[[str, threading.Event], Job]:
    """A job that steps until it may end."""

    def make(name: str, may_end: threading.Event) -> Job:
        def work() -> Generator[Progress, None, str]:
            while not may_end.wait(0.01):
                yield Progress("Working", 0, 1)
            return name

        return Job(work, on_done=done.append)

    return make


def test_a_newer_job_takes_the_place_of_the_one_at_work(latest, job, done, qtbot):
    never, now = threading.Event(), threading.Event()
    now.set()
    latest.start(job("first", never))
    latest.start(job("second", never))
    latest.start(job("third", now))
    qtbot.waitUntil(lambda: not latest.busy)
    assert done == ["third"]
    latest.start(job("fourth", now))
    qtbot.waitUntil(lambda: not latest.busy)
    assert done == ["third", "fourth"]


def test_what_is_cancelled_reports_nothing(latest, job, done, qtbot):
    never = threading.Event()
    latest.start(job("first", never))
    latest.start(job("second", never))
    latest.cancel()
    qtbot.waitUntil(lambda: not latest.busy)
    assert not done
