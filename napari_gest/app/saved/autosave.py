"""Writes each action and each kept result to disk as it happens, in a thread of its own."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any
from uuid import uuid4

import platformdirs
import psutil

from napari_gest.app.actions import Action
from napari_gest.app.from_file import is_from_file
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.saved.folder import (
    ALIVE,
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
from napari_gest.errors import CheckpointError, GestError
from napari_gest.files import make_folder, remove_folder, write_bytes

_LOG = logging.getLogger(__name__)
AUTOSAVED = Path(platformdirs.user_data_dir("napari-gest", appauthor=False)) / "sessions"


class Autosave:
    """The log of a journal. The window's thread only puts things into a queue.

    Parameters
    ----------
    session
        Whose actions are written.
    parent
        Folder of autosaved sessions.
    """

    def __init__(self, session: Session, parent: Path | None = None) -> None:
        self.session = session
        self.folder = (parent or AUTOSAVED) / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._failed: Exception | None = None
        self._written: dict[str, Any] = {}
        self._shortener = Shortener()  # of the thread that writes

    def write(self, line: dict[str, Any], action: Action | None) -> None:
        """Take in a line of the journal; results that are kept by it are written before it."""
        if self._failed is not None:
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
                self._put(partial(write_result, self.folder, entry, state))
        self._put(partial(self._append, line))

    def save_results(self, then: Callable[[], None]) -> None:
        """Write the results of all runs, also of those that are not kept, and call ``then``."""
        state = self.session.state
        for entry in state.listed():
            if _is_stored(entry):
                self._put(partial(write_result, self.folder, entry, state))
        self._put(then)

    def copy_to(self, path: Path, *, overwrite: bool = False) -> None:
        """Write a copy of the session as it is now, results and all; waits until it is there.

        Raises
        ------
        InputError
            If the path exists and ``overwrite`` is false, or is no session.
        CheckpointError
            If it could not be written, now or before.
        """
        done: SimpleQueue[Exception | None] = SimpleQueue()

        def copy() -> None:
            try:
                if self._failed is not None:
                    raise CheckpointError(
                        f"This session could not be saved ({self._failed}).",
                        "Make room on the disk, keep what you need, and save the tissue.",
                    )
                copy_to(self.folder, path, overwrite=overwrite)
                done.put(None)
            except Exception as error:
                done.put(error)

        self.save_results(copy)
        error = done.get()
        if error is not None:
            raise error

    def adopt(self, folder: Path) -> None:
        """Go on with a session that was read from a folder; an autosaved one gives way to this."""
        state = self.session.state
        self._written = {id_: _held(state.entry(id_)) for id_ in state.kept}

        def take() -> None:
            if folder.resolve() == self.folder.resolve():
                return
            copy_results(folder, self.folder)
            # The lines last: until then both folders are what they were.
            read = read_lines(folder)
            for line in read:
                self._shortener.follow(line)
            lines = b"".join(map(_as_line, read))
            write_bytes(self.folder / JOURNAL, lines, LINES, overwrite=True)
            if folder.parent.resolve() == self.folder.parent.resolve():
                remove_folder(folder, SESSION)

        self._put(take)

    def flush(self) -> None:
        """Wait until all that was put into the queue is on disk."""
        if self._thread is not None:
            done: SimpleQueue[None] = SimpleQueue()
            self._queue.put(lambda: done.put(None))
            done.get()

    def close(self, *, keep: bool = False) -> None:
        """End; the folder is removed, since the user has closed the session, unless to be kept."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            (self.folder / ALIVE).unlink(missing_ok=True)
            if not keep:
                remove_folder(self.folder, SESSION)

    def _put(self, step: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._work, name="napari-gest autosave", daemon=True)
            self._thread.start()
            self._queue.put(self._begin)
        self._queue.put(step)

    def _work(self) -> None:
        while (step := self._queue.get()) is not None:
            try:
                step()
            except Exception as error:  # a full disk must not end the work of the user
                if self._failed is None:
                    _LOG.warning("the session is not saved any more: %s", error)
                    self._failed = error

    def _begin(self) -> None:
        make_folder(self.folder)
        me = psutil.Process()
        alive = {"pid": me.pid, "started": me.create_time()}
        # Before it is a session: nobody may take one for left behind that has just begun.
        (self.folder / ALIVE).write_text(json.dumps(alive), encoding="utf-8")
        begin(self.folder)

    def _append(self, line: dict[str, Any]) -> None:
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(_as_line(self._shortener.short(line)))
            file.flush()


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
        if not SESSION.is_one(folder) or _is_alive(folder):
            continue
        try:
            done, whole = done_in(folder)
        except GestError as error:
            _LOG.info("left as it is: %s", error)
            continue
        if _is_worth_it(folder, done):
            found.append(folder)
        elif whole:
            remove_folder(folder, SESSION)
    return found


def _is_alive(folder: Path) -> bool:
    try:
        alive = json.loads((folder / ALIVE).read_text(encoding="utf-8"))
        if alive["pid"] == os.getpid():
            return True
        process = psutil.Process(int(alive["pid"]))
        return abs(process.create_time() - float(alive["started"])) < 1.0
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False


def _is_worth_it(folder: Path, done: set[str]) -> bool:
    if done & {"set_shapes", "set_strokes", "set_edits", "keep"}:
        return True
    results = folder / RESULTS  # of runs that are undecided, where they were to be kept
    return "add_run" in done and results.is_dir() and any(results.iterdir())
