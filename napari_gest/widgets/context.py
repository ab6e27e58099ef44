"""What the panels of one dock share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    from napari import Viewer

    from napari_gest.widgets.common.job_bar import JobBar


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
        Runs that were kept and are in a file: their ids, and the section of each.
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
    saved: set[tuple[str, str]] = field(default_factory=set)
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

    def note_saved(self, labels: Iterable[str]) -> None:
        """Remember that all that was kept of some sections is in a file."""
        self.saved |= {(id_, label) for id_ in self.state.kept for label in labels}

    def unsaved(self) -> list[RunEntry]:
        """Return the runs that were kept, and are in no file yet."""
        state = self.state
        return [
            entry
            for entry in map(state.entry, state.kept)
            if not is_from_file(entry)
            and any(
                (entry.id, one.label) not in self.saved
                for sections, _ in entry.outcome.results(state)
                for one in sections
                if state.sections.get(one.label) is one  # else it was closed
            )
        ]

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
