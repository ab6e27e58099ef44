"""The dock: steps from a file to generated cells, niches and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from weakref import WeakSet

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_gest.app.opened import Opened
from napari_gest.app.state import State
from napari_gest.app.view_state import ViewState
from napari_gest.app.wording import counted
from napari_gest.canvas import gc_pause
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.leaving import close_at_exit
from napari_gest.canvas.undo_keys import UndoKeys
from napari_gest.widgets.color.color_panel import ColorPanel
from napari_gest.widgets.common.controls import Panel, allow, button, note, shortcut
from napari_gest.widgets.common.job_bar import JobBar
from napari_gest.widgets.common.step import Step
from napari_gest.widgets.common.style import style_sheet
from napari_gest.widgets.context import Context
from napari_gest.widgets.generate.run_panel import RunPanel
from napari_gest.widgets.labels.labels_panel import LabelsPanel
from napari_gest.widgets.model.model_panel import ModelPanel
from napari_gest.widgets.niches.niches_panel import NichesPanel
from napari_gest.widgets.open.open_panel import OpenPanel, dropped
from napari_gest.widgets.perturb.perturb_panel import PerturbPanel
from napari_gest.widgets.regions.region_panel import RegionPanel
from napari_gest.widgets.runs.runs_panel import RunsPanel
from napari_gest.widgets.session.session_menu import SessionMenu

if TYPE_CHECKING:
    import napari

OPEN_ALREADY = "GeST is open in this window already, in another dock. You can close this one."
_OPEN = 5  # the steps of the main job; what else one can do waits folded


class Home(QWidget):
    """GeST's dock in a viewer.

    A viewer has one at a time, since each would take the changes of the other for a user's. A
    second one says so, shows the first, and has no panels.

    Parameters
    ----------
    viewer
        The viewer to work in. Sections opened earlier are found again.
    """

    _at_work: ClassVar[WeakSet[Home]] = WeakSet()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._attached = False
        self._window: QWidget | None = None
        self._closing = False
        self.setObjectName("gestHome")
        self.setMinimumWidth(376)  # the panels at their narrowest, beside the scroll bar
        viewer = getattr(viewer, "__wrapped__", viewer)  # docks from napari's menu get a proxy
        first = next((one for one in Home._at_work if one.context.viewer is viewer), None)
        if first is not None:
            column = QVBoxLayout(self)
            column.addWidget(note(OPEN_ALREADY))
            column.addStretch(1)
            first.bring_to_front()
            return
        context = self.context = Context.of(viewer)
        close_at_exit(viewer)
        self._restyle()
        self.job_bar = context.job_bar = JobBar(context)
        self.open_panel = OpenPanel(context)
        self.color_panel = ColorPanel(context)
        self.region_panel = RegionPanel(context)
        self.model_panel = ModelPanel(context)
        self.run_panel = RunPanel(context)
        self.perturb_panel = PerturbPanel(context)
        self.niches_panel = NichesPanel(context)
        self.labels_panel = LabelsPanel(context)
        self.runs_panel = RunsPanel(context)
        panels = {
            "Open tissue": self.open_panel,
            "Colour": self.color_panel,
            "Region to generate": self.region_panel,
            "Model": self.model_panel,
            "Generate": self.run_panel,
            "Perturb": self.perturb_panel,
            "Niches": self.niches_panel,
            "Labels": self.labels_panel,
            "Runs": self.runs_panel,
        }
        self.steps = [
            Step(number, title, panel, open_=number <= _OPEN)
            for number, (title, panel) in enumerate(panels.items(), 1)
        ]
        self.panels: list[Panel] = [*panels.values(), self.job_bar]
        self._in_sight: QWidget = self.steps[0]
        self._had_tissue = context.opened is not None
        self._lay_out()
        self._settled = QTimer(self, singleShot=True, interval=30)  # after the layout has grown
        self._settled.timeout.connect(self._bring_into_sight)
        self._keys = UndoKeys(context.viewer, self.undo, context.redo)
        for keys, slot in (
            ("Ctrl+Z", self.undo),
            ("Ctrl+Shift+Z", context.redo),
            ("Esc", self.job_bar.stop),
        ):
            shortcut(keys, self, slot)
        # One place connects and disconnects, since a closed dock must hear nothing more.
        context.session.changed.connect(self.follow)
        context.jobs.changed.connect(self._on_jobs)
        context.journal.changed.connect(self._allow_undo)
        context.viewer.events.theme.connect(self._restyle)
        self._attached = True
        Home._at_work.add(self)
        self.open_panel.needed.connect(self._show_opening)
        self.run_panel.check.train_wanted.connect(self._show_training)
        self.setAcceptDrops(True)
        for field in self.findChildren(QLineEdit):  # which would take a file for its name
            field.setAcceptDrops(False)
        self._allow_undo()
        self._mark()
        self.session_menu.offer_restore()

    def follow(self, changed: frozenset[str]) -> None:
        """Bring each panel up to date of which an input has changed, once."""
        for panel in self.panels:
            panel.follow(changed)
        if "sections" in changed:
            was_open, self._had_tissue = self._had_tissue, self.context.opened is not None
            if was_open and not self._had_tissue:  # of what was closed the layers are left
                call_later(gc_pause.collect)
            if self._had_tissue != was_open:  # opening is done: make room for what follows
                self.steps[0].set_open(not self._had_tissue)
            if len(self.context.state.sections) > 1:  # one of them is to be chosen
                self.steps[0].set_open(True)
        self._mark()

    def undo(self) -> None:
        """Remove the shape that is being drawn, if one is; else take back the last action."""
        if not self.context.scene.regions.abandon():
            self.context.undo()

    def closeEvent(self, event) -> None:
        """Let go of the viewer."""
        self.detach()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        """Let go of the viewer too when napari takes this out of its dock."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.detach()
        elif event.type() in (QEvent.Type.ParentChange, QEvent.Type.Show):
            self._watch_window()
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let go of the viewer when its window closes: it tells no dock, and Qt deletes all of it.

        A window that is asked to close may refuse; if it does not, it hides next.
        """
        if watched is self._window:
            if event.type() == QEvent.Type.Close:
                if self._attached and not self.session_menu.may_close(watched, event.spontaneous()):
                    event.ignore()
                    return True
                self._closing = True
            if self._closing and not watched.isVisible():
                self._end()
            elif event.type() == QEvent.Type.WindowActivate:
                self._closing = False
        return super().eventFilter(watched, event)

    def bring_to_front(self) -> None:
        """Show the dock that this is in, before others in its place."""
        within = self.parentWidget()
        while within is not None and not isinstance(within, QDockWidget):
            within = within.parentWidget()
        if within is not None:
            within.show()
            within.raise_()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take tissue files, and leave other things to others."""
        if dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open files in the background, as the button does."""
        event.acceptProposedAction()
        self.open_panel.open(dropped(event.mimeData()))

    def detach(self) -> None:
        """Stop the jobs and listen to nothing any more."""
        if not self._attached:
            return
        self._attached = False
        context = self.context
        Home._at_work.discard(self)
        context.jobs.close()
        self.run_panel.result.draws.close_jobs()
        self.perturb_panel.rest()
        self.niches_panel.close_jobs()
        self.run_panel.check.close_jobs()
        context.session.changed.disconnect(self.follow, missing_ok=True)
        context.jobs.changed.disconnect(self._on_jobs, missing_ok=True)
        context.journal.changed.disconnect(self._allow_undo, missing_ok=True)
        self._keys.detach()
        self.session_menu.detach()
        context.painter.detach()
        context.scene.detach()
        context.viewer.events.theme.disconnect(self._restyle)
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def _end(self) -> None:
        """Let go of the viewer and of the session, once the window is closed for certain."""
        if self._attached:
            self.detach()  # so that no job adds to a session that has ended
            self.session_menu.close_session()

    def _watch_window(self) -> None:
        window: QWidget = self
        while window.parentWidget() is not None:  # a dock that floats is a window too
            window = window.parentWidget()
        if self._attached and window is not self and window is not self._window:
            if self._window is not None:
                self._window.removeEventFilter(self)
            self._window = window
            window.installEventFilter(self)

    def _show_opening(self) -> None:
        self._in_sight = self.steps[0]
        self.steps[0].set_open(True)
        self._settled.start()

    def _show_training(self) -> None:
        self.steps[3].set_open(True)
        self.model_panel.more.set_open(True)
        self._in_sight = self.model_panel.train
        self._settled.start()

    def _bring_into_sight(self) -> None:
        self._scroll.ensureWidgetVisible(self._in_sight, 0, 8)

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(style_sheet(light=self.context.viewer.theme == "light"))

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 6, 6)
        column.setSpacing(6)
        for step in self.steps:
            column.addWidget(step)
        column.addStretch(1)
        scroll = self._scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.session_menu = SessionMenu(self.context)
        self.undo_button = button("Undo", self.undo)
        self.redo_button = button("Redo", self.context.redo)
        head = QHBoxLayout()
        head.setContentsMargins(10, 4, 8, 0)
        head.addWidget(self.session_menu)
        head.addStretch(1)
        head.addWidget(self.undo_button)
        head.addWidget(self.redo_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.job_bar)

    def _on_jobs(self) -> None:
        self.follow(frozenset({"jobs"}))
        for step in self.steps:
            if self.job_bar.running(step.panel):
                # Result and buttons are at the end of the step, perhaps below the window.
                self._in_sight = step
                self._settled.start()

    def _allow_undo(self) -> None:
        journal = self.context.journal
        undoes, redoes = journal.undoes, journal.redoes
        nothing = "There is nothing to undo."
        allow(self.undo_button, None if undoes else nothing, f"Undo: {undoes} (Ctrl+Z)")
        again = "There is nothing to do again."
        allow(self.redo_button, None if redoes else again, f"Do again: {redoes} (Ctrl+Shift+Z)")

    def _mark(self) -> None:
        """Show which steps are done and which comes next."""
        context, state = self.context, self.context.state
        opened, view, model = context.opened, state.view, context.model
        fits = (
            model is not None
            and opened is not None
            and (context.registry.why_unusable(model.name, opened.section.genes) is None)
        )
        done = [
            opened is not None,
            view != ViewState(),
            self.region_panel.is_ready,
            fits,
            *(state.shown_run(kind) is not None
              for kind in ("generation", "perturbation", "niches", "labels")),
            any(True for _ in state.listed()),
        ]  # fmt: skip
        preview = context.painter.preview
        notes = [
            _open_note(opened) if opened is not None else "",
            view.gene or view.column or (preview.title if preview is not None else ""),
            state.mask_key or "",
            model.name if model is not None else "",
            _run_note(state, "generation"),
            _run_note(state, "perturbation"),
            _run_note(state, "niches"),
            _run_note(state, "labels"),
            f"{sum(1 for _ in state.listed())}",
        ]
        coming = next((i for i, d in enumerate(done[:_OPEN]) if not d), len(done))
        for index, (step, is_done) in enumerate(zip(self.steps, done, strict=True)):
            is_done = is_done and opened is not None
            word = "done" if is_done else "next" if index == coming else "later"
            step.set_state(word, notes[index] if opened is not None else "")


def _run_note(state: State, kind) -> str:
    """Return in a few words which run of a kind is looked at, and whether it is kept."""
    entry = state.shown_run(kind)
    if entry is None:
        return ""
    return f"{entry.name} · {'kept' if entry.id in state.kept else 'undecided'}"


def _open_note(opened: Opened) -> str:
    """Return what is open, in a line; of how many cells, where generated ones are left out."""
    section = opened.section
    left_out = len(section.generated_um)
    of = f"{section.n_obs:,} of " if left_out else ""
    return f"{of}{counted(section.n_obs + left_out, section)} · {opened.label}"
