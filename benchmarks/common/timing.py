"""Timing fair enough for a ratio: everything compared is measured in turns, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Figure:
    """One number and what it is held against.

    Attributes
    ----------
    what
        What was measured.
    value
        The figure, with its unit.
    bar
        What it should reach; empty where it is only shown.
    met
        Whether it does; None without a bar.
    numbers
        Everything behind it.
    """

    what: str
    value: str
    bar: str
    met: bool | None
    numbers: dict[str, float]


def interleaved(
    work: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 1
) -> dict[str, float]:
    """Return the median seconds of each piece of work.

    All pieces run once per round, so that a machine that slows down slows all of them; the
    order turns around every other round, so that none always follows the same one.

    Parameters
    ----------
    work
        Callables by name.
    repeats
        Rounds that count.
    warm_up
        Rounds before, which do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(warm_up + repeats):
        names = list(work) if round_ % 2 else list(work)[::-1]
        for name in names:
            started = time.perf_counter()
            work[name]()
            if round_ >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}
