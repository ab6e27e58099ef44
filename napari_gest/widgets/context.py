"""What the panels of one dock share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtWidgets import QWidget

from napari_gest.app.actions import Action
from napari_gest.app.from_file import is_from_file
from napari_gest.app.journal import Journal, journal_of
from napari_gest.app.model_registry import ModelInfo, ModelRegistry
from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.canvas.jobs import Jobs
from napari_gest.canvas.painter import Painter
from napari_gest.canvas.runner import RunFollower
from napari_gest.canvas.scene import Scene
from napari_gest.errors import GestError
from napari_gest.widgets.common.errors import show_error

if TYPE_CHECKING:
    from anndata import AnnData
    from napari import Viewer

    from napari_gest.widgets.common.job_bar import JobBar

# Results by the id of their run and the label of their section. A file keeps nothing in memory.
Kept = dict[tuple[str, str], tuple[ref[Any], ...]]


@dataclass(eq=False)
class Context:
    """The parts behind the panels. Panels read ``state`` and send actions; they keep no copy.

    Attributes
    ----------
    viewer
        The viewer.
    journal
        Takes actions.
    scene, painter
        The canvas.
    registry
        The models there are.
    jobs
        Work in the background, one piece at a time.
    saved
        What was kept and is in a file, by the id of its run and the label of its section.
    job_bar
        Shows it; made by the dock.
    report
        Shows an error, in a dialog by default.
    """

    viewer: Viewer
    journal: Journal
    scene: Scene
    painter: Painter
    registry: ModelRegistry
    jobs: Jobs = field(default_factory=Jobs)
    saved: Kept = field(default_factory=dict)
    job_bar: JobBar = field(init=False)
    report: Callable[[QWidget | None, Exception], object] = show_error

    @classmethod
    def of(cls, viewer: Viewer) -> Context:
        """Return a fresh context on the session of ``viewer``."""
        viewer = getattr(viewer, "__wrapped__", viewer)  # docks from napari's menu get a proxy
        journal = journal_of(viewer)
        registry = ModelRegistry()
        # In this order: layers are there before they are painted, and painted before panels look.
        scene = Scene(viewer, journal, registry)
        return cls(viewer, journal, scene, Painter(scene, registry), registry)

    def note_saved(self, kept: Kept) -> None:
        """Remember what is in a file: what was kept when its writing began."""
        self.saved |= kept

    def unsaved(self) -> list[RunEntry]:
        """Return the runs of which something is kept that is in no file yet."""
        missing = {
            id_
            for (id_, label), results in kept_of(self.state).items()
            if not _are_same(self.saved.get((id_, label), ()), results)
        }
        return [entry for entry in map(self.state.entry, self.state.kept) if entry.id in missing]

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self.journal.session

    @property
    def state(self) -> State:
        """What is open, drawn, chosen, shown and made."""
        return self.journal.session.state

    @property
    def opened(self) -> Opened | None:
        """The section in use."""
        return self.state.opened

    @property
    def model(self) -> ModelInfo | None:
        """The model chosen, if there still is one of its name."""
        return self.registry.models.get(self.state.choices.model or "")

    def why_not(self) -> str | None:
        """Return why nothing can be run on the section in use now, or None."""
        if self.opened is None:
            return "Open tissue first (step 1)."
        if self.jobs.busy:
            return "A job is running."
        return self.registry.why_unusable(self.state.choices.model, self.opened.section.genes)

    def follower(self, run: Any, stop: Callable[[], None] | None = None) -> RunFollower:
        """Return what follows a run from its first report to the list of runs.

        ``stop`` ends its job when its section is closed; by default that of the job bar.
        """
        return RunFollower(run, self.scene, self.painter, stop or self.job_bar.stop)

    def do(self, action: Action, parent: QWidget | None = None) -> bool:
        """Apply an action; report why where it is not possible, and return whether it was."""
        return self._tried(lambda: self.journal.do(action), parent)

    def undo(self, parent: QWidget | None = None) -> None:
        """Take back the last action that can be; report why where it is not possible."""
        self._tried(self.journal.undo, parent)

    def redo(self, parent: QWidget | None = None) -> None:
        """Do again what was taken back last; report why where it is not possible."""
        self._tried(self.journal.redo, parent)

    def _tried(self, change: Callable[[], object], parent: QWidget | None) -> bool:
        try:
            change()
        except GestError as error:
            self.report(parent, error)
            return False
        return True


def kept_of(state: State, adata: AnnData | None = None) -> Kept:
    """Return what is kept, of all sections or of those of one AnnData.

    Of what is in the file of its section already, and of closed sections, nothing is returned.
    """
    kept: Kept = {}
    for entry in map(state.entry, state.kept):
        if is_from_file(entry):
            continue
        for sections, result in entry.outcome.results(state):
            for one in sections:
                if state.sections.get(one.label) is one and (adata is None or one.adata is adata):
                    key = entry.id, one.label
                    kept[key] = (*kept.get(key, ()), ref(result))
    return kept


def _are_same(saved: tuple[ref[Any], ...], kept: tuple[ref[Any], ...]) -> bool:
    pairs = zip(saved, kept, strict=False)
    return len(saved) == len(kept) and all(one() is other() for one, other in pairs)
