"""Methods on labelled sections, and the scores and cost of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

KINDS = ("GeST", "control", "simple rival", "rival")

T = TypeVar("T")


@dataclass
class Scored:
    """One method on one section with one seed; subclasses add the scores.

    Attributes
    ----------
    dataset, section, method, kind, seed
        What was scored; kind is one of `KINDS`.
    wall_s, peak_mb
        Cost.
    fit_s
        Time of training the model, which is not in ``wall_s``.
    error
        Why there are no scores.
    """

    dataset: str
    section: str
    method: str
    kind: str
    seed: int
    wall_s: float = np.nan
    peak_mb: float = np.nan
    fit_s: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Method:
    """A way to cluster or to label.

    Attributes
    ----------
    name, kind
        As in `Scored`.
    run
        Function that runs it.
    together
        Whether it takes all sections of a set at once.
    fit_s
        Time of training its model.
    """

    name: str
    kind: str
    run: Callable[..., Any]
    together: bool = False
    fit_s: float = 0.0


def attempt(rows: Sequence[Scored], work: Callable[[], T]) -> T | None:
    """Return a method's result and write its cost, or its error, into its rows."""
    try:
        with Cost() as cost:
            made = work()
    except Exception as error:  # a method that fails stays in the table
        for row in rows:
            row.error = f"{type(error).__name__}: {error}"
        return None
    for row in rows:
        row.wall_s, row.peak_mb = cost.wall_s, cost.peak_mb
    return made


class Cost:
    """Wall time, and the largest resident memory of the process while the block runs."""

    def __enter__(self) -> Cost:
        self.peak_mb, self._done = _resident_mb(), threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        self.wall_s = time.perf_counter() - self._started
        self._done.set()
        self._watch.join()

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            self.peak_mb = max(self.peak_mb, _resident_mb())


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # only Linux says
        return float("nan")
    return pages * 4096 / 2**20
