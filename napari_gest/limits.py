"""Checks of options; errors give the name, the value and the allowed values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from napari_gest.errors import InputError

# Characters of a value in a message; options may come from files.
_SHOWN = 60
# Beyond this, numbers do not fit the types that compute with them.
_MOST = 2**53


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    whole: bool = False,
) -> None:
    """Raise InputError unless an option is a finite number within its limits.

    Parameters
    ----------
    name
        Name of the option.
    value
        The given value.
    low, high
        The limits, which are allowed values.
    above
        Whether ``low`` itself is excluded.
    whole
        Whether only whole numbers are allowed.
    """
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    # An integer too large for a float is compared as an integer, so that nothing overflows.
    usable = number and abs(value) <= (_MOST if whole else 1e300) and math.isfinite(value)
    if usable and (value > low if above else value >= low) and value <= high:
        return
    raise InputError(f"{name} is {shown(value)}.", f"Give {_wanted(low, high, above, whole)}.")


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raise InputError unless an option is one of the ``known`` names."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"There is no {name} '{shown(value)}'.", f"Choose {' or '.join(known)}.")


def shown(value: Any) -> str:
    """Return a value as messages show it, in one short line."""
    try:
        text = " ".join(str(value).split())
    except ValueError:  # more digits than Python prints
        return "a number of very many digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _wanted(low: float, high: float, above: bool, whole: bool) -> str:
    what = "a whole number" if whole else "a number"
    if math.isinf(low) and math.isinf(high):
        return what if whole else "a finite number"
    if above:
        return f"{what} above {low:g}" + ("" if math.isinf(high) else f", {high:g} at most")
    if math.isinf(high):
        return f"{what}, {low:g} at least"
    return f"{what} up to {high:g}" if math.isinf(low) else f"{what} from {low:g} to {high:g}"
