"""The actions so far: done, undone and done again. The one place that changes a session."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
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
                self._tell(changed, {"do": UNDO, "of": done.number}, None)
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
            done = self._future[-1]
            try:
                after, revert = done.action.apply(state), done.action.revert(state)
            except (GestError, KeyError):  # of a run that is gone
                after, revert = state, None
            changed = None if after == state else self.session.become(after)
            self._future.pop()
            if changed is not None and revert is not None:
                self._past.append(_Done(done.action, revert, done.number))
                self._tell(changed, {"do": REDO, "of": done.number}, None)
                self._work_off()
                return True
        self.changed.emit()
        return False

    def restore(self, steps: Iterable[Step]) -> None:
        """Apply what a journal on disk holds, in one go; listeners hear of the end.

        What is not possible any more is left out, and so is the undoing of it. What can be undone
        is as it was.

        Raises
        ------
        InputError
            If a result cannot be written; the state has not changed then.
        """
        state = self.session.state
        for step in steps:
            self._n_lines = max(self._n_lines, step.number)
            if isinstance(step.action, Action):
                state = self._done_again(state, step.action, step.number)
            elif step.action == UNDO and _is_next(self._past, step.number, state, _reverts_nothing):
                self._future.append(self._past.pop())
                state = self._future[-1].revert(state)
            elif step.action == REDO and _is_next(self._future, step.number, state, _does_nothing):
                future = self._future[:-1]
                state = self._done_again(state, self._future[-1].action, step.number)
                self._future = future
        changed = self.session.become(state)
        self._forget_gone()
        self._tell(changed, None, None)

    def _forget_gone(self) -> None:
        """Let go of steps about runs that went with their sections: they hold results."""
        there = {entry.id for entry in self.session.state.runs}
        self._past = deque((one for one in self._past if _is_about(one, there)), self._past.maxlen)
        self._future = [one for one in self._future if _is_about(one, there)]

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

    def start_anew(self) -> None:
        """Go back to a session in which nothing was done, before a saved one is restored."""
        self._past.clear()
        self._future.clear()
        self._n_lines = 0
        self._tell(self.session.become(State()), None, None)

    def clear(self) -> None:
        """Forget what could be undone; the state stays."""
        self._past.clear()
        self._future.clear()
        self.changed.emit()

    def _work_off(self) -> None:
        """Apply the actions that wait. The first error is raised when all are through."""
        failed: GestError | None = None
        self._busy = True
        try:
            while self._waiting:
                try:
                    self._do(self._waiting.popleft())
                except GestError as error:
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
        self._n_lines += 1
        revert = action.revert(before)
        changed = self.session.become(after)
        if revert is not None:
            self._past.append(_Done(action, revert, self._n_lines))
            self._future.clear()
        if "sections" in changed:
            self._forget_gone()
        self._tell(changed, action.model_dump(mode="json") | {"n": self._n_lines}, action)

    def _tell(
        self, changed: frozenset[str], line: dict[str, Any] | None, action: Action | None
    ) -> None:
        """Tell everyone what an action has changed; what they do meanwhile waits.

        The log comes first: a panel that fails changes nothing about what was done.
        """
        busy, self._busy = self._busy, True
        try:
            if self.log is not None and line is not None:
                self.log.write(line, action)
            try:
                self.session.changed.emit(changed)
            finally:
                self.changed.emit()
        finally:
            self._busy = busy


def _is_next(
    done: deque[_Done] | list[_Done],
    number: int,
    state: State,
    changes_nothing: Callable[[_Done, State], bool],
) -> bool:
    """Tell whether an action is the next to be undone or done again.

    Undo and redo pass over what would change nothing, and no line speaks of it: it is taken out.
    """
    if number not in {one.number for one in done}:
        return False
    while done[-1].number != number and changes_nothing(done[-1], state):
        done.pop()
    return done[-1].number == number


def _reverts_nothing(done: _Done, state: State) -> bool:
    """Tell whether to undo an action would change nothing."""
    return done.revert(state) == state


def _does_nothing(done: _Done, state: State) -> bool:
    """Tell whether an action would change nothing, or is not possible any more."""
    try:
        return done.action.apply(state) == state
    except (GestError, KeyError):
        return True


def _is_about(done: _Done, runs: set[str]) -> bool:
    """Tell whether a step is about no run, or about one of these."""
    run = getattr(done.action, "id", None)
    return run is None or run in runs


_JOURNALS: WeakKeyDictionary[Any, Journal] = WeakKeyDictionary()


def journal_of(viewer: Any) -> Journal:
    """Return the one journal of a viewer, with its session; it is forgotten with the viewer."""
    if viewer not in _JOURNALS:
        _JOURNALS[viewer] = Journal(session_of(viewer))
    return _JOURNALS[viewer]
