"""One job at a time in a background thread, reported no faster than the canvas can draw."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal

from napari_gest.tasks.progress import Progress
from napari_gest.viewer import garbage
from napari_gest.viewer.turns import later

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
        Called once, whatever happened, when the thread is free again.
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
    _worker: Any = field(default=None, repr=False)


class Jobs:
    """Runs one job at a time. ``changed`` is emitted when one starts, is cancelled or ends."""

    changed = Signal()

    def __init__(self) -> None:
        self.current: Job | None = None
        self._next: Job | None = None

    @property
    def busy(self) -> bool:
        return self.current is not None

    def start(self, job: Job) -> bool:
        """Start a job, or do so when one that has just reported its result lets go of the thread.

        Return False, and do nothing, if another job is at work.
        """
        if self.current is not None:
            if self.current.reported and self._next is None:
                self._next = job
                return True
            return False
        self.current = job
        garbage.hold()
        worker = create_worker(_throttled, job)
        # In turns of their own: what they change is drawn before the next is looked at.
        worker.yielded.connect(lambda tick: later(partial(self._tick, job, tick)))
        # Its end comes behind what the last report has put off.
        worker.finished.connect(lambda: later(partial(later, partial(self._end, job))))
        job._worker = worker
        worker.start()
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
        elif self.current is not None and not self.current.cancelled:
            self.current.cancelled = True
            self.current._worker.quit()
            self.current.drawn.set()
        self.changed.emit()

    def _tick(self, job: Job, tick: Tick | _Done | _Failed) -> None:
        if job.cancelled:
            return
        started = time.perf_counter()
        job.reported = not isinstance(tick, Tick)
        try:
            if isinstance(tick, _Failed):
                job.on_error(tick.error)
            elif isinstance(tick, _Done):
                job.on_done(tick.result)
            else:
                job.on_tick(tick)
        finally:  # the window draws after this returns, and is through when this gets its turn
            later(partial(_note_drawn, job, started))

    def _end(self, job: Job) -> None:
        garbage.release()
        self.current = None
        job._worker = None
        job.on_end()
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
        if job._worker.abort_requested or time.monotonic() > end:
            return


def _throttled(job: Job) -> Generator[Any, None, None]:
    """Drive the work, pooling its steps; the result and errors are the last thing yielded.

    While payloads are drawn the work rests: with Python's one lock between them both would take
    longer, and the window would answer late.
    """
    payloads: list[Any] = []
    last = 0.0
    try:
        work = job.work()
        while True:
            try:
                progress = next(work)
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
            elif job.cancelled or job._worker.abort_requested:
                work.close()
                return
        if payloads:
            yield Tick(progress, payloads)
    except Exception as error:
        _LOG.debug("job failed", exc_info=True)
        yield _Failed(error)
    else:
        yield _Done(result)
