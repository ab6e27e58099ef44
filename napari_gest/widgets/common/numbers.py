"""Numbers as text."""

from __future__ import annotations

import math

_SMALL = 0.001  # from here on scientific notation reads better
_SMALLEST = 1e-300


def p_text(p: float) -> str:
    """Return a p value or FDR with three digits; a small one in scientific notation, never as 0."""
    if not math.isfinite(p):
        return "–"
    if p < _SMALLEST:
        return f"< {_SMALLEST:g}"
    return f"{p:.2e}" if p < _SMALL else f"{p:.3g}"
