"""Sessions: restored, undone, replayed, written as code, saved again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.fuzz import blind, jsons, sessions
from benchmarks.fuzz.case import Room, Work, WrongError
from napari_gest.app.journal import Journal
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.replaying import replay, write_replayed
from napari_gest.app.saved.restoring import restore
from napari_gest.app.script import session_script
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.tasks.progress import finish


def prepare(room: Room) -> Work:
    folder = room.inputs / sessions.SESSION
    sessions.copy(room.base.folder, folder)
    draw = room.rng.random()
    runs = sorted((folder / "results").iterdir())
    if draw < 0.05:
        room.note("whole")
    elif draw < 0.35:
        _damage_line(room, folder / "journal.jsonl")
    elif draw < 0.55:
        path = room.pick(runs) / "result.json"
        room.note(path.parent.name)
        path.write_bytes(jsons.damage(room, json.loads(path.read_text())))
    elif draw < 0.75:
        path = room.pick(runs) / "arrays.npz"
        room.note(f"{path.parent.name}: {sessions.change_arrays(path, room.rng)}")
    elif draw < 0.8:
        path = folder / "session.json"
        path.write_bytes(jsons.damage(room, json.loads(path.read_text())))
    elif draw < 0.9:
        blind.damage(room, room.pick(sorted(p for p in folder.rglob("*") if p.is_file())))
    else:
        blind.disorder(room, folder)
    return lambda: work(room, folder)


def work(room: Room, folder: Path) -> None:
    """Restore a session, go back and forth in it, save it again; replay it or write it as code."""
    room.names += ["session", "tissue", "run-", "section", "model", "plain.h5ad"]
    journal = Journal(Session())
    finish(restore(folder), None).put_into(journal)
    before = journal.session.state
    if room.chance(0.5):
        _back_and_forth(journal)
        if _kept(journal.session.state) != _kept(before):
            now = _kept(journal.session.state)
            raise WrongError(f"undone and done again, {_kept(before)} is {now}")
    if room.chance(0.3):
        log = Autosave(journal.session, room.temporary / "autosaved")
        log.adopt(folder)
        finish(log.copying(room.out / "again.gest"), None)
        log.close()
        (room.temporary / "autosaved").rmdir()
        again = Journal(Session())
        finish(restore(room.out / "again.gest"), None).put_into(again)
        if _kept(again.session.state) != _kept(journal.session.state):
            raise WrongError("the session saved again is another one")
        shutil.rmtree(room.out / "again.gest")
    room.names += ["cancelled", "niches", "kept", "region", "edit", "cells", "label", "seed"]
    if room.chance(0.3) and before.kept:
        compile(session_script(before), "script", "exec")
    elif room.chance(0.3):
        write_replayed(finish(replay(folder), None), room.out / "replayed")


def _kept(state: State) -> tuple[object, ...]:
    return state.kept, state.shapes, state.strokes, [e.name for e in state.listed()]


def _back_and_forth(journal: Journal) -> None:
    n = 0
    while journal.undo():
        n += 1
    for _ in range(n):
        journal.redo()


def _damage_line(room: Room, path: Path) -> None:
    lines = path.read_bytes().splitlines()
    what = room.pick(("damage", "damage", "damage", "damage", "lose", "double", "swap", "insert"))
    at = int(room.rng.integers(len(lines)))
    line = json.loads(lines[at])
    room.note(f"{what} line {at}, {line['do']}")
    if what == "damage":
        lines[at] = jsons.damage(room, line)
    elif what == "lose":
        del lines[at]
    elif what == "double":
        lines.insert(at, lines[at])
    elif what == "swap":
        other = int(room.rng.integers(len(lines)))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        word = room.pick(("undo", "redo"))
        lines.insert(at, json.dumps({"do": word, "of": int(room.rng.integers(20))}).encode())
    path.write_bytes(b"".join(one + b"\n" for one in lines))
