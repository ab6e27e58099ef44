"""Unusual values: numbers, names, and objects of other types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

FLOATS: tuple[float, ...] = (
    math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 0.5, 1e-308, 5e-324, 1e16, 1e38, 1e39, 1e200,
    1e308, -1e308,
)  # fmt: skip
INTEGERS: tuple[int, ...] = (
    -1, 0, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64,
    -(2**31), -(2**63), 10**30, 10**400,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, "", "text", "1", "nan", b"x", [], (), {}, [1], 1j,
    np.float32("nan"), np.float64(0.5), np.int64(3), np.bool_(True), np.array([1.0, 2.0]),
    np.array([]), np.datetime64("NaT"),
)  # fmt: skip
OPTIONS: tuple[Any, ...] = (
    None, True, False, "", "text", "1", "nan", b"x", 1j,
    np.float32("nan"), np.float64(0.5), np.int64(3), np.bool_(True),
)  # fmt: skip
NAMES: tuple[str, ...] = (
    "", " ", "a" * 300, "b" * 100_000, "two\nlines", "tab\tbed", "nul\0byte", "<b>bold</b>",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "=1+1", "+1", "-1", "@SUM(A1)",
    "=HYPERLINK(\"http://x\")", "é", "e\u0301", "𝒳", "\u202egnp.exe", ".", "..", "../../up", "/",
    "/etc/passwd", "C:\\x", "CON", "a;b", 'quo"te', "quo'te", "nan", "NaN", "None", "null", "True",
    "🧬" * 80, "\ufeffbom", "%s%n", "{0}", "$(id)", "x" * 255, "\x1b[31mred", "0", "1.0",
)  # fmt: skip


def number(rng: np.random.Generator) -> Any:
    """Return an unusual float or integer."""
    pool = FLOATS if rng.random() < 0.5 else INTEGERS
    return pool[int(rng.integers(len(pool)))]


def anything(rng: np.random.Generator) -> Any:
    """Return a number, a name or another object."""
    draw = rng.random()
    if draw < 0.6:
        return number(rng)
    pool: tuple[Any, ...] = OTHERS if draw < 0.9 else NAMES
    return pool[int(rng.integers(len(pool)))]


def option(rng: np.random.Generator) -> Any:
    """Return a value that a caller may pass by mistake for a number or a name."""
    draw = rng.random()
    if draw < 0.6:
        return number(rng)
    pool: tuple[Any, ...] = OPTIONS if draw < 0.9 else NAMES
    return pool[int(rng.integers(len(pool)))]


def name(rng: np.random.Generator) -> str:
    """Return an unusual name."""
    return NAMES[int(rng.integers(len(NAMES)))]
