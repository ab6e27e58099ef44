"""Memory that was freed, and is kept for later all the same: as little of it as can be."""

from __future__ import annotations

import ctypes
from typing import Any

_M_ARENA_MAX = -8  # of glibc's malloc.h


def give_back() -> bool:
    """Hand freed memory back where the C library keeps it for itself; return whether it did.

    glibc keeps blocks of some megabytes, of which work on tissue frees many, and they count as
    the program's. Other libraries have no such function.
    """
    trim = _of_glibc("malloc_trim")
    return trim is not None and bool(trim(0))


def one_heap() -> bool:
    """Have all threads take their memory from one heap from now on; return whether they do.

    glibc gives each thread a heap of its own, which keeps what was freed in it. Threads that read
    tissue thus hold 30 to 90 MB. A window has more threads that work at once, and needs them.
    """
    option = _of_glibc("mallopt")
    return option is not None and bool(option(_M_ARENA_MAX, 1))


def _of_glibc(name: str) -> Any | None:
    """Return a function of glibc, or None where there is another C library."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # Windows has no library None
        return None
