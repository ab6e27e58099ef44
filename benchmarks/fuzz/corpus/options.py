"""Options that gave NaN, or failed with a raw exception."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus.named import Named
from benchmarks.fuzz.kinds import options


def _call(call: Callable[..., None], usual: dict[str, Any], odd: dict[str, Any]) -> Any:
    def prepare(room: Room) -> Work:
        room.names += [part for name in odd for part in (name, *name.split("_"))]
        return lambda: call(room, {**usual, **odd})

    return prepare


_ODD: dict[str, tuple[Any, ...]] = {
    "seed": (2**32, 2**63, 2**64, -1, 0.5, math.nan, "text", None),
    "temperature": (0, -1, math.nan, math.inf, 1e308, 1e-308, "text", None),
    "top_k": (0, -1, 2**63, math.nan, "text"),
    "frontier": (0, -1, math.nan, "text", None),
    "passes": (0, 9, 2.5, math.nan, "text", None),
    "field": (-1, 2, math.nan, "text", None),
    "strength": (-1, math.nan, math.inf, 1e308, "text", None),
    "reach_um": (0, -1, math.nan, "text", None),
    "n_niches": (0, -1, 2**63, math.nan, 2.5, "text"),
    "smoothing": (-1, math.nan, math.inf, "text", None),
    "niche_cells": (0, -1, math.nan, 2.5, "text"),
    "n_permutations": (-1, 2.5, math.nan, "text", None),
    "um_per_unit": (0, -1, math.nan, math.inf, 1e308, "text", None),
    "n_cells": (0, -1, 2**63, math.nan, 2.5, "text", None),
    "new": (10**400, "text", math.nan, math.inf, 1e200),
    "log2fc": (1024, -math.inf, math.nan, math.inf, "text"),
}
# Large, but valid.
_FINE: set[tuple[str, object]] = set()


def _cases() -> list[Named]:
    """Return the values of each option for the first call that has it."""
    cases = []
    for option, odd in _ODD.items():
        call, usual = next(one for one in options.CALLS if option in one[1])
        for value in odd:
            expected = "accepted" if (option, value) in _FINE else "refused"
            cases.append(
                Named(f"{option}={value!r}", _call(call, usual, {option: value}), expected)
            )
    return cases


def _later(option: str, value: Any, expected: str) -> Named:
    """Return the value for the last call that has the option."""
    call, usual = next(one for one in reversed(options.CALLS) if option in one[1])
    return Named(f"{option}={value!r}, last call", _call(call, usual, {option: value}), expected)


CASES = [
    *_cases(),
    _later("smoothing", 1e308, "refused"),  # of labels
    _later("weight_decay", 1e38, "refused"),
    _later("expression_weight", 1e308, "refused"),
    *(
        _later(option, value, "refused")
        for option in ("n_steps", "batch_windows", "targets")
        for value in (2**31, 10**30)
    ),
]
