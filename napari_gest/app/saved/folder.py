"""A session on disk: what is open, each action as a line, and the results that were kept.

``session.json`` says what the folder is, ``journal.jsonl`` holds the lines, and
``results/RUN`` the result of each run. A line is written after the result that it needs, so that
whatever interrupts the program, what the lines speak of is there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari_gest
from napari_gest.app.actions.lines import NAMES, action_of
from napari_gest.app.journal import REDO, UNDO, Step
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.saved.once import Lengthener
from napari_gest.app.saved.parts import ARRAYS, TREE
from napari_gest.app.state import State
from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import FileKind, FolderKind, make_folder, replacing
from napari_gest.files.kinds import ignored, peek_json
from napari_gest.tissue.text import load_json

ABOUT, JOURNAL, RESULTS, ALIVE = "session.json", "journal.jsonl", "results", "alive.json"
ENDING = ".gest"
_FORMAT = 2
_READ = (1, 2)  # the first has every shape in every line
_MOST_LINES = 1 << 60
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


LINES = FileKind("a journal", lambda head: head[:1] in (b"", b"{"))
SESSION = FolderKind("a saved session", _is_one, _foreign)
RESULT = FolderKind(
    "a saved result",
    lambda folder: (folder / TREE).is_file(),
    lambda folder: [e.name for e in folder.iterdir() if e.name not in (TREE, ARRAYS)],
)


def begin(folder: Path) -> None:
    """Make an empty session in a folder that is there and empty."""
    about = {"napari_gest_session": _FORMAT, "version": napari_gest.__version__}
    (folder / JOURNAL).touch()
    make_folder(folder / RESULTS)
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def write_result(folder: Path, entry: RunEntry, state: State) -> None:
    """Write a run and its result, and those that it refers to; what was there is replaced."""
    from napari_gest.app.saved.packing import Packer  # which knows every type: torch is needed

    packer = Packer(names_of(state, entry))
    with replacing(folder / RESULTS / entry.id, RESULT, overwrite=True) as fresh:
        packer.write(fresh, entry)
    for name in packer.used:
        if "result" in name and not has_result(folder, name["result"]):
            write_result(folder, state.entry(name["result"]), state)


def has_result(folder: Path, run_id: str) -> bool:
    """Tell whether a run's result is there."""
    if not re.fullmatch(r"[\w-]{1,60}", run_id):  # no path to anywhere else
        return False
    return RESULT.is_one(folder / RESULTS / run_id)


def _always() -> None:
    """Stand in for what may end a copy early."""


def copy_to(
    folder: Path,
    path: Path,
    *,
    overwrite: bool = False,
    go_on: Callable[[], None] = _always,
) -> None:
    """Write a copy of a session, whole or not at all.

    Parameters
    ----------
    folder
        Of the session.
    path
        Of the copy.
    overwrite
        Replace a session that is there.
    go_on
        Called now and then; what it raises ends the copy.

    Raises
    ------
    InputError
        If the path exists and ``overwrite`` is false, or is no session.
    """
    with replacing(path, SESSION, overwrite=overwrite) as fresh:
        for name in (ABOUT, JOURNAL):
            shutil.copyfile(folder / name, fresh / name)
        make_folder(fresh / RESULTS)
        copy_results(folder, fresh, go_on)


def copy_results(folder: Path, target: Path, go_on: Callable[[], None] = _always) -> None:
    """Copy the results of a session into another, and nothing else that lies among them."""
    go_on()
    for run in sorted((folder / RESULTS).iterdir()) if (folder / RESULTS).is_dir() else ():
        if has_result(folder, run.name):
            make_folder(target / RESULTS / run.name)
            for name in (TREE, ARRAYS):
                if (run / name).is_file():
                    shutil.copyfile(run / name, target / RESULTS / run.name / name)
            go_on()


def names_of(state: State, run: RunEntry) -> dict[int, dict[str, Any]]:
    """Return the names of what a run's result does not hold itself, by ids of objects."""
    names: dict[int, dict[str, Any]] = {}
    for opened in state.sections.values():
        names[id(opened)] = {"opened": opened.label}
        names[id(opened.section)] = {"section": opened.label}
    # Sections that were closed since; their labels are those that they had when it was run.
    for snapshot in run.run.snapshots:
        names.setdefault(id(snapshot.section), {"section": snapshot.label})
    for opened in getattr(run.run, "opened", ()):
        names.setdefault(id(opened), {"opened": opened.label})
        names.setdefault(id(opened.section), {"section": opened.label})
    for entry in state.runs:
        if entry.kind == "generation" and entry.id != run.id:
            names[id(entry.outcome.result)] = {"result": entry.id}
    if run.kind == "generation":
        names.pop(id(run.outcome.result), None)
    return names


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, up to the first that is cut short or damaged.

    Raises
    ------
    CheckpointError
        If it is of a newer version.
    InputError
        If the folder is no session.
    """
    return [line for line in _lines(folder) if line is not None]


def done_in(folder: Path) -> tuple[set[str], bool]:
    """Return what was done, in the words of its lines, and whether all of it is understood.

    Raises
    ------
    CheckpointError, InputError
        As ``read_lines``.
    """
    done: set[str] = set()
    whole = True
    for line in _lines(folder):
        if line is None:
            whole = False
        else:
            done.add(line["do"])
    return done, whole and done <= NAMES | {UNDO, REDO}


def _lines(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the lines of a journal; None last where the rest cannot be read."""
    about = load_json(folder / ABOUT, "a saved session", "Choose the folder of a session.")
    if not isinstance(about, dict) or about.get("napari_gest_session") not in _READ:
        raise CheckpointError(
            f"'{folder.name}' is no session that this version can read.",
            "Choose the folder of a session, or update napari-gest.",
        )
    path = folder / JOURNAL
    if not path.is_file():  # reading a pipe would wait for its writer
        raise InputError(f"There is no journal '{path}'.", "Open an earlier copy of the session.")
    try:
        with path.open("rb") as file:  # of any size: a long session has many lines
            for raw in file:
                line = _line(raw)
                yield line
                if line is None:
                    return
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be read ({error}).", "Open an earlier copy of the session."
        ) from error


def _line(raw: bytes) -> dict[str, Any] | None:
    """Return what a line says; None where it is cut short or damaged."""
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("do"), str) else None


def read_steps(folder: Path) -> list[Step]:
    """Return what the lines of a journal say. One that is of another version is left out.

    Raises
    ------
    CheckpointError, InputError
        As ``read_lines``.
    """
    longer = Lengthener(_drawn)
    steps = (_step(line, longer) for line in _lines(folder) if line is not None)
    return [step for step in steps if step is not None]


def _drawn(field: str, one: Any) -> Shape | Stroke:
    return (Shape if field == "shapes" else Stroke).model_validate(one)


def _step(line: dict[str, Any], longer: Lengthener) -> Step | None:
    if line["do"] in (UNDO, REDO):
        return Step(line["do"], _number(line.get("of")))
    try:
        action = action_of({k: v for k, v in longer.long(line).items() if k != "n"})
    except (ValueError, TypeError, RecursionError):
        return None
    return Step(action, _number(line.get("n")))


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < _MOST_LINES else 0
