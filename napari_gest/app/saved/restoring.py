"""Reads a session: its tissue, its results, and the actions that lead to where it was."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_gest.app.actions import AddRun, Keep
from napari_gest.app.actions.tissue import TissueRef
from napari_gest.app.journal import Journal, Step
from napari_gest.app.opened import Opened, open_sections
from napari_gest.app.saved.folder import (
    RESULTS,
    has_result,
    read_lines,
    steps_of,
    tissue_of,
)
from napari_gest.app.saved.packing import Unpacker, find_in
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import InputError, ReadingError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import read_tissue
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
        Ids of runs whose results are not there; they were not kept.
    """

    steps: tuple[Step, ...]
    changed: tuple[str, ...]
    lost: tuple[str, ...]

    def put_into(self, journal: Journal) -> None:
        """Do all of it in an empty session, in one go."""
        journal.restore(self.steps)


def restore(
    folder: Path, moved: Mapping[str, Path] | None = None
) -> Generator[Progress, None, Restored]:
    """Read a session; for a worker thread.

    Parameters
    ----------
    folder
        Of the session.
    moved
        Where tissue lies now, by the path it had.

    Raises
    ------
    MovedError
        If tissue is not where it was.
    CheckpointError
        If the folder is no session.
    """
    lines = read_lines(folder)
    opened, changed = yield from _open_all(lines, moved or {})
    steps: list[Step] = []
    results: dict[str, Any] = {}
    lost: list[str] = []
    for step in steps_of(lines, opened):
        action = step.action
        if isinstance(action, AddRun):
            if not has_result(folder, action.id):
                lost.append(action.id)
                continue
            yield Progress(f"Reading {action.id}", 0, 1)
            unpacker = Unpacker(folder / RESULTS / action.id, find_in(opened, results))
            entry = unpacker.read()
            if entry.kind == "generation":
                results[entry.id] = entry.outcome.result
            step = Step(action.model_copy(update={"entry": entry}), step.number)
        elif isinstance(action, Keep) and action.id in lost:
            continue
        steps.append(step)
    return Restored(tuple(steps), tuple(changed), tuple(lost))


def _open_all(
    lines: list[dict[str, Any]], moved: Mapping[str, Path]
) -> Generator[Progress, None, tuple[dict[str, Opened], list[str]]]:
    refs = [TissueRef.model_validate(ref) for ref in tissue_of(lines)]
    files: dict[Path, Any] = {}
    opened: dict[str, Opened] = {}
    changed: list[str] = []
    for done, ref in enumerate(refs):
        if ref.path is None:
            continue  # it was only in memory
        path = moved.get(ref.path, Path(ref.path))
        if not path.exists():
            raise MovedError(ref.path)
        yield Progress(f"Reading {path.name}", done, len(refs))
        adata = files.setdefault(path, None) or read_tissue(path)
        files[path] = adata
        try:
            (one,) = open_sections(adata, path, [ref.section], Reading(**ref.reading))
        except ReadingError as error:
            raise InputError(
                f"The tissue of this session cannot be read: {error.cause}", error.remedy
            ) from error
        one.label = ref.label
        if one.section.digest != ref.digest:
            changed.append(str(path))
        opened[ref.label] = one
    return opened, changed


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
