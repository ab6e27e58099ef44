"""Jobs: what they report is drawn while they rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from napari_gest.canvas import gc_pause
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.jobs import Job, Jobs, Tick
from napari_gest.tasks.progress import Progress

pytestmark = pytest.mark.gui


@pytest.fixture
def jobs(qtbot) -> Generator[Jobs, None, None]:
    made = Jobs()
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: not made.busy)


def test_work_rests_while_what_it_reported_is_drawn(jobs, qtbot):
    events: list[str] = []

    def work() -> Generator[Progress, None, str]:
        yield Progress("Working", 0, 2, payload="cells")
        events.append("goes on")
        yield Progress("Working", 1, 2)
        return "result"

    def draw(tick: Tick) -> None:
        if tick.payloads:
            time.sleep(0.05)
            call_later(lambda: events.append("drawn"))  # a piece that has a turn of its own

    jobs.start(Job(work, on_tick=draw, on_done=events.append))
    qtbot.waitUntil(lambda: not jobs.busy)
    assert events == ["drawn", "goes on", "result"]


def test_progress_alone_is_not_waited_for(jobs, qtbot):
    went_on = threading.Event()
    seen: list[bool] = []

    def work() -> Generator[Progress, None, None]:
        yield Progress("Working", 0, 2)
        went_on.set()
        yield Progress("Working", 1, 2)

    jobs.start(Job(work, on_tick=lambda tick: seen.append(went_on.wait(5))))
    qtbot.waitUntil(lambda: not jobs.busy)
    assert seen[0]


def test_work_that_waits_for_a_drawing_can_be_cancelled(jobs, qtbot):
    made: list[int] = []

    def work() -> Generator[Progress, None, None]:
        for step in range(1000):
            made.append(step)
            yield Progress("Working", step, 1000, payload=step)

    ended: list[bool] = []
    jobs.start(Job(work, on_tick=lambda tick: jobs.cancel(), on_end=lambda: ended.append(True)))
    qtbot.waitUntil(lambda: not jobs.busy)
    assert ended == [True]
    assert len(made) < 1000


def test_a_job_that_waits_for_another_to_end_can_be_cancelled(jobs, qtbot):
    events: list[str] = []

    def work() -> Generator[Progress, None, str]:
        yield Progress("Working", 0, 1)
        return "result"

    waiting = Job(work, on_done=lambda _: events.append("never"), on_end=lambda: events.append("b"))

    def done(_: str) -> None:
        assert jobs.start(waiting)
        assert jobs.has(waiting)
        jobs.cancel()
        assert waiting.cancelled
        assert not jobs.has(waiting)

    jobs.start(Job(work, on_done=done, on_end=lambda: events.append("a")))
    qtbot.waitUntil(lambda: not jobs.busy)
    qtbot.wait(50)
    assert events == ["b", "a"]
    assert not jobs.busy


def test_every_payload_is_reported_in_order(jobs, qtbot):
    seen: list[int] = []

    def work() -> Generator[Progress, None, int]:
        for step in range(200):
            yield Progress("Working", step, 200, payload=step)
        return 200

    done: list[int] = []
    job = Job(work, on_tick=lambda tick: seen.extend(tick.payloads), on_done=done.append)
    jobs.start(job)
    qtbot.waitUntil(lambda: not jobs.busy)
    assert seen == list(range(200))
    assert done == [200]


def test_a_job_that_has_ended_gives_free_memory_back(jobs, qtbot, monkeypatch):
    threads: list[str] = []
    monkeypatch.setattr(
        gc_pause, "give_back", lambda: threads.append(threading.current_thread().name)
    )

    def work() -> Generator[Progress, None, None]:
        yield Progress("Working", 0, 1)

    jobs.start(Job(work))
    qtbot.waitUntil(lambda: bool(threads))
    assert threads == ["napari-gest job"]  # the window need not wait for it
