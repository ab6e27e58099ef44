"""Closes viewers that are still open when Python ends.

At the end PyQt deletes what is left, one object after the other. Deleting a window also deletes
what is in it, which may be next in turn, and then the program crashes. A script or a notebook
that ends with a viewer open would crash, or not, by the addresses of its objects. So viewers
that have a dock are closed first.
"""

from __future__ import annotations

import atexit
import contextlib
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from napari import Viewer

_VIEWERS: WeakSet[Viewer] = WeakSet()


def close_at_exit(viewer: Viewer) -> None:
    """Close a viewer when Python ends, if it is still there and open."""
    _VIEWERS.add(viewer)
    atexit.unregister(_close)
    atexit.register(_close)  # what is registered last is called first, so before PyQt's own


def _close() -> None:
    for viewer in list(_VIEWERS):
        with contextlib.suppress(RuntimeError):  # its window was closed before
            viewer.close()
