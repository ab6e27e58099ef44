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
        Name of the stage for display ("Generating cells").
    done, total
        Finished units and all units.
    eta_s
        Seconds left, or None while unknown.
    payload
        Result of the step, if a caller may already show it.
    """

    stage: str
    done: int
    total: int
    eta_s: float | None = None
    payload: Any = None


@dataclass
class Clock:
    """Creates Progress with an ETA from the time that a stage has taken so far."""

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
    """Run a subtask as part of a task: yield ``tick`` of each of its steps."""
    while True:
        try:
            step = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        yield tick(step)
