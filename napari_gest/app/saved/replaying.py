"""Runs a saved session again without a window, and writes what was kept in it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gest.app.actions import AddRun, AskNiches, FoundNiches
from napari_gest.app.actions.niches import NicheChange
from napari_gest.app.from_file import is_from_file
from napari_gest.app.journal import Journal, Step
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.runs.base import RunEntry, on_device
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.niche_outcome import NicheEdit, NicheOutcome
from napari_gest.app.runs.niches import NicheRun, NicheSearch
from napari_gest.app.saved.restoring import Restored, restore
from napari_gest.app.saved.stored_model import require_same
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import Output, check_outputs, make_folder
from napari_gest.model.devices import Device
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import kind_of, write_tissue

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generation.generated import Generated
    from napari_gest.tasks.niches.niches import Clustered

_CALLS = ("renamed", "merged", "recolored")


def replay(
    folder: Path, moved: Mapping[str, Path] | None = None, device: Device | None = None
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
    device
        Where networks compute; by default where they did in the session.

    Raises
    ------
    InputError
        If tissue or a model has moved or changed, or nothing was kept.
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
    state = journal.session.state
    kept = {id_: state.entry(id_) for id_ in state.kept if not is_from_file(state.entry(id_))}
    if not kept:
        raise InputError("Nothing was kept in this session.", "Keep a result, then save it.")
    # Once more, on tissue into which nothing was written.
    fresh = yield from restore(folder, moved)
    again = yield from _run_again(fresh, kept, device)
    for opened in fresh.opened:
        opened.require_same_file()  # a large tissue was read while it ran
    return again


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


def _run_again(
    restored: Restored, kept: Mapping[str, RunEntry], device: Device | None
) -> Generator[Progress, None, State]:
    """Do what is kept again, in the order in which it was done.

    It is written into the tissue as it was then, since runs can read what others have written.
    """
    journal = Journal(Session())
    results: dict[int, Any] = {}  # of this run, by those that were saved
    loaded: dict[str, GeST] = {}
    for step in restored.steps:
        action = step.action
        if isinstance(action, AddRun):
            if action.id not in kept:
                continue
            entry = yield from _entry_again(action.entry, kept[action.id], results, loaded, device)
            if entry.kind == "generation":
                results[id(action.entry.outcome.result)] = entry.outcome.result
            step = Step(AddRun.of(entry), step.number)
        elif isinstance(action, AskNiches | FoundNiches | NicheChange):
            continue  # a run is added with the niches that were kept
        journal.restore([step])
    return journal.session.state


def _entry_again(
    entry: RunEntry,
    kept: RunEntry,
    results: Mapping[int, Any],
    loaded: dict[str, GeST],
    device: Device | None,
) -> Generator[Progress, None, RunEntry]:
    """Return a run done again.

    Parameters
    ----------
    entry
        The run, on the tissue that is open now.
    kept
        The same as it was kept.
    results
        Generated cells of this replay, by the id of those that were saved.
    loaded
        Models by name.
    device
        Where it computes; None is where it did.
    """
    if entry.partial:
        raise InputError(
            f"'{entry.name}' was cancelled; what it had made cannot be made again.",
            "Open the session and delete this run, or run it to its end.",
        )
    run, load = replace(entry.run), _loader(entry.run.model, loaded)
    if entry.run.model is not None:
        name = entry.run.model.name
        require_same(name, load(name).digest, kept.outcome.model_digest)
    if isinstance(run, NicheRun):
        known = [results.get(id(one)) for one in compared_in(entry.outcome)]
        run = replace(run, generated=tuple(one for one in known if one is not None), embedded=None)
    if isinstance(run, GenerationRun):
        run = replace(run, draws=kept.outcome.n_draws)
    if device is not None:
        run = on_device(run, device)
    run.check()
    made = yield from run.work(load)
    if isinstance(run, NicheRun):
        made = yield from _niches_again(made, kept)
    return replace(entry, run=run, outcome=made)


def compared_in(outcome: NicheOutcome) -> list[Generated]:
    """Return the generated cells that niches were compared with."""
    return [one.generated for one in outcome.search.generated]


def _niches_again(search: NicheSearch, kept: RunEntry) -> Generator[Progress, None, NicheOutcome]:
    """Find the niches that were kept again, and change them as they were."""
    edit = kept.outcome.kept_edit()
    if edit is None:
        raise InputError(
            f"Of '{kept.name}' it is not known which niches were kept.",
            "Open the session, keep them again, and save it.",
        )
    asked, calls = edit[0], edit[1].calls
    found = yield from search.request(*asked).run()
    niches = found
    for call in calls:
        niches = called(niches, call)
    made = NicheOutcome.of(search, 2).asking(asked, found)
    return made.with_edits(asked, (NicheEdit(found), NicheEdit(niches, calls)))


def called(niches: Clustered, call: str) -> Clustered:
    """Return niches after a change that is written as a call, such as ``merged(['a', 'b'])``.

    Raises
    ------
    CheckpointError
        If it is another call than ``renamed``, ``merged`` or ``recolored`` of a literal.
    """
    try:
        tree = ast.parse(call, mode="eval").body
        assert isinstance(tree, ast.Call)
        assert isinstance(tree.func, ast.Name)
        assert tree.func.id in _CALLS
        (given,) = tree.args
        changed: Clustered = getattr(niches, tree.func.id)(ast.literal_eval(given))
    except InputError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"'{call}' is no change of niches ({error or type(error).__name__}).",
            "Open the session, keep the niches again, and save it.",
        ) from error
    return changed


def _loader(info: ModelInfo, loaded: dict[str, GeST]) -> Callable[[str], GeST]:
    """Return what loads the model of a run, each model once."""

    def load(_: str) -> GeST:
        from napari_gest.model.gest import GeST

        if info.load_name not in loaded:
            loaded[info.load_name] = GeST.load(info.load_name)
        return loaded[info.load_name]

    return load
