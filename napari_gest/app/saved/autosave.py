"""Writes each action and each kept result to disk as it happens, in a thread of its own."""

from __future__ import annotations

import json
import logging
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

import platformdirs

from napari_gest.app.actions import Action
from napari_gest.app.from_file import is_from_file
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.saved import alive
from napari_gest.app.saved.folder import (
    JOURNAL,
    LINES,
    RESULTS,
    SESSION,
    begin,
    copy_results,
    copy_to,
    done_in,
    read_lines,
    write_result,
)
from napari_gest.app.saved.once import Shortener
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import CheckpointError, GestError
from napari_gest.files import make_folder, remove_folder, write_bytes
from napari_gest.tasks.progress import Progress

_LOG = logging.getLogger(__name__)
AUTOSAVED = Path(platformdirs.user_data_dir("napari-gest", appauthor=False)) / "sessions"
_LOOK_S = 0.1  # how often a job looks whether its copy is written
_REMEDY = "Make room on the disk, keep what you need, and save the tissue."


class Autosave:
    """The log of a journal. The window's thread only puts things into a queue.

    When nobody holds it any more, as once its viewer is gone, its thread ends and the folder stays.

    Parameters
    ----------
    session
        Whose actions are written.
    parent
        Folder of autosaved sessions.
    """

    def __init__(self, session: Session, parent: Path | None = None) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
        self.session = session
        self.folder = (parent or AUTOSAVED) / name
        self._writer = _Writer(self.folder)
        self._written: dict[str, Any] = {}
        weakref.finalize(self, self._writer.end).atexit = False

    @property
    def failed(self) -> CheckpointError | None:
        """Why nothing is saved any more; None while all is well."""
        return self._writer.error()

    def tell_failed(self, tell: Callable[[CheckpointError], None] | None) -> None:
        """Have a function called, once and from another thread, if nothing is saved any more."""
        self._writer.tell = tell

    def write(self, line: dict[str, Any], action: Action | None) -> None:
        """Take in a line of the journal; results that are kept by it are written before it."""
        if self._writer.failed:
            return
        state = self.session.state
        there = {entry.id for entry in state.runs}
        self._written = {id_: held for id_, held in self._written.items() if id_ in there}
        for id_ in state.kept:
            entry = state.entry(id_)
            if not _is_stored(entry):
                continue
            if self._written.get(id_) != (held := _held(entry)):
                self._written[id_] = held
                self._writer.put(partial(write_result, self.folder, entry, state))
        self._writer.put(partial(self._writer.append, line))

    def save_results(self) -> None:
        """Write the results of all runs, also of those that are not kept."""
        for step in self._results(self.session.state):
            self._writer.put(step)

    def copying(self, path: Path, *, overwrite: bool = False) -> Generator[Progress, None, None]:
        """Return the work of writing a copy of the session as it is now, results and all.

        A copy whose work is ended early is not written.

        Raises
        ------
        InputError
            If the path exists and ``overwrite`` is false, or is no session.
        CheckpointError
            If it could not be written, now or before.
        """
        return self._copying(path, overwrite, self._results(self.session.state))

    def _copying(
        self, path: Path, overwrite: bool, steps: list[Callable[[], None]]
    ) -> Generator[Progress, None, None]:
        told: SimpleQueue[Exception | None] = SimpleQueue()
        ended = Event()
        for step in steps:
            self._writer.put(partial(_do_and_tell, step, told))
        copy = partial(copy_to, self.folder, path, overwrite=overwrite, go_on=_unless(ended))
        self._writer.put(partial(_copy_and_tell, self._writer, copy, told))
        yield from _waiting(f"Saving {path.name}", len(steps) + 1, told, ended)

    def adopt(self, folder: Path, moved: Mapping[str, Path] | None = None) -> None:
        """Go on with a session that was read from a folder; an autosaved one gives way to this.

        Parameters
        ----------
        folder
            Of the session.
        moved
            Where tissue lies now, by the path it had.
        """
        state = self.session.state
        self._written = {id_: _held(state.entry(id_)) for id_ in state.kept}
        self._writer.put(partial(self._writer.take, folder, dict(moved or {})))

    def flush(self) -> None:
        """Wait until all that was put into the queue is on disk, or failed."""
        self._writer.flush()

    def close(self, *, keep: bool = False) -> None:
        """End; the folder is removed, since the user has closed the session, unless to be kept."""
        if self._writer.end(wait=True) and not keep:
            remove_folder(self.folder, SESSION)

    def _results(self, state: State) -> list[Callable[[], None]]:
        entries = filter(_is_stored, state.listed())
        return [partial(write_result, self.folder, entry, state) for entry in entries]


class _Writer:
    """What works off the queue. It knows no session: its thread would hold all that is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed = ""
        self.tell: Callable[[CheckpointError], None] | None = None
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._shortener = Shortener()
        self._lock = Lock()  # the window's thread and that of a job put steps

    def error(self) -> CheckpointError | None:
        if not self.failed:
            return None
        return CheckpointError(f"This session could not be saved ({self.failed}).", _REMEDY)

    def put(self, step: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._work, name="napari-gest autosave", daemon=True)
                self._thread.start()
                self._queue.put(self._begin)
            self._queue.put(step)

    def flush(self) -> None:
        if self._thread is not None:
            done = Event()
            self._queue.put(done.set)
            done.wait()

    def end(self, *, wait: bool = False) -> bool:
        """End the thread after what is in the queue; return whether there was one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if wait:
                thread.join()
        return thread is not None

    def append(self, line: dict[str, Any]) -> None:
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(_as_line(self._shortener.short(line)))
            file.flush()

    def take(self, folder: Path, moved: Mapping[str, Path]) -> None:
        """Take over a session from another folder."""
        if folder.resolve() == self.folder.resolve():
            return
        copy_results(folder, self.folder)
        # The lines last: until then both folders are what they were.
        read = [_at(line, moved) for line in read_lines(folder)]
        for line in read:
            self._shortener.follow(line)
        lines = b"".join(map(_as_line, read))
        write_bytes(self.folder / JOURNAL, lines, LINES, overwrite=True)
        if folder.parent.resolve() != self.folder.parent.resolve():
            return
        if alive.is_elsewhere(folder):  # where it may still be open
            alive.note_taken(folder)
        else:
            remove_folder(folder, SESSION)

    def _work(self) -> None:
        while True:
            step = self._queue.get()
            if step is None:
                alive.unsign(self.folder)
                return
            try:
                step()
            except Exception as error:  # a full disk must not end the work of the user
                self._fail(str(error) or type(error).__name__)
            del step  # which holds results, while the next one is waited for

    def _fail(self, cause: str) -> None:
        if self.failed:
            return
        _LOG.warning("the session is not saved any more: %s", cause)
        self.failed = cause
        error = self.error()
        if self.tell is not None and error is not None:
            self.tell(error)

    def _begin(self) -> None:
        make_folder(self.folder)
        # Before it is a session: nobody may take one for left behind that has just begun.
        alive.sign(self.folder)
        begin(self.folder)


def _do_and_tell(step: Callable[[], None], told: SimpleQueue[Exception | None]) -> None:
    try:
        step()
    finally:
        told.put(None)


def _copy_and_tell(
    writer: _Writer, copy: Callable[[], None], told: SimpleQueue[Exception | None]
) -> None:
    try:
        if (failed := writer.error()) is not None:
            raise failed
        copy()
        told.put(None)
    except Exception as error:  # it is told whoever asked for the copy; the session goes on
        told.put(error)


def _unless(ended: Event) -> Callable[[], None]:
    """Return what raises once a work was ended."""

    def go_on() -> None:
        if ended.is_set():
            raise CheckpointError("The copy was not written.", "Save the session again.")

    return go_on


def _waiting(
    message: str, n_steps: int, told: SimpleQueue[Exception | None], ended: Event
) -> Generator[Progress, None, None]:
    """Wait until steps of the writer are done; ended early, the last is not."""
    done = 0
    try:
        while done < n_steps:
            yield Progress(message, done, n_steps)
            try:
                error = told.get(timeout=_LOOK_S)
            except Empty:
                continue
            if error is not None:
                raise error
            done += 1
    finally:
        ended.set()


def _at(line: dict[str, Any], moved: Mapping[str, Path]) -> dict[str, Any]:
    """Return a line in which tissue lies where it is now."""
    tissue = line.get("tissue")
    if not moved or line["do"] != "open_sections" or not isinstance(tissue, list):
        return line
    there = {path: str(now.absolute()) for path, now in moved.items()}
    tissue = [
        ref | {"path": there[str(ref["path"])]}
        if isinstance(ref, dict) and str(ref.get("path")) in there
        else ref
        for ref in tissue
    ]
    return line | {"tissue": tissue}


def _as_line(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _is_stored(entry: RunEntry) -> bool:
    """Tell whether a run has a result here: models have folders of their own, and so have files."""
    return entry.kind != "training" and not is_from_file(entry)


def _held(entry: RunEntry) -> tuple[Any, ...]:
    """Return what a saved result has that no line of the journal gives again."""
    outcome = entry.outcome
    if isinstance(outcome, NicheOutcome):
        return (outcome.search, outcome.kept_niches)
    if isinstance(outcome, GenerationOutcome):  # which draw is shown is in the journal
        return (outcome.result, outcome.n_draws)
    return (outcome,)


def interrupted(parent: Path | None = None) -> list[Path]:
    """Return the autosaved sessions whose program is no longer there, the newest first.

    Those in which nothing was drawn, edited or left to decide on are removed. What cannot be read
    to its end is never removed: a person or a later version may make something of it.
    """
    parent = parent or AUTOSAVED
    found = []
    for folder in sorted(parent.iterdir(), reverse=True) if parent.is_dir() else ():
        if not SESSION.is_one(folder) or alive.is_alive(folder):
            continue
        try:
            done, whole = done_in(folder)
        except GestError as error:
            _LOG.info("left as it is: %s", error)
            continue
        if _is_worth_it(folder, done):
            found.append(folder)
        elif whole and not alive.is_elsewhere(folder):
            remove_folder(folder, SESSION)
    return found


def _is_worth_it(folder: Path, done: set[str]) -> bool:
    if done & {"set_shapes", "set_strokes", "set_edits", "keep"}:
        return True
    results = folder / RESULTS  # of runs that are undecided, where they were to be kept
    return "add_run" in done and results.is_dir() and any(results.iterdir())
