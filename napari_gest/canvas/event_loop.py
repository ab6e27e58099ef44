"""Work in the window's thread that can wait, a piece a turn of Qt's event loop, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue

from qtpy.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal

# Not zero: Qt would run that among what it has posted, before it looks at mouse and keyboard.
_BETWEEN_MS = 1

_waiting: deque[Callable[[], None]] = deque()


def call_later(step: Callable[[], None]) -> None:
    """Call ``step`` in a turn of its own, after those that wait; the window answers in between.

    A step must not run an event loop of its own, as a modal dialog does: all others wait for it.
    Without Qt's application there is no window to answer, and no turn: it is called at once.
    """
    if QCoreApplication.instance() is None:
        step()
        return
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


class Mail(QObject):
    """Takes steps from other threads to the window's, where they get turns of their own."""

    _arrived = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._steps: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._arrived.connect(self._pass_on, Qt.ConnectionType.QueuedConnection)

    def post(self, step: Callable[[], None]) -> None:
        """Have the window's thread call ``later(step)``; from any thread."""
        self._steps.put(step)
        self._arrived.emit()

    def _pass_on(self) -> None:
        call_later(self._steps.get())


@cache
def mail() -> Mail:
    """Return the one of this process. It has to be made, and so first asked for, by the window's
    thread, and lives until the end: no thread can outlive what it reports to.
    """
    return Mail()
