"""One job at a time in a background thread, reported no faster than the canvas can draw."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_gest.tasks.progress import Progress

_LOG = logging.getLogger(__name__)
_EVERY_S = 0.08
_BUSY_SHARE = 3.0  # after a report that took t to draw, let the canvas be for 3 t

Work = Generator[Progress, None, Any]


@dataclass(frozen=True)
class Tick:
    """What happened since the last report: the latest progress and every payload, in order."""

    progress: Progress
    payloads: list[Any]


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
    """

    work: Callable[[], Work]
    on_tick: Callable[[Tick], None] = lambda tick: None
    on_done: Callable[[Any], None] = lambda result: None
    on_error: Callable[[Exception], None] = lambda error: None
    on_end: Callable[[], None] = lambda: None
    cancelled: bool = False
    reported: bool = field(default=False, repr=False)
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
        # Python's garbage collector stops all threads, and to look through what napari and torch
        # keep takes it half a second. While a job is at work it looks at what is new.
        gc.freeze()
        worker = create_worker(_throttled, job)
        worker.yielded.connect(lambda tick: self._tick(job, tick))
        worker.finished.connect(lambda: self._end(job))
        job._worker = worker
        worker.start()
        self.changed.emit()
        return True

    def cancel(self) -> None:
        """Stop the running job at its next step; nothing of it is reported from now on."""
        if self.current is not None and not self.current.cancelled:
            self.current.cancelled = True
            self.current._worker.quit()
            self.changed.emit()

    def _tick(self, job: Job, tick: Tick | _Done | _Failed) -> None:
        if job.cancelled:
            return
        started = time.perf_counter()
        job.reported = not isinstance(tick, Tick)
        if isinstance(tick, _Failed):
            job.on_error(tick.error)
        elif isinstance(tick, _Done):
            job.on_done(tick.result)
        else:
            job.on_tick(tick)
        # The canvas redraws after this returns; a timer fires when it is through.
        QTimer.singleShot(0, lambda: _note_time(job, started))

    def _end(self, job: Job) -> None:
        gc.unfreeze()
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


def _note_time(job: Job, started: float) -> None:
    job.drawn_in_s = time.perf_counter() - started


def _throttled(job: Job) -> Generator[Any, None, None]:
    """Drive the work, pooling its steps; the result and errors are the last thing yielded.

    A yield of None is nothing to draw but lets a cancel take hold.
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
            now = time.monotonic()
            if now - last >= max(_EVERY_S, _BUSY_SHARE * job.drawn_in_s):
                last = now
                yield Tick(progress, payloads)
                payloads = []
            elif job.cancelled:
                work.close()
                return
        if payloads:
            yield Tick(progress, payloads)
    except Exception as error:
        _LOG.debug("job failed", exc_info=True)
        yield _Failed(error)
    else:
        yield _Done(result)
