"""Kills during a session: every action reported as saved must be there afterwards.

Its runs take no time: generated cells are random numbers. An action is reported after
``Autosave.flush``, so it must not be lost.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_gest.app.actions import (
    Action,
    AddRun,
    Choose,
    Discard,
    Keep,
    OpenSections,
    RenameRun,
    SetShapes,
    SetStrokes,
)
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Snapshot, open_sections
from napari_gest.app.regions import Role, Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.saved.autosave import Autosave, interrupted
from napari_gest.app.saved.folder import JOURNAL, read_lines
from napari_gest.app.saved.restoring import read_session
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.simulate import simulate

N_ACTIONS = 40
_SAID, _SESSIONS, _TISSUE = "said.jsonl", "sessions", "t.h5ad"


def write(folder: Path, which: str) -> None:
    """Do random actions in a new session; each is reported once it is on the disk."""
    if not (folder / _TISSUE).exists():
        write_tissue(simulate(300, 12, 2, seed=1), folder / _TISSUE)
    rng = random.Random(f"{which} {time.time_ns()}")
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, folder / _SESSIONS)
    opened = open_sections(read_tissue(folder / _TISSUE), folder / _TISSUE)
    journal.do(OpenSections.of(opened, journal.session.state))
    with (folder / _SAID).open("a", encoding="utf-8") as said:
        for _ in range(N_ACTIONS):
            _act(journal, opened, rng)
            log.flush()
            lines = len(read_lines(log.folder))
            done = {"session": log.folder.name, "lines": lines} | summary(journal.session.state)
            said.write(json.dumps(done) + "\n")
            said.flush()
    log.close(keep=True)


def read(folder: Path) -> str:
    """Restore every session and compare it with the reports; returns the last version.

    Raises
    ------
    ValueError
        If a reported action is missing, or a session is not offered.
    """
    said = {one["session"]: one for one in _said(folder / _SAID)}
    offered = {path.name for path in interrupted(folder / _SESSIONS)}
    for name, last in said.items():
        if (last["shapes"] or last["strokes"] or last["kept"]) and name not in offered:
            raise ValueError(f"the session {name} is not offered")
    for name in offered:
        path = folder / _SESSIONS / name
        finish(read_session(path))
        last = said.get(name)
        if last is not None:
            _check(path, last, folder / "again")
    return "new"


def summary(state: State) -> dict[str, Any]:
    """Return the parts of a session that must not be lost: regions and kept results."""
    return {
        "shapes": [shape.model_dump(mode="json") for shape in state.shapes],
        "strokes": [stroke.model_dump(mode="json") for stroke in state.strokes],
        "kept": {id_: _digest(state.entry(id_)) for id_ in state.kept},
    }


def _check(path: Path, last: dict[str, Any], again: Path) -> None:
    lines = (path / JOURNAL).read_bytes().splitlines(keepends=True)
    if len(lines) < last["lines"]:
        raise ValueError(f"{path.name} has {len(lines)} of {last['lines']} lines")
    shutil.rmtree(again, ignore_errors=True)
    shutil.copytree(path, again)
    (again / JOURNAL).write_bytes(b"".join(lines[: last["lines"]]))  # as it was when it was said
    found = json.loads(json.dumps(summary(finish(read_session(again)))))
    shutil.rmtree(again)
    for what, value in found.items():
        if value != last[what]:
            raise ValueError(f"{path.name}: the {what} are not those that were said to be there")


def _said(path: Path) -> list[dict[str, Any]]:
    """Return the reports; the last line may be incomplete, since the writer was killed."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _act(journal: Journal, opened: list[Opened], rng: random.Random) -> None:
    """Do one random action."""
    state = journal.session.state
    runs = [entry.id for entry in state.listed()]
    on = rng.choice(opened)
    what = rng.choice(("shapes", "shapes", "strokes", "run", "run", "keep", "keep", "other"))
    action: Action = Choose.of(seed=rng.randrange(10_000))
    if what == "shapes":
        role: Role = rng.choice(("unseen", "named", "edited"))
        others = tuple(s for s in state.shapes if s.role == role)[-3:]
        action = SetShapes(role=role, shapes=(*others, _shape(on, role, rng)))
    elif what == "strokes":
        wkt = f"POLYGON ((0 0, 0 {rng.random()}, {rng.random()} 1, 0 0))"
        stroke = Stroke(section=on.label, mode="add", wkt=wkt)
        action = SetStrokes(strokes=(*state.strokes[-3:], stroke))
    elif what == "run" or not runs:
        action = AddRun.of(_made(journal.session, on, rng))
    elif what == "keep":
        action = Keep(id=rng.choice(runs))
    else:
        way = rng.choice(("undo", "redo", "discard", "rename", "choose"))
        if way in ("undo", "redo"):
            getattr(journal, way)()
            return
        if way == "discard":
            action = Discard(id=rng.choice(runs))
        elif way == "rename":
            action = RenameRun(id=rng.choice(runs), name=f"run {rng.random()}")
    journal.do(action)


def _shape(on: Opened, role: Role, rng: random.Random) -> Shape:
    x, y = (float(v) for v in on.section.coords_um[rng.randrange(on.section.n_obs)])
    size = rng.uniform(10, 60)
    corners = ((x, y), (x + size, y), (x + size, y + size), (x, y + size))
    return Shape(role=role, section=on.label, kind="rectangle", corners=corners, name="a")


def _made(session: Session, on: Opened, rng: random.Random) -> RunEntry:
    """Return a run of generation whose cells are random numbers."""
    section, numbers = on.section, np.random.default_rng(rng.randrange(1 << 30))
    index = np.sort(numbers.choice(section.n_obs, 25, replace=False))
    unseen = np.zeros(section.n_obs, bool)
    unseen[index] = True
    model = ModelInfo("random", Path("random"), section.genes, 250.0)
    run = GenerationRun(Snapshot(on.label, section), unseen, model, path=on.path)
    shape = (len(index), len(section.genes))
    result = Generated(
        section, section.rows[index], index, section.coords_um[index],
        numbers.random(shape, np.float32), numbers.random(shape, np.float32),
        numbers.random(len(index), np.float32), np.zeros(len(index), np.int32),
        np.zeros(len(index), np.float32), section.genes, {"target_sum": 250.0},
    )  # fmt: skip
    return RunEntry(session.next_id(), "a run", run, run.outcome(result))


def _digest(entry: RunEntry) -> str:
    result = entry.outcome.result
    return hashlib.blake2b(result.expression.tobytes() + result.rows.tobytes()).hexdigest()[:16]
