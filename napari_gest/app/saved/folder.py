"""A session on disk: what is open, each action as a line, and the results that were kept.

``session.json`` says what the folder is, ``journal.jsonl`` holds the lines, and
``results/RUN`` the result of each run. A line is written after the result that it needs, so that
whatever interrupts the program, what the lines speak of is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import napari_gest
from napari_gest.app.actions.lines import action_of
from napari_gest.app.journal import REDO, UNDO, Step
from napari_gest.app.opened import Opened
from napari_gest.app.saved.packing import ARRAYS, TREE, Packer
from napari_gest.app.state import State
from napari_gest.errors import CheckpointError, GestError
from napari_gest.files import FolderKind, make_folder, replacing
from napari_gest.files.kinds import ignored, peek_json
from napari_gest.tissue.text import load_json

ABOUT, JOURNAL, RESULTS, ALIVE = "session.json", "journal.jsonl", "results", "alive.json"
ENDING = ".gest"
_FORMAT = 1
_KEYS = {"napari_gest_session", "version"}


def _is_one(folder: Path) -> bool:
    about = peek_json(folder / ABOUT)
    return isinstance(about, dict) and about.keys() >= _KEYS


def _foreign(folder: Path) -> list[str]:
    found = [
        entry.name
        for entry in sorted(folder.iterdir())
        if not ignored(entry) and entry.name not in (ABOUT, JOURNAL, RESULTS, ALIVE)
    ]
    results = folder / RESULTS
    for run in sorted(results.iterdir()) if results.is_dir() else ():
        inside = [e.name for e in run.iterdir()] if run.is_dir() else ["?"]
        if not ignored(run) and set(inside) - {TREE, ARRAYS}:
            found.append(f"{RESULTS}/{run.name}")
    return found


SESSION = FolderKind("a saved session", _is_one, _foreign)
RESULT = FolderKind(
    "a saved result",
    lambda folder: (folder / TREE).is_file(),
    lambda folder: [e.name for e in folder.iterdir() if e.name not in (TREE, ARRAYS)],
)


def begin(folder: Path) -> None:
    """Make an empty session in a folder that is there and empty."""
    about = {"napari_gest_session": _FORMAT, "version": napari_gest.__version__}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    (folder / JOURNAL).touch()
    make_folder(folder / RESULTS)


def write_result(folder: Path, run_id: str, entry: Any, state: State) -> None:
    """Write a run and its result; one that was written before is replaced."""
    with replacing(folder / RESULTS / run_id, RESULT, overwrite=True) as fresh:
        Packer(names_of(state, run_id)).write(fresh, entry)


def has_result(folder: Path, run_id: str) -> bool:
    """Tell whether a run's result is there."""
    return RESULT.is_one(folder / RESULTS / run_id)


def copy_to(folder: Path, path: Path, *, overwrite: bool = False) -> None:
    """Write a copy of a session, whole or not at all.

    Raises
    ------
    InputError
        If the path exists and ``overwrite`` is false, or is no session.
    """
    with replacing(path, SESSION, overwrite=overwrite) as fresh:
        for name in (ABOUT, JOURNAL):
            shutil.copyfile(folder / name, fresh / name)
        shutil.copytree(folder / RESULTS, fresh / RESULTS)


def names_of(state: State, run_id: str) -> dict[int, dict[str, Any]]:
    """Return the names of what a run's result does not hold itself, by ids of objects."""
    names: dict[int, dict[str, Any]] = {}
    for opened in state.sections.values():
        names[id(opened)] = {"opened": opened.label}
        names[id(opened.section)] = {"section": opened.label}
    for entry in state.runs:
        if entry.kind == "generation" and entry.id != run_id:
            names[id(entry.outcome.result)] = {"result": entry.id}
    return names


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, up to the first that is cut short or damaged.

    Raises
    ------
    CheckpointError
        If the folder is no session, or of a newer version.
    """
    about = load_json(folder / ABOUT, "a saved session", "Choose the folder of a session.")
    if not isinstance(about, dict) or about.get("napari_gest_session") != _FORMAT:
        raise CheckpointError(
            f"'{folder.name}' is no session that this version can read.",
            "Choose the folder of a session, or update napari-gest.",
        )
    return list(_lines(folder / JOURNAL))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_bytes()
    except OSError:
        return
    for raw in text.split(b"\n")[:-1]:  # what follows the last line break was cut short
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            return
        if not isinstance(line, dict) or "do" not in line:
            return
        yield line


def tissue_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is to be opened, as ``TissueRef`` fields, in the order it was."""
    return [ref for line in lines if line["do"] == "open_sections" for ref in line["tissue"]]


def steps_of(lines: list[dict[str, Any]], opened: Mapping[str, Opened]) -> Iterator[Step]:
    """Yield what lines say, with the sections that they open.

    A line that is damaged or of another version is left out.
    """
    for line in lines:
        if line["do"] in (UNDO, REDO):
            yield Step(line["do"], int(line.get("of", 0)))
            continue
        number = int(line.get("n", 0))
        try:
            action = action_of({k: v for k, v in line.items() if k != "n"})
        except (ValueError, GestError):
            continue
        if line["do"] == "open_sections":
            there = tuple(opened[ref["label"]] for ref in line["tissue"] if ref["label"] in opened)
            action = action.model_copy(update={"opened": there})
        yield Step(action, number)
