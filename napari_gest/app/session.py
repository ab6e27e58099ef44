"""A session: the state of one viewer, and what kept results have written into its tissue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_gest.app.kept_results import KeptResults
from napari_gest.app.opened import Opened, Snapshot
from napari_gest.app.state import State

if TYPE_CHECKING:
    from anndata import AnnData


class Session:
    """What is open in one viewer. Only a journal changes it, on the main thread.

    ``changed`` is emitted once for each action, with the names of the fields of the state that
    it changed, and of the keys that kept results wrote to an AnnData or took back.
    """

    changed = Signal(frozenset)

    def __init__(self) -> None:
        self.state = State()
        self._kept = KeptResults()
        self._n_runs = 0
        self._lock = Lock()  # of the state and what is written of it

    @property
    def sections(self) -> dict[str, Opened]:
        """Open sections by label."""
        return dict(self.state.sections)

    def snapshot(self, label: str) -> Snapshot:
        """Return what a run needs of the section ``label``."""
        return Snapshot(label, self.state.sections[label].section)

    def is_open(self, snapshot: Snapshot) -> bool:
        """Tell whether the section of a snapshot is still open."""
        return self.state.has(snapshot)

    @property
    def n_runs(self) -> int:
        """How many runs there have been; their ids are not given again."""
        return self._n_runs

    @n_runs.setter
    def n_runs(self, n: int) -> None:
        self._n_runs = n

    def next_id(self) -> str:
        """Return an id for the next run that no other has."""
        self._n_runs += 1
        taken = {entry.id for entry in self.state.runs}
        while f"run-{self._n_runs}" in taken:
            self._n_runs += 1
        return f"run-{self._n_runs}"

    def become(self, state: State) -> frozenset[str]:
        """Take on another state, and write what is kept in it. For the journal, which then tells.

        Returns
        -------
        The names of the fields and keys that it changed.

        Raises
        ------
        InputError
            If a result cannot be written; nothing has changed then.
        """
        with self._lock:
            written = self._kept.write(state)
            before, self.state = self.state, state
        return state.changed_fields(before) | written

    @contextmanager
    def as_it_is(self, adata: AnnData) -> Iterator[State]:
        """Keep what was written into an AnnData while another thread reads it, as to save it.

        It yields the state in which that is. Actions that would change it are not possible
        meanwhile.
        """
        with self._lock:
            self._kept.hold(adata)
            state = self.state
        try:
            yield state
        finally:
            with self._lock:
                self._kept.let_go(adata)


_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """Return the one session of a viewer; it is forgotten with the viewer."""
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session()
    return _SESSIONS[viewer]
