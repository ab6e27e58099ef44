"""Runs a saved session again without a window, and writes what was kept in it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gest.app.actions import AddRun
from napari_gest.app.journal import Journal, Step
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.niche_outcome import NicheEdit, NicheOutcome
from napari_gest.app.saved.restoring import Restored, restore
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import InputError
from napari_gest.files import Output, check_outputs, make_folder
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import kind_of, write_tissue

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.niches.niches import Clustered

_CALLS = ("renamed", "merged", "recolored")


def replay(
    folder: Path, moved: Mapping[str, Path] | None = None
) -> Generator[Progress, None, State]:
    """Run all that was kept in a session again, and return its state.

    Tissue is read anew, and each kept run is computed anew from what was asked for; nothing of
    the saved results is used.

    Parameters
    ----------
    folder
        Of the session.
    moved
        Where tissue lies now, by the path it had.

    Raises
    ------
    InputError
        If tissue has moved or changed, or nothing was kept.
    CheckpointError
        If the folder is no session, or a result is damaged.
    """
    before = yield from restore(folder, moved)
    if before.changed:
        raise InputError(
            f"The tissue differs from what the session was made on: {', '.join(before.changed)}.",
            "Put the file back as it was; the same numbers cannot come of another one.",
        )
    journal = Journal(Session())
    before.put_into(journal)
    kept = journal.session.state.kept
    if not kept:
        raise InputError("Nothing was kept in this session.", "Keep a result, then save it.")
    # Once more, on tissue into which nothing was written.
    fresh = yield from restore(folder, moved)
    steps = yield from _run_again(fresh, set(kept))
    again = Journal(Session())
    again.restore(steps)
    return again.session.state


def write_replayed(state: State, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Write each file of a replayed session into a folder; return the paths.

    Raises
    ------
    InputError
        If one exists and ``overwrite`` is false.
    """
    files: dict[int, Any] = {}
    for opened in state.sections.values():
        if opened.results:
            files.setdefault(id(opened.adata), opened)
    names: dict[Path, Any] = {}
    for opened in files.values():
        stem, number = (opened.path.stem if opened.path else opened.label), 2
        path = out / f"{stem}.h5ad"
        while path in names:
            path, number = out / f"{stem}_{number}.h5ad", number + 1
        names[path] = opened
    make_folder(out)
    check_outputs([Output("out", path, kind_of(path), overwrite) for path in names])
    for path, opened in names.items():
        write_tissue(opened.export(), path, overwrite=overwrite)
    return list(names)


def _run_again(restored: Restored, kept: set[str]) -> Generator[Progress, None, list[Step]]:
    steps: list[Step] = []
    results: dict[int, Any] = {}  # of this run, by those that were saved
    loaded: dict[str, GeST] = {}
    for step in restored.steps:
        action = step.action
        if isinstance(action, AddRun) and action.id in kept:
            entry = yield from _entry_again(action.entry, results, _loader(action.entry, loaded))
            if entry.kind == "generation":
                results[id(action.entry.outcome.result)] = entry.outcome.result
            step = Step(action.model_copy(update={"entry": entry}), step.number)
        steps.append(step)
    return steps


def _entry_again(
    entry: RunEntry, results: Mapping[int, Any], load: Callable[[str], GeST]
) -> Generator[Progress, None, RunEntry]:
    if entry.partial:
        raise InputError(
            f"'{entry.name}' was cancelled; what it had made cannot be made again.",
            "Open the session and delete this run, or run it to its end.",
        )
    if entry.kind != "niches":
        return replace(entry, outcome=(yield from entry.run.work(load)))
    outcome: NicheOutcome = entry.outcome
    compared = [one.generated for one in outcome.search.generated]
    known = tuple(results[id(one)] for one in compared if id(one) in results)
    run = replace(entry.run, generated=known, embedded=None)
    search = yield from run.work(load)
    kept = outcome.kept_edit()
    if kept is None:
        raise InputError("The niches that were kept are not there.", "Find and keep them again.")
    asked, calls = kept[0], kept[1].calls
    found = yield from search.request(*asked).run()
    niches = found
    for call in calls:
        niches = called(niches, call)
    made = NicheOutcome.of(search, 2).asking(asked, found)
    made = made.with_edits(asked, (NicheEdit(found), NicheEdit(niches, calls)))
    return replace(entry, run=run, outcome=made.kept())


def called(niches: Clustered, call: str) -> Clustered:
    """Return niches after a change that is written as a call, such as ``merged(['a', 'b'])``.

    Raises
    ------
    ValueError
        If it is another call than ``renamed``, ``merged`` or ``recolored`` of a literal.
    """
    tree = ast.parse(call, mode="eval").body
    if not (
        isinstance(tree, ast.Call)
        and isinstance(tree.func, ast.Name)
        and tree.func.id in _CALLS
        and len(tree.args) == 1
    ):
        raise ValueError(f"'{call}' is no change of niches")
    changed: Clustered = getattr(niches, tree.func.id)(ast.literal_eval(tree.args[0]))
    return changed


def _loader(entry: RunEntry, loaded: dict[str, GeST]) -> Callable[[str], GeST]:
    """Return what loads the model of a run, each model once."""
    info: ModelInfo = entry.run.model

    def load(_: str) -> GeST:
        from napari_gest.model.gest import GeST

        if info.load_name not in loaded:
            loaded[info.load_name] = GeST.load(info.load_name)
        return loaded[info.load_name]

    return load
