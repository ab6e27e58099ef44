"""The actions so far: done, undone and done again. The one place that changes a session."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from psygnal import Signal

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.session import Session
from napari_gest.errors import InputError

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
        self._waiting.append(action)
        if not self._busy:
            self._work_off()

    def undo(self) -> bool:
        """Take back the last action that can be; return False where there is none.

        What would change nothing, since its section was closed, is passed over.

        Raises
        ------
        InputError
            If a result cannot be written back; nothing has changed then.
        """
        if self._busy:
            return False
        state = self.session.state
        while self._past:
            done = self._past[-1]
            after = done.revert(state)
            changed = None if after == state else self.session.become(after)
            self._past.pop()
            if changed is not None:
                self._future.append(done)
                self._tell(changed, {"do": UNDO}, None)
                self._work_off()
                return True
        self.changed.emit()
        return False

    def redo(self) -> bool:
        """Do again what was taken back last; return False where there is nothing.

        What is no longer possible, since its section was closed, is passed over.

        Raises
        ------
        InputError
            If a result cannot be written again; nothing has changed then.
        """
        if self._busy:
            return False
        state = self.session.state
        while self._future:
            action = self._future[-1].action
            try:
                after, revert = action.apply(state), action.revert(state)
            except (InputError, KeyError):  # of a run that is gone
                after, revert = state, None
            changed = None if after == state else self.session.become(after)
            self._future.pop()
            if changed is not None and revert is not None:
                self._past.append(_Done(action, revert))
                self._tell(changed, {"do": REDO}, None)
                self._work_off()
                return True
        self.changed.emit()
        return False

    def clear(self) -> None:
        """Forget what could be undone; the state stays."""
        self._past.clear()
        self._future.clear()
        self.changed.emit()

    def _work_off(self) -> None:
        """Apply the actions that wait. The first error is raised when all are through."""
        failed: InputError | None = None
        self._busy = True
        try:
            while self._waiting:
                try:
                    self._do(self._waiting.popleft())
                except InputError as error:
                    failed = failed or error
        finally:
            self._waiting.clear()
            self._busy = False
        if failed is not None:
            raise failed

    def _do(self, action: Action) -> None:
        before = self.session.state
        after = action.apply(before)
        if after == before:
            return
        revert = action.revert(before)
        changed = self.session.become(after)
        if revert is not None:
            self._past.append(_Done(action, revert))
            self._future.clear()
        self._tell(changed, action.model_dump(mode="json"), action)

    def _tell(self, changed: frozenset[str], line: dict[str, Any], action: Action | None) -> None:
        """Tell everyone what an action has changed; what they do meanwhile waits."""
        busy, self._busy = self._busy, True
        try:
            self.session.changed.emit(changed)
            if self.log is not None:
                self.log.write(line, action)
            self.changed.emit()
        finally:
            self._busy = busy
