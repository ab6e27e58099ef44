"""What tests of saved sessions share: a session that is worked in, and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from anndata import AnnData

from napari_gest.app.actions import (
    Activate,
    AddRun,
    Choose,
    Discard,
    FoundNiches,
    Keep,
    MergeNiches,
    RenameNiche,
    RenameRun,
    SetEdits,
    SetShapes,
    SetStrokes,
    ShowDraw,
    UpdateRun,
)
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.labels import LabelRun
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.runs.perturbation import READOUTS, PerturbationRun
from napari_gest.app.state import EditChoices, State
from napari_gest.tasks.perturbation.significance import SignificanceRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit


@dataclass
class Work:
    """A session that is worked in, without a window."""

    journal: Journal
    model: Any
    info: ModelInfo

    @property
    def state(self) -> State:
        return self.journal.session.state

    def add(self, run: Any, made_of: Callable[[Any], Any] = lambda made: made) -> str:
        """Run something to its end, as the window does; return its id."""
        run.check()
        id_ = self.journal.session.next_id()
        outcome = made_of(finish(run.work(lambda name: self.model)))
        self.journal.do(AddRun.of(RunEntry(id_, run.title, run, outcome, "2026-01-01T00:00:00")))
        return id_

    def keep(self, id_: str) -> str:
        self.journal.do(Keep(id=id_))
        return id_

    def draw_again(self, id_: str, n: int) -> str:
        """Draw the region of a run until there are ``n`` draws, and show the last."""
        entry = self.state.entry(id_)
        parts = finish(entry.run.resume(lambda name: self.model, entry.outcome.result))
        more = tuple(finish(parts.another(number)) for number in range(2, n + 1))
        self.journal.do(ShowDraw(id=id_, draw=n, added=more))
        return id_

    def generate(self, opened: Opened, mode: str, half: float, at: Any = 0.0) -> str:
        """Generate the cells of a square on a section."""
        self.journal.do(Choose.of(mode=mode))
        self.journal.do(SetShapes(role="unseen", shapes=(square(opened, half, at),)))
        return self.add(GenerationRun.of(self.state, self.info))


def square(
    opened: Opened, half: float, at: Any = 0.0, role: Any = "unseen", name: str = ""
) -> Shape:
    """Return a square on a section, away from its middle by ``at``, um."""
    x, y = opened.section.coords_um.mean(0) + at
    left, right, bottom, top = x - half, x + half, y - half, y + half
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    return Shape(role=role, section=opened.label, kind="polygon", corners=corners, name=name)


def ring(opened: Opened, outer: float, inner: float) -> Stroke:
    """Return a stroke over a disc with a hole, in the middle of a section."""
    middle = shapely.Point(*opened.section.coords_um.mean(0))
    return Stroke.of(opened.label, "add", middle.buffer(outer).difference(middle.buffer(inner)))


def do_everything(work: Work, opened: list[Opened]) -> None:
    one, two, three, four = opened
    do = work.journal.do
    first = work.keep(work.generate(one, "weighted", 40))
    drawn = work.draw_again(work.generate(two, "sample", 40), 3)
    work.keep(drawn)
    do(ShowDraw(id=drawn, draw=2))  # the third stays the one that is kept
    x = four.section.coords_um[:, 0]
    edge = np.array([x.max() - x.mean() + 28, 0.0])
    new = work.keep(work.generate(four, "pick", 25, edge))  # no cell is there
    discarded = work.keep(work.generate(three, "pick", 30))
    do(Discard(id=discarded))
    undone = work.keep(work.generate(three, "weighted", 30, 20.0))
    work.journal.undo()
    results = tuple(work.state.entry(i).outcome.result for i in (first, drawn, new, undone))
    search = NicheRun(tuple(opened), work.info, results)
    niches = work.add(search, lambda found: NicheOutcome.of(found, 6))
    request = work.state.entry(niches).outcome.search.request("number", 6)
    do(FoundNiches(id=niches, by="number", value=6, niches=finish(request.run())))
    names = work.state.entry(niches).outcome.niches.names
    do(MergeNiches(id=niches, names=names[:2]))
    do(RenameNiche(id=niches, old=names[3], new="rim"))
    work.journal.undo()
    work.journal.redo()
    work.keep(niches)
    do(RenameRun(id=niches, name="my niches"))
    regions = (square(two, 60, role="named", name="in"), square(two, 40, 90, "named", "out"))
    do(SetShapes(role="named", shapes=regions))
    work.keep(work.add(LabelRun.of_drawn(work.state, work.info, three, (two,))))
    work.keep(work.add(LabelRun(work.info, four, (one, two, three), "gest_niche")))
    do(Activate(label=four.label))
    do(SetStrokes(strokes=(ring(four, 60, 20),)))
    edits = (Edit(four.section.genes[2], "multiply", 3.0),)
    do(SetEdits(edits=EditChoices(genes=edits, readout=list(READOUTS)[1])))
    effect = work.keep(work.add(PerturbationRun.of(work.state, work.info)))
    outcome = work.state.entry(effect).outcome
    tested = finish(SignificanceRequest(outcome.result, 20).run())
    do(UpdateRun(id=effect, outcome=type(outcome)(outcome.run, outcome.result, tested)))
    work.generate(one, "weighted", 20)  # undecided


@dataclass
class Saved:
    """A saved session and what it held.

    Attributes
    ----------
    folder
        Of the session.
    state
        As it was when it was saved.
    files
        Of its tissue.
    """

    folder: Path
    state: State
    files: tuple[Path, ...]


def own_values(adata: AnnData) -> dict[tuple[str, str], Any]:
    """Return what the program has written into an AnnData, as plain arrays."""
    found: dict[tuple[str, str], Any] = {}
    for table in ("obs", "obsm", "layers", "uns"):
        held = getattr(adata, table)
        for key in held:
            if "gest" not in str(key):
                continue
            value = held[key]
            if hasattr(value, "toarray"):
                value = value.toarray()
            if table == "obs":
                value = value.astype(str).to_numpy(str) if value.dtype.kind not in "bif" else value
            found[table, str(key)] = str(value) if table == "uns" else np.asarray(value)
    return found


def same(one: AnnData, other: AnnData) -> None:
    """Raise unless two AnnData hold the same results, bit for bit."""
    mine, theirs = own_values(one), own_values(other)
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        if isinstance(value, str):
            assert value == theirs[key], key
        else:
            np.testing.assert_array_equal(value, theirs[key], err_msg=str(key))
