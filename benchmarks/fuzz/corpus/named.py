"""A case of the corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fuzz.case import Room, Work


@dataclass(frozen=True)
class Named:
    """A case of the corpus.

    Attributes
    ----------
    name
        Unique name.
    prepare
        Builds its inputs and returns the work on them.
    expected
        ``accepted`` or ``refused``.
    """

    name: str
    prepare: Callable[[Room], Work]
    expected: str
