"""Memory that was freed, handed back to the system between two parts of a long work."""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """Hand freed memory back where the C library keeps it for itself; return whether it did.

    glibc keeps blocks of some megabytes, of which work on tissue frees many, and they count as
    the program's. Other libraries have no such function.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no library None
        return False
    return bool(trim(0))
