"""The dock: steps from a file to generated cells, niches and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFrame, QLabel, QLineEdit, QScrollArea, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_gest.app.session import Opened
from napari_gest.app.view_state import ViewState
from napari_gest.widgets.color.color_panel import ColorPanel
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

if TYPE_CHECKING:
    import napari

_OPEN = 5  # the steps of the main job; what else one can do waits folded


class Home(QWidget):
    """GeST's dock in a viewer.

    Parameters
    ----------
    viewer
        The viewer to work in. Sections opened earlier are found again.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._links: list[tuple] = []
        self._window: QWidget | None = None
        self._closing = False
        self.setObjectName("gestHome")
        self._viewer = viewer
        self.setMinimumWidth(376)  # the panels at their narrowest, beside the scroll bar
        context = self.context = Context.of(viewer)
        self._restyle()
        self.open_panel = OpenPanel(context)
        self.color_panel = ColorPanel(context)
        self.region_panel = RegionPanel(context)
        self.model_panel = ModelPanel(context, self.region_panel)
        self.run_panel = RunPanel(context, self.region_panel)
        self.perturb_panel = PerturbPanel(context)
        self.niches_panel = NichesPanel(context)
        self.labels_panel = LabelsPanel(context)
        panels = {
            "Open tissue": self.open_panel,
            "Colour": self.color_panel,
            "Region to generate": self.region_panel,
            "Model": self.model_panel,
            "Generate": self.run_panel,
            "Perturb": self.perturb_panel,
            "Niches": self.niches_panel,
            "Labels": self.labels_panel,
        }
        self.steps = [
            Step(number, title, panel, open_=number <= _OPEN)
            for number, (title, panel) in enumerate(panels.items(), 1)
        ]
        self._working: list[Step] = []
        self._in_sight = self.steps[0]
        self._had_tissue = False
        self._lay_out()
        # One place connects and disconnects, since a closed dock must hear nothing more.
        self._links = [
            (context.session.changed, self.refresh),
            (context.scene.changed, self.refresh),
            (context.scene.region_changed, self.region_panel.region_changed),
            (context.scene.region_changed, self.perturb_panel.region_changed),
            (context.scene.region_changed, self.labels_panel.region_changed),
            (context.painter.changed, self._on_painted),
            (context.jobs.changed, self._on_jobs),
            (context.chosen, self._on_chosen),
        ]
        for signal, slot in self._links:
            signal.connect(slot)
        viewer.events.theme.connect(self._restyle)
        self.open_panel.needed.connect(self._show_opening)
        self.setAcceptDrops(True)
        for field in self.findChildren(QLineEdit):  # which would take a file for its name
            field.setAcceptDrops(False)
        self.refresh()

    def refresh(self, _changed: object = None) -> None:
        """Bring every step up to date."""
        for step in self.steps:
            step.panel.refresh()
        was_open, self._had_tissue = self._had_tissue, self.context.scene.active is not None
        if self._had_tissue != was_open:  # opening is done: make room for what follows
            self.steps[0].set_open(not self._had_tissue)
        if len(self.context.session.sections) > 1:  # one of them is to be chosen
            self.steps[0].set_open(True)
        self._mark()

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
                self._closing = True
            if self._closing and not watched.isVisible():
                self.detach()
            elif event.type() == QEvent.Type.WindowActivate:
                self._closing = False
        return super().eventFilter(watched, event)

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
        if not self._links:
            return
        self.context.jobs.close()
        self.niches_panel.final.latest.close()
        self.perturb_panel.rest()
        self.niches_panel.rest()
        for signal, slot in self._links:
            signal.disconnect(slot, missing_ok=True)
        self._links = []
        self.context.painter.detach()
        self.context.scene.detach()
        self.context.viewer.events.theme.disconnect(self._restyle)
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def _watch_window(self) -> None:
        window: QWidget = self
        while window.parentWidget() is not None:  # a dock that floats is a window too
            window = window.parentWidget()
        if self._links and window is not self and window is not self._window:
            if self._window is not None:
                self._window.removeEventFilter(self)
            self._window = window
            window.installEventFilter(self)

    def _show_opening(self) -> None:
        self._in_sight = self.steps[0]
        self._in_sight.set_open(True)
        self._bring_into_sight()

    @qdebounced(timeout=30)  # after the layout has grown
    def _bring_into_sight(self) -> None:
        self._scroll.ensureWidgetVisible(self._in_sight, 0, 8)

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(style_sheet(light=self.context.viewer.theme == "light"))

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 6, 6)
        column.setSpacing(6)
        column.addWidget(QLabel("Generate unseen cells of a tissue", objectName="gestHeading"))
        for step in self.steps:
            column.addWidget(step)
        column.addStretch(1)
        scroll = self._scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    def _on_painted(self) -> None:
        self.color_panel.refresh()
        self.run_panel.result.refresh()
        self.perturb_panel.effect.refresh()
        self.niches_panel.refresh()
        self.labels_panel.painted()
        self._mark()

    def _on_jobs(self) -> None:
        self.open_panel.refresh()
        self.model_panel.train.refresh()
        self.run_panel.refresh()
        self.perturb_panel.on_jobs()
        self.niches_panel.refresh()
        self.labels_panel.refresh()
        self._mark()
        working = [step for step in self.steps if getattr(step.panel, "running", False)]
        for step in working or self._working:
            # Progress and result are at the end of the step, perhaps below the window.
            self._in_sight = step
            self._bring_into_sight()
        self._working = working

    def _on_chosen(self) -> None:
        self.niches_panel.keep_generated()
        self.model_panel.refresh()
        self.run_panel.refresh()
        self.perturb_panel.refresh()
        self.niches_panel.refresh()
        self.labels_panel.refresh()
        self._mark()

    def _mark(self) -> None:
        """Show which steps are done and which comes next."""
        context = self.context
        opened, view_state, model = context.scene.active, context.painter.view_state, context.model
        ready = self.region_panel.is_ready
        result = self.run_panel.result.trial
        niches, labels = self.niches_panel, self.labels_panel
        done = [opened is not None, view_state != ViewState(), ready, model is not None,
                result is not None,
                bool(self.perturb_panel.scenarios.effects), niches.niches is not None,
                labels.labelled is not None]  # fmt: skip
        notes = [
            _open_note(opened) if opened is not None else "",
            view_state.gene
            or view_state.column
            or (view_state.preview.title if view_state.preview else ""),
            context.choices.mask_key or "",
            model.name if model is not None else "",
            ("kept" if result.kept else "undecided") if result is not None else "",
            self.perturb_panel.summary,
            niches.summary,
            labels.summary,
        ]
        coming = next((i for i, d in enumerate(done[:_OPEN]) if not d), len(done))
        for index, (step, is_done) in enumerate(zip(self.steps, done, strict=True)):
            is_done = is_done and opened is not None
            state = "done" if is_done else "next" if index == coming else "later"
            step.set_state(state, notes[index] if opened is not None else "")


def _open_note(opened: Opened) -> str:
    """Return what is open, in a line; of how many cells, where generated ones are left out."""
    section = opened.section
    left_out = len(section.generated_um)
    of = f" of {section.n_obs + left_out:,}" if left_out else ""
    return f"{opened.label} · {section.n_obs:,}{of} cells"
