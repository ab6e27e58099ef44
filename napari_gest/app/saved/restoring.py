"""Reads a session: its tissue, its results, and the actions that lead to where it was."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_gest.app.actions import AddRun, CloseSections, Keep, OpenSections
from napari_gest.app.actions.tissue import TissueRef
from napari_gest.app.journal import Journal, Step
from napari_gest.app.opened import Opened, open_sections, read_to_open
from napari_gest.app.preparing import prepare
from napari_gest.app.runs.base import UNDECIDED, RunEntry
from napari_gest.app.saved.as_added import as_added, with_found
from napari_gest.app.saved.folder import RESULTS, has_result, read_steps
from napari_gest.app.saved.parts import MissingError, sections_of
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import CheckpointError, GestError, InputError, ReadingError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.reading import Reading


class MovedError(InputError):
    """Tissue of a session is not where it was.

    Attributes
    ----------
    path
        Where it was.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The tissue of this session is not at '{path}' any more.",
            "Say where it lies now, or put it back.",
        )
        self.path = path


@dataclass(frozen=True, eq=False)
class Restored:
    """A session that was read.

    Attributes
    ----------
    steps
        Lines of the journal, in their order.
    changed
        Paths of tissue that differs from what the session was made on.
    lost
        Ids of runs whose results are not there; they were not kept, or their tissue had no file.
    n_runs
        How many runs there were, so that no id is given again.
    unfit
        Ids of runs whose results are there, but are damaged or do not fit their tissue.
    """

    steps: tuple[Step, ...]
    changed: tuple[str, ...]
    lost: tuple[str, ...]
    n_runs: int = 0
    unfit: tuple[str, ...] = ()

    @property
    def opened(self) -> tuple[Opened, ...]:
        """Sections that are open in the end."""
        found: dict[str, Opened] = {}
        for step in self.steps:
            if isinstance(step.action, OpenSections):
                found.update({one.label: one for one in step.action.opened})
            elif isinstance(step.action, CloseSections):
                for label in step.action.labels:
                    found.pop(label, None)
        return tuple(found.values())

    def put_into(self, journal: Journal) -> None:
        """Do all of it in a session with nothing open, in one go.

        Raises
        ------
        GestError
            If a result cannot be written into the tissue; the session is empty then.
        """
        journal.start_anew()
        journal.session.n_runs = max(self.n_runs, journal.session.n_runs)
        try:
            journal.restore(self.steps)
        except GestError:
            journal.start_anew()
            raise
        except Exception as error:  # values that no run of this program has
            journal.start_anew()
            raise CheckpointError(
                f"The results of this session do not fit its tissue ({error}).",
                "Open an earlier copy of the session, or run again.",
            ) from error


def restore(
    folder: Path, moved: Mapping[str, Path] | None = None, *, without_unfit: bool = False
) -> Generator[Progress, None, Restored]:
    """Read a session; for a worker thread.

    Parameters
    ----------
    folder
        Of the session.
    moved
        Where tissue lies now, by the path it had.
    without_unfit
        Leave out the results that are damaged or do not fit their tissue.

    Raises
    ------
    MovedError
        If tissue is not where it was.
    InputError, CheckpointError
        If the folder is no session, tissue cannot be read, or a result is damaged and not left
        out.
    """
    read = read_steps(folder)
    opened, changed = yield from _open_all(folder, read, moved or {})
    now: dict[str, Opened] = {}
    entries: dict[str, RunEntry] = {}
    steps: list[Step] = []
    lost: list[str] = []
    unfit: list[str] = []
    for place, step in enumerate(read):
        action = step.action
        if isinstance(action, OpenSections):
            there = tuple(
                opened[place, r.label] for r in action.tissue if (place, r.label) in opened
            )
            now.update({one.label: one for one in there})
            step = Step(action.model_copy(update={"opened": there}), step.number)
        elif isinstance(action, AddRun):
            yield Progress(f"Reading {action.id}", place, len(read))
            entry = None
            try:
                if action.id not in entries:
                    entry = _entry(folder, action.id, now, entries)
            except GestError:
                if not without_unfit:
                    raise
                unfit.append(action.id)
            if entry is None:
                if action.id not in unfit and action.kind not in UNDECIDED:
                    lost.append(action.id)
                continue
            entries[action.id] = entry
            added = as_added(entry, action.name)
            step = Step(action.model_copy(update={"entry": added}), step.number)
        elif isinstance(action, Keep) and action.id in (*lost, *unfit):
            continue
        else:
            step = Step(with_found(action, entries), step.number)
        steps.append(step)
    n_runs = max((_number(s.action.id) for s in read if isinstance(s.action, AddRun)), default=0)
    open_ids = {s.action.id for s in steps if isinstance(s.action, AddRun)}
    missing = tuple(i for i in lost if i not in open_ids)
    return Restored(tuple(steps), changed, missing, n_runs, tuple(unfit))


def _entry(
    folder: Path, run_id: str, now: Mapping[str, Opened], entries: Mapping[str, RunEntry]
) -> RunEntry | None:
    """Return a run with its result; None where it is not there, or its section is not."""
    if not has_result(folder, run_id):
        return None
    from napari_gest.app.saved.packing import Unpacker, find_in  # as for writing

    results = {e.id: e.outcome.result for e in entries.values() if e.kind == "generation"}
    unpacker = Unpacker(folder / RESULTS / run_id, find_in(now, results))
    try:
        return unpacker.read_entry(run_id)
    except MissingError:
        return None


_Place = tuple[int, str]  # of a step, and the label that it gives to a section


def _open_all(
    folder: Path, steps: Sequence[Step], moved: Mapping[str, Path]
) -> Generator[Progress, None, tuple[dict[_Place, Opened], tuple[str, ...]]]:
    """Open the sections that are needed; return also the paths of changed tissue."""
    refs = _needed(folder, steps)
    files: dict[Any, Any] = {}
    opened: dict[_Place, Opened] = {}
    changed: dict[str, None] = {}
    for done, (place, (ref, file)) in enumerate(refs.items()):
        if ref.path is None:
            continue  # it was only in memory
        path = moved.get(ref.path, Path(ref.path))
        if not path.exists():
            raise MovedError(ref.path)
        yield Progress(f"Reading {path.name}", done, len(refs))
        if file not in files:
            files[file] = read_to_open(path)
        opened[place] = _opened(ref, files[file], path)
        if opened[place].section.on_disk:
            yield from prepare(opened[place])  # reads it once, for its fingerprint too
        if opened[place].section.digest != ref.digest:
            changed[str(path)] = None
    return opened, tuple(changed)


def _needed(folder: Path, steps: Sequence[Step]) -> dict[_Place, tuple[TissueRef, Any]]:
    """Return what is open in the end, and what was closed but is part of a run that was kept.

    Each comes with what tells its AnnData from others.
    """
    kept = {step.action.id for step in steps if isinstance(step.action, Keep)}
    found: dict[str, tuple[int, TissueRef, Any]] = {}
    with_run: list[dict[str, tuple[int, TissueRef, Any]]] = []
    for place, step in enumerate(steps):
        action = step.action
        if isinstance(action, OpenSections):
            files = {label: file for label, (_, _, file) in found.items()}
            for ref in action.tissue:
                file = files.get(ref.beside or "", (place, ref.path))
                found[ref.label] = (place, ref, file)
        elif isinstance(action, CloseSections):
            for label in action.labels:
                found.pop(label, None)
        elif isinstance(action, AddRun) and action.id in kept and has_result(folder, action.id):
            names = sections_of(folder / RESULTS / action.id)
            with_run.append({label: found[label] for label in names if label in found})
    needed = list(found.items())
    places = {(label, place) for label, (place, _, _) in needed}
    for own in with_run:
        used = {(label, place) for label, (place, _, _) in own.items()}
        if used & places:
            needed += own.items()
    return {(place, label): (ref, file) for label, (place, ref, file) in needed}


def _opened(ref: TissueRef, adata: Any, path: Path) -> Opened:
    try:
        reading = Reading(**ref.reading)
    except TypeError as error:  # of another version
        raise CheckpointError(
            f"How '{path.name}' was read is not known ({error}).",
            "Update napari-gest, or open the tissue itself.",
        ) from error
    try:
        (one,) = open_sections(adata, path, [ref.section], reading)
    except ReadingError as error:
        raise InputError(
            f"The tissue of this session cannot be read: {error.cause}", error.remedy
        ) from error
    one.label = ref.label
    return one


def _number(run_id: str) -> int:
    """Return the number in an id; 0 where it has none."""
    digits = run_id.rpartition("-")[2]
    return int(digits) if digits.isdecimal() and len(digits) < 16 else 0


def read_session(
    folder: Path, moved: Mapping[str, Path] | None = None
) -> Generator[Progress, None, State]:
    """Read a session and return its state, with its results as they were saved.

    Parameters
    ----------
    folder
        Of the session.
    moved
        Where tissue lies now, by the path it had.

    Raises
    ------
    InputError, CheckpointError
        As ``restore``.
    """
    restored = yield from restore(folder, moved)
    journal = Journal(Session())
    restored.put_into(journal)
    return journal.session.state
