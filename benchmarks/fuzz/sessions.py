"""A valid session with every kind of run, the same bytes each time; it holds no absolute path."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from napari_gest.app.actions import (
    AddRun,
    FoundNiches,
    Keep,
    MergeNiches,
    OpenSections,
    RenameRun,
    SetEdits,
    SetShapes,
    SetStrokes,
)
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.labels import LabelRun
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.session import Session
from napari_gest.app.state import EditChoices
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue

SESSION = "session.gest"
_HERE = "<base>"  # placeholder for the folder of the valid inputs


def build(folder: Path, model: GeST) -> None:
    """Write the session into the folder of valid inputs, beside its tissue and model."""
    tissue, info = folder / "plain.h5ad", ModelInfo.read(folder / "model")
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, folder / "autosaved")
    opened = open_sections(read_tissue(tissue), tissue)
    one, two = opened
    do, session = journal.do, journal.session
    do(OpenSections.of(opened, session.state))

    def keep(run: Any, made_of: Any = lambda made: made) -> str:
        outcome = made_of(finish(run.work(lambda name: model)))
        id_ = session.next_id()
        do(AddRun.of(RunEntry(id_, run.title, run, outcome, "2026-01-01T00:00:00")))
        do(Keep(id=id_))
        return id_

    x, y = one.section.coords_um.mean(0)
    corners = ((x - 40, y - 40), (x + 40, y - 40), (x + 40, y + 40), (x - 40, y + 40))
    do(SetShapes(role="unseen", shapes=(
        Shape(role="unseen", section=one.label, kind="ellipse", corners=corners),
    )))  # fmt: skip
    first = keep(GenerationRun.of(session.state, info))
    do(RenameRun(id=first, name="mine"))
    results = (session.state.entry(first).outcome.result,)
    niches = keep(NicheRun(tuple(opened), info, results), lambda found: NicheOutcome.of(found, 3))
    request = session.state.entry(niches).outcome.search.request("number", 3)
    do(FoundNiches(id=niches, by="number", value=3, niches=finish(request.run())))
    do(MergeNiches(id=niches, names=("niche 1", "niche 2")))
    do(Keep(id=niches))
    keep(LabelRun(info, two, (one,), "region"))
    hole = f"({x - 5} {y - 5}, {x - 5} {y + 5}, {x + 5} {y + 5}, {x - 5} {y - 5})"
    ring = ", ".join(f"{a} {b}" for a, b in (*corners, corners[0]))
    do(SetStrokes(strokes=(
        Stroke(section=one.label, mode="add", wkt=f"POLYGON (({ring}), {hole})"),
    )))  # fmt: skip
    edits = (Edit(one.section.genes[2], "set", 60.0),)
    do(SetEdits(edits=EditChoices(genes=edits)))
    keep(PerturbationRun.of(session.state, info))
    journal.undo()
    journal.redo()
    finish(log.copying(folder / SESSION))
    log.close()
    shutil.rmtree(folder / "autosaved")
    _replace(folder / SESSION, str(folder), _HERE)


def copy(base: Path, target: Path) -> None:
    """Copy the session; it names the tissue and the model that lie at ``base``."""
    shutil.copytree(base / SESSION, target)
    _replace(target, _HERE, str(base))


def change_arrays(path: Path, rng: np.random.Generator) -> str:
    """Damage one array of a result; returns a description."""
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    if not arrays:
        return "no arrays"
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    array = arrays[name]
    ways = {
        "lost": lambda: None,
        "shorter": lambda: array[:-1],
        "longer": lambda: np.concatenate([array, array[:1]]),
        "turned": lambda: array.T,
        "flat": lambda: array.ravel(),
        "one more axis": lambda: array[None],
        "a scalar": lambda: array.ravel()[0] if array.size else np.float64(0),
        "text": lambda: array.astype(str),
        "of objects": lambda: array.astype(object),
        "missing": lambda: np.full(array.shape, np.nan),
        "infinite": lambda: np.full(array.shape, np.inf).astype(np.float32),
        "far": lambda: array + array.dtype.type(100) if array.dtype.kind in "if" else array,
        "negative": lambda: -array if array.dtype.kind in "if" else array,
        "other numbers": lambda: array.astype("f8" if array.dtype.kind != "f" else "i8"),
        "swapped bytes": lambda: array.astype(array.dtype.newbyteorder()),
        "empty": lambda: array[:0],
        "the same": lambda: array,
    }
    what = sorted(ways)[int(rng.integers(len(ways)))]
    with np.errstate(all="ignore"):
        made = ways[what]()
    arrays.pop(name)
    if made is not None:
        arrays[name] = np.asarray(made)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return f"{name} {what}"


def _replace(folder: Path, old: str, new: str) -> None:
    for path in (folder / "journal.jsonl", *sorted(folder.rglob("result.json"))):
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
