"""One job at a time in a background thread, reported no faster than the canvas can draw."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any

from psygnal import Signal

from napari_gest.canvas import gc_pause
from napari_gest.canvas.event_loop import Mail, call_later, mail
from napari_gest.errors import GestError
from napari_gest.tasks.progress import Progress

_LOG = logging.getLogger(__name__)
# Between reports: three times as long as the last took to draw, but within these bounds.
_BUSY_SHARE, _SHORTEST_S, _LONGEST_S = 3.0, 0.08, 0.25
_LONGEST_REST_S = 2.0  # that the work waits for what it reported to be drawn
_LOOK_S = 0.05  # how often it looks meanwhile whether it is to end

Work = Generator[Progress, None, Any]


@dataclass(frozen=True)
class Tick:
    """What happened since the last report: the latest progress and every payload, in order."""

    progress: Progress
    payloads: list[Any]


def _nothing(*_: Any) -> Any:
    """Stand in for what is called no more."""


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(eq=False)
class Job:
    """A piece of work and what to do with it, all called in the GUI thread.

    Attributes
    ----------
    work
        Makes the generator; called in the worker thread, so it may load and check.
    on_tick, on_done, on_error
        Called with a Tick, the result, or the exception; never after ``cancel``.
    on_end
        Called once, whatever happened, when the thread is free again; not after ``Jobs.close``.
    cancelled, reported
        Whether it was stopped, and whether its result or error was reported.
    drawn, drawn_in_s
        Whether the window has drawn the latest report, and how long that took.
    """

    work: Callable[[], Work]
    on_tick: Callable[[Tick], None] = lambda tick: None
    on_done: Callable[[Any], None] = lambda result: None
    on_error: Callable[[Exception], None] = lambda error: None
    on_end: Callable[[], None] = lambda: None
    cancelled: bool = False
    reported: bool = field(default=False, repr=False)
    drawn: threading.Event = field(default_factory=_set, repr=False)
    drawn_in_s: float = field(default=0.0, repr=False)

    def stop(self) -> None:
        """End the work at its next step and report nothing more."""
        self.cancelled = True
        self.drawn.set()

    def let_go(self) -> None:
        """Drop what is called: it holds the tissue, and panels keep the job after its end."""
        self.work = self.on_tick = self.on_done = self.on_error = self.on_end = _nothing


class Jobs:
    """Runs one job at a time. ``changed`` is emitted when one starts, is cancelled or ends.

    Each has a thread of Python's own. napari's workers report to whichever viewer is the current
    one, even after it was closed, and napari keeps all of them, with the tissue they worked on.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.current: Job | None = None
        self._next: Job | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        return self.current is not None

    @property
    def may_start(self) -> bool:
        """Whether a job can start, or be the next: the one at work has reported its result."""
        at_work = self.current is not None and not self.current.reported
        return not (self._closed or at_work or self._next is not None)

    def start(self, job: Job) -> bool:
        """Start a job, or do so when one that has just reported its result lets go of the thread.

        Return False, and do nothing, if another job is at work.
        """
        if not self.may_start:
            return False
        if self.current is not None:
            self._next = job
            return True
        self.current = job
        gc_pause.hold()
        # Not a daemon: Python waits for it at the end of the process, before Qt and torch go.
        thread = Thread(target=_run, args=(self, job, job.work, mail()), name="napari-gest job")
        call_later(thread.start)  # once the window shows that it runs
        self.changed.emit()
        return True

    def has(self, job: Job | None) -> bool:
        """Tell whether a job is at work or is the next to be."""
        return job is not None and job in (self.current, self._next)

    def cancel(self) -> None:
        """Stop the running job at its next step; nothing of it is reported from now on.

        Where it has reported its result already, the job that waits for it is dropped.
        """
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.cancelled = True
            waiting.on_end()
            waiting.let_go()
        elif self.current is not None:
            self.current.stop()
        self.changed.emit()

    def close(self) -> None:
        """Stop for good: the work ends at its next step, and nothing of any job is called."""
        self._closed = True
        for job in (self.current, self._next):
            if job is not None:
                job.stop()
                job.let_go()
        self._next = None

    def _tick(self, job: Job, tick: Tick | _Done | _Failed) -> None:
        if job.cancelled:
            return
        started = time.perf_counter()
        job.reported = not isinstance(tick, Tick)
        try:
            if isinstance(tick, _Failed):
                job.on_error(tick.error)
            elif isinstance(tick, _Done):
                try:
                    job.on_done(tick.result)
                except GestError as error:  # what it has made is of no use
                    job.on_error(error)
            else:
                job.on_tick(tick)
        finally:  # the window draws after this returns, and is through when this gets its turn
            call_later(partial(_note_drawn, job, started))

    def _end(self, job: Job) -> None:
        gc_pause.release()
        self.current = None
        job.on_end()
        job.let_go()
        following, self._next = self._next, None
        if following is not None:
            self.start(following)
        self.changed.emit()


@dataclass(frozen=True)
class _Done:
    result: Any


@dataclass(frozen=True)
class _Failed:
    error: Exception


def _note_drawn(job: Job, started: float) -> None:
    job.drawn_in_s = time.perf_counter() - started
    job.drawn.set()


def _rest(job: Job) -> None:
    """Wait, in the worker's thread, until the latest report is drawn or the job is to end."""
    end = time.monotonic() + _LONGEST_REST_S
    while not job.drawn.wait(_LOOK_S):
        if _is_over(job) or time.monotonic() > end:
            return


def _is_over(job: Job) -> bool:
    """Tell whether a job was stopped, or the process is about to end."""
    return job.cancelled or not threading.main_thread().is_alive()


def _run(jobs: Jobs, job: Job, work: Callable[[], Work], window: Mail) -> None:
    """Do the work of a job, in a thread of its own, and tell the window about it."""
    try:
        for report in _throttled(job, work):
            window.post(partial(jobs._tick, job, report))
    finally:
        # Its end comes behind what the last report has put off.
        window.post(partial(call_later, partial(jobs._end, job)))
        gc_pause.give_back()


def _throttled(job: Job, work: Callable[[], Work]) -> Generator[Tick | _Done | _Failed, None, None]:
    """Drive the work, pooling its steps; the result and errors are the last thing yielded.

    While payloads are drawn the work rests: with Python's one lock between them both would take
    longer, and the window would answer late.
    """
    payloads: list[Any] = []
    last = 0.0
    if _is_over(job):
        return
    try:
        steps = work()
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                result = stop.value
                break
            if progress.payload is not None:
                payloads.append(progress.payload)
            wait = min(max(_BUSY_SHARE * job.drawn_in_s, _SHORTEST_S), _LONGEST_S)
            if job.drawn.is_set() and time.monotonic() - last >= wait:
                job.drawn.clear()
                yield Tick(progress, payloads)
                if payloads:
                    _rest(job)
                payloads, last = [], time.monotonic()
            if _is_over(job):
                steps.close()
                return
        if payloads:
            yield Tick(progress, payloads)
    except Exception as error:
        _LOG.debug("job failed", exc_info=True)
        yield _Failed(error)
    else:
        yield _Done(result)
