"""Progress of long work: a task is a generator that yields one of these per step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True)
class Progress:
    """One tick of a running task.

    Attributes
    ----------
    stage
        What is being done, for people ("Generating cells").
    done, total
        Units finished and units in all.
    eta_s
        Seconds left, or None while unknown.
    payload
        What the step produced, if a caller may show it already.
    """

    stage: str
    done: int
    total: int
    eta_s: float | None = None
    payload: Any = None


@dataclass
class Clock:
    """Makes Progress with an ETA from the time a stage has taken so far."""

    stage: str
    total: int
    started: float = field(default_factory=time.monotonic)

    def tick(self, done: int, payload: Any = None) -> Progress:
        elapsed = time.monotonic() - self.started
        eta = elapsed / done * (self.total - done) if done else None
        return Progress(self.stage, done, self.total, eta, payload)


def finish(work: Generator[S, None, R], on_progress: Callable[[S], None] | None = None) -> R:
    """Run a task to its end and return its result, handing each tick to ``on_progress``."""
    while True:
        try:
            tick = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        if on_progress is not None:
            on_progress(tick)


def relay(
    work: Generator[S, None, R], tick: Callable[[S], Progress]
) -> Generator[Progress, None, R]:
    """Do a piece of a task as a part of it: yield what ``tick`` makes of each of its steps."""
    while True:
        try:
            step = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        yield tick(step)
