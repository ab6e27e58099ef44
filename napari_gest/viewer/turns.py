"""Work in the window's thread that can wait, a piece a turn of Qt's event loop, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QTimer

# Not zero: Qt would run that among what it has posted, before it looks at mouse and keyboard.
_BETWEEN_MS = 1

_waiting: deque[Callable[[], None]] = deque()


def later(step: Callable[[], None]) -> None:
    """Call ``step`` in a turn of its own, after those that wait; the window answers in between.

    A step must not run an event loop of its own, as a modal dialog does: all others wait for it.
    """
    _waiting.append(step)
    if len(_waiting) == 1:
        QTimer.singleShot(_BETWEEN_MS, _take)


def _take() -> None:
    try:
        _waiting[0]()
    finally:
        _waiting.popleft()
        if _waiting:  # in this turn Qt draws what the step has changed, in the next one it answers
            QTimer.singleShot(_BETWEEN_MS, lambda: QTimer.singleShot(_BETWEEN_MS, _take))
