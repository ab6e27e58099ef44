"""Damaged sessions that were accepted as complete, or that hung during reading."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fuzz import sessions
from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus.named import Named
from benchmarks.fuzz.kinds.session import work

Change = Callable[[Path], None]


def _session(change: Change) -> Callable[[Room], Work]:
    def prepare(room: Room) -> Work:
        folder = room.inputs / sessions.SESSION
        sessions.copy(room.base.folder, folder)
        change(folder)
        return lambda: work(room, folder)

    return prepare


def _pipe(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def _arrays(run: str, change_array: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "results" / run / "arrays.npz"
        with np.load(path) as held:
            arrays = {name: change_array(held[name]) for name in held.files}
        np.savez(path, **arrays)  # type: ignore[arg-type]

    return change


def _line(**line: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "journal.jsonl"
        path.write_text(json.dumps(line) + "\n" + path.read_text())

    return change


CASES = (
    Named("session, journal is a pipe", _session(_pipe("journal.jsonl")), "refused"),
    Named("session, arrays are a pipe", _session(_pipe("results/run-1/arrays.npz")), "refused"),
    Named("session, rows of other cells", _session(_arrays("run-1", lambda a: a[::-1])), "refused"),
    Named("session, fewer cells", _session(_arrays("run-2", lambda a: a[:-1])), "refused"),
    Named("session, undo by name", _session(_line(do="undo", of="all")), "accepted"),
    Named("session, a stroke without area", _session(
        _line(do="set_strokes", n=1, strokes=[{"section": "a", "mode": "add", "wkt": "no"}])
    ), "accepted"),
    Named("session, a number of no type", _session(
        _line(do="choose", n=1, changes={"seed": {}})
    ), "accepted"),
)  # fmt: skip
