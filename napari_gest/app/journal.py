"""The actions so far: done, undone and done again. The one place that changes a session."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.session import Session, session_of
from napari_gest.app.state import State
from napari_gest.errors import GestError

UNDO, REDO = "undo", "redo"
_STEPS = 1000  # that can be undone


class Log(Protocol):
    """Where the lines of a journal go, such as a file."""

    def write(self, line: dict[str, Any], action: Action | None) -> None:
        """Take a line in; ``action`` has what the line leaves out."""


@dataclass(frozen=True, eq=False)
class _Done:
    """An action that can be taken back, by its number in the journal."""

    action: Action
    revert: Revert
    number: int


@dataclass(frozen=True, eq=False)
class Step:
    """One line of a journal on disk.

    Attributes
    ----------
    action
        The action, or the word for undo or redo.
    number
        Of the action, or of the one that was undone or done again.
    """

    action: Action | str
    number: int


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
        self._n_lines = 0

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
        self._put(done.revert(self.session.state), {"do": UNDO, "of": done.number}, None)
        return True

    def redo(self) -> bool:
        """Do again what was taken back last; return False where there is nothing."""
        if not self._future or self._busy:
            return False
        done = self._future.pop()
        before = self.session.state
        again = done.action.revert(before)
        assert again is not None
        self._past.append(_Done(done.action, again, done.number))
        self._put(done.action.apply(before), {"do": REDO, "of": done.number}, None)
        return True

    def restore(self, steps: Iterable[Step]) -> None:
        """Apply what a journal on disk holds, in one go; listeners hear of the end.

        What is not possible any more is left out, and so is the undoing of it. What can be undone
        is as it was.
        """
        state = self.session.state
        for step in steps:
            self._n_lines = max(self._n_lines, step.number)
            if isinstance(step.action, Action):
                state = self._done_again(state, step.action, step.number)
            elif step.action == UNDO and self._past and self._past[-1].number == step.number:
                self._future.append(self._past.pop())
                state = self._future[-1].revert(state)
            elif step.action == REDO and self._future and self._future[-1].number == step.number:
                future = self._future[:-1]
                state = self._done_again(state, self._future[-1].action, step.number)
                self._future = future
        self._put(state, None, None)

    def _done_again(self, state: State, action: Action, number: int) -> State:
        try:
            after = action.apply(state)
        except (GestError, KeyError):
            return state
        revert = action.revert(state) if after != state else None
        if revert is not None:
            self._past.append(_Done(action, revert, number))
            self._future.clear()
        return after

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
        self._n_lines += 1
        revert = action.revert(before)
        if revert is not None:
            self._past.append(_Done(action, revert, self._n_lines))
            self._future.clear()
        self._put(after, action.model_dump(mode="json") | {"n": self._n_lines}, action)

    def _put(self, state: State, line: dict[str, Any] | None, action: Action | None) -> None:
        busy, self._busy = self._busy, True
        try:
            self.session.become(state)
        finally:
            self._busy = busy
        if self.log is not None and line is not None:
            self.log.write(line, action)
        self.changed.emit()


_JOURNALS: WeakKeyDictionary[Any, Journal] = WeakKeyDictionary()


def journal_of(viewer: Any) -> Journal:
    """Return the one journal of a viewer, with its session; it is forgotten with the viewer."""
    if viewer not in _JOURNALS:
        _JOURNALS[viewer] = Journal(session_of(viewer))
    return _JOURNALS[viewer]
