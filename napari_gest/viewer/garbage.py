"""Python's garbage collector, kept from what is there already.

It stops all threads, and to look through what napari, torch and pandas keep takes it up to half a
second. While it is held it looks only at what is new.
"""

from __future__ import annotations

import gc

_held = 0


def hold() -> None:
    """Leave out what exists now, until as many `release` as `hold`."""
    global _held
    if _held == 0:
        gc.freeze()
    _held += 1


def release() -> None:
    """Look at everything again, once nobody holds it."""
    global _held
    _held -= 1
    if _held == 0:
        gc.unfreeze()
