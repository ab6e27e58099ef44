"""Python's garbage collector, kept from what is there already; and memory given back.

The collector stops all threads, and to look through what napari, torch and pandas keep takes it
up to half a second. While it is held it looks only at what is new.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from functools import cache

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


def collect() -> None:
    """Look through everything once, held or not; the window waits up to half a second.

    napari's layers are freed in no other way. Where runs follow each other without a pause, the
    collector is held most of the time and would not reach them.
    """
    gc.unfreeze()
    gc.collect()
    if _held:
        gc.freeze()


def give_back() -> bool:
    """Return free memory to the system; False where no way to ask for it is known.

    glibc keeps what rounds of work have freed, up to 300 MB (decision 26). It takes 1 ms, or 25 ms
    of processor time where it keeps that much.
    """
    trim = _malloc_trim()
    if trim is None:
        return False
    trim(0)
    return True


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
