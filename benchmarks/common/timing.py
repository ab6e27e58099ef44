"""Timing for ratios: all compared work alternates in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Figure:
    """One figure and its bar.

    Attributes
    ----------
    what
        Name of the figure.
    value
        The figure, with its unit.
    bar
        Value that it should reach; empty if there is none.
    met
        Whether the bar is met; None without a bar.
    numbers
        The numbers behind the figure.
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

    All pieces run once per round, so that other load on the machine affects all of them. The order
    is reversed in every other round, so that no piece always follows the same one.

    Parameters
    ----------
    work
        Callables by name.
    repeats
        Rounds that are measured.
    warm_up
        Rounds before, which are not measured.
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
