"""The actions so far: done, undone and done again. The one place that changes a session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from psygnal import Signal

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.session import Session

UNDO, REDO = "undo", "redo"
_STEPS = 1000  # that can be undone


class Log(Protocol):
    """Where the lines of a journal go, such as a file."""

    def write(self, line: dict[str, Any], action: Action | None) -> None:
        """Take a line in; ``action`` has what the line leaves out."""


@dataclass(frozen=True, eq=False)
class _Done:
    action: Action
    revert: Revert


class Journal:
    """Applies actions to a session, and takes them back.

    ``changed`` is emitted when what can be undone or done again has changed.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.log: Log | None = None
        self._past: deque[_Done] = deque(maxlen=_STEPS)
        self._future: list[_Done] = []
        self._waiting: deque[Action] = deque()
        self._busy = False

    @property
    def undoes(self) -> str | None:
        """What undo would take back, in a word or two; None where there is nothing."""
        return self._past[-1].action.title if self._past else None

    @property
    def redoes(self) -> str | None:
        """What redo would do again; None where there is nothing."""
        return self._future[-1].action.title if self._future else None

    def do(self, action: Action) -> None:
        """Apply an action. One that comes from a listener to another waits until that is through.

        Raises
        ------
        InputError
            If it is not possible now; nothing has changed then.
        """
        if self._busy:
            self._waiting.append(action)
            return
        self._busy = True
        try:
            self._do(action)
            while self._waiting:
                self._do(self._waiting.popleft())
        finally:
            self._waiting.clear()
            self._busy = False

    def undo(self) -> bool:
        """Take back the last action that can be; return False where there is none."""
        if not self._past or self._busy:
            return False
        done = self._past.pop()
        self._future.append(done)
        self._put(done.revert(self.session.state), {"do": UNDO}, None)
        return True

    def redo(self) -> bool:
        """Do again what was taken back last; return False where there is nothing."""
        if not self._future or self._busy:
            return False
        done = self._future.pop()
        before = self.session.state
        again = done.action.revert(before)
        assert again is not None
        self._past.append(_Done(done.action, again))
        self._put(done.action.apply(before), {"do": REDO}, None)
        return True

    def clear(self) -> None:
        """Forget what could be undone; the state stays."""
        self._past.clear()
        self._future.clear()
        self.changed.emit()

    def _do(self, action: Action) -> None:
        before = self.session.state
        after = action.apply(before)
        if after == before:
            return
        revert = action.revert(before)
        if revert is not None:
            self._past.append(_Done(action, revert))
            self._future.clear()
        self._put(after, action.model_dump(mode="json"), action)

    def _put(self, state: Any, line: dict[str, Any], action: Action | None) -> None:
        busy, self._busy = self._busy, True
        try:
            self.session.become(state)
        finally:
            self._busy = busy
        if self.log is not None:
            self.log.write(line, action)
        self.changed.emit()
