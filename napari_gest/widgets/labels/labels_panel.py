"""Step "Labels": learn labels from one section or from drawn regions, and label another."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pandas as pd
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_gest import keys
from napari_gest.app import colors, model_registry
from napari_gest.app.preview import Preview
from napari_gest.app.runs.labels import Labelled, LabelPlan
from napari_gest.app.session import Opened
from napari_gest.canvas.named_regions import named_regions
from napari_gest.errors import GestError, InputError
from napari_gest.files import make_folder
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.color.color_panel import columns
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import (
    Panel,
    Segments,
    allow,
    button,
    combo,
    fill,
    note,
    row,
    tooltip,
)
from napari_gest.widgets.common.job_bar import JobBar
from napari_gest.widgets.context import Context
from napari_gest.widgets.labels.name_tools import NameTools
from napari_gest.widgets.model.model_panel import problem

_HELP = (
    "Learns names, such as those of regions, from cells that have them, and gives each cell the"
    " name its surroundings suggest."
)
_DRAWN = "Regions I draw and name"
_COLUMN = "Column: "
_KNOWN = "What the model has learned"
_MOST_LABELS = 60
_UNSURE = 0.5
_VIEWS = {"label": "Label", "confidence": "Confidence"}


class LabelsPanel(Panel):
    """Trains a label layer, applies it, and shows labels and confidence."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.labelled: Labelled | None = None
        self.kept = False
        self._choice: str | None = None
        self._from: str | None = None
        self._to: str | None = None
        self._previews: dict[str, Preview] = {}
        self._view = "label"

        self.help = note(_HELP)
        self.source = combo("What to learn from", self._pick_source)
        self.from_section = combo("Section to learn from", self._pick_from)
        self.to_section = combo("Section to label", self._pick_to)
        self.from_text, self.to_text = QLabel("Learn on"), QLabel("Label")
        self.names = NameTools(context)
        self.job = JobBar(context)
        self.run = button("Train and label", self.start, primary=True)
        self.views = Segments(_VIEWS)
        self.views.picked.connect(self.show_view)
        self.legend = LegendView()
        self.legend.hidden_changed.connect(lambda hidden: context.painter.show(hidden=hidden))
        self.facts = note(name="gestFacts")
        self.keep_button = button("Keep", self.keep, primary=True)
        self.save_button = button("Save model…", self._choose_folder)
        self.copy_button = button("Copy as Python", self.copy, "Code that gives the same labels")
        self.column.addWidget(self.help)
        self.column.addWidget(self.source)
        self.column.addLayout(row(self.from_text, self.from_section, stretch=1))
        self.column.addLayout(row(self.to_text, self.to_section, stretch=1))
        self.column.addWidget(self.names)
        self.column.addLayout(row(self.run, self.job.cancel))
        self.column.addWidget(self.job)
        self.result = Panel()
        for widget in (self.views, self.legend, self.facts):
            self.result.column.addWidget(widget)
        self.result.column.addLayout(row(self.keep_button, self.save_button, self.copy_button))
        self.column.addWidget(self.result)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether a job of this panel is at work."""
        return self.job.running

    @property
    def summary(self) -> str:
        """What was found, in a few words."""
        if self.labelled is None:
            return ""
        n = f"{len(self.labelled.annotated.classes)} labels"
        return f"{n} · {'kept' if self.kept else 'undecided'}"

    def start(self) -> None:
        """Train on what is chosen, and label."""
        if self.why_not() is not None:
            return
        try:
            plan = self.plan()
            if plan.source is not None:
                plan.labels()
        except GestError as error:
            self.context.report(self, error)
            return
        self.job.start(lambda: plan.work(self.context.registry.load), self._on_labelled)

    def plan(self) -> LabelPlan:
        """Return what is asked for.

        Raises
        ------
        InputError
            If a drawn region has no name.
        """
        source, target = self._opened(self._from), self._opened(self._to)
        model = self.context.model
        if self._choice == _KNOWN:
            return LabelPlan(model, target)
        if self._choice == _DRAWN:
            cells = self.context.scene.cells()[source.label]
            regions = named_regions(self.context.scene, cells)
            return LabelPlan(model, target, source, regions=regions)
        return LabelPlan(model, target, source, self._choice.removeprefix(_COLUMN))

    def why_not(self) -> str | None:
        """Return why labelling is not possible now, or None."""
        if self.context.scene.active is None:
            return "Open tissue first (step 1)."
        if self.context.jobs.busy:
            return "A job is running."
        if self._choice == _DRAWN and not self.names.count:
            return "Draw regions of two names at least."
        ends = {self._to} if self._choice == _KNOWN else {self._from, self._to}
        for label in ends:
            why_not = problem(self.context.model, self._opened(label).section.genes)
            if why_not is not None:
                return why_not
        return None

    def show_view(self, view: str) -> None:
        """Colour the section by label, or by confidence."""
        self._view = view
        self.views.set_current(view)
        self.context.painter.show(
            preview=self._previews[view], hidden=frozenset(), value_limits=None
        )

    def keep(self) -> None:
        """Write labels and their confidence into the open tissue (never into X)."""
        if self.labelled is None or self.kept:
            return
        session = self.context.session
        self.kept = True  # before the session tells everyone
        session.commit(session.snapshot(self.labelled.plan.target.label), self.labelled.annotated)
        self.job.say(f"Kept in obs['{keys.LABEL}'] and obs['{keys.LABEL_CONFIDENCE}'].")
        self.context.chosen.emit()

    def save_model(self, folder: Path) -> None:
        """Write the model with its label layer, and put it on the list."""
        model = self.labelled.model

        def work() -> Generator[Progress, None, Path]:
            yield Progress(f"Saving {folder.name}", 0, 1)
            from napari_gest.tasks.labels.annotate import renamed

            return renamed(model, folder.name).save(folder)

        def done(saved: Path) -> None:
            info = self.context.registry.add(Path(saved))
            self.job.say(f"'{info.name}' is on the list of step 4. It lies in {folder}.")
            self.context.chosen.emit()

        self.job.start(work, done)

    def copy(self) -> None:
        """Put the public function calls that give the same labels on the clipboard."""
        if self.labelled is not None:
            QGuiApplication.clipboard().setText(self.labelled.plan.script())

    def region_changed(self) -> None:
        """Count drawn regions again."""
        self.names.refresh()
        self._allow()

    def refresh(self) -> None:
        """Show the choices for what is open; forget labels of a section that was closed."""
        session, active = self.context.session, self.context.scene.active
        if self.labelled is not None:
            target = self.labelled.plan.target
            if session.sections.get(target.label) is not target:
                self._forget()
        self.help.setVisible(self.labelled is None)
        for widget in (self.source, self.names):
            widget.setEnabled(active is not None)
        if active is None:
            self._choice = self._from = self._to = None
            self.source.clear()
            self.job.say("Open tissue first (step 1).")
        else:
            if self.job.message.text() == "Open tissue first (step 1).":
                self.job.say("")
            self._offer(active)
        known, drawn = self._choice == _KNOWN, self._choice == _DRAWN
        several = len(session.sections) > 1
        for widget in (self.from_text, self.from_section):
            widget.setVisible(several and not known)
        for widget in (self.to_text, self.to_section):
            widget.setVisible(several)
        self.source.setVisible(active is not None)
        self.names.setVisible(drawn)
        self.names.refresh()
        self.run.setText("Label" if known else "Train and label")
        self.job.refresh()
        self._allow()
        self.result.setVisible(self.labelled is not None)
        self.painted()

    def _allow(self) -> None:
        allow(self.run, self.why_not(), "Learn the names and name every cell")
        if self.labelled is None:
            return
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        kept = "These labels are kept already." if self.kept else None
        allow(self.keep_button, busy or kept, f"Write obs['{keys.LABEL}'] and its confidence")
        old = None if self.labelled.plan.source else "This model is saved already."
        allow(self.save_button, busy or old, "Save the model with what it learned, as a folder")

    def _offer(self, active: Opened) -> None:
        sections = self.context.session.sections
        if self._from not in sections:
            self._from = active.label
        if self._to not in sections:
            self._to = active.label
        source = self._opened(self._from)
        offered = [f"{_COLUMN}{c}" for c in columns(source) if _is_labels(source, c)]
        items = [*offered, _DRAWN]
        model = self.context.model
        if model is not None and model.labels:
            items.insert(0, _KNOWN)
        if self._choice not in items:
            likely = [i for i in offered if "region" in i.lower() or "domain" in i.lower()]
            self._choice = (likely or items)[0]
        fill(self.source, items, self._choice)
        fill(self.from_section, list(sections), self._from)
        fill(self.to_section, list(sections), self._to)
        self.source.setToolTip(
            tooltip(", ".join(model.labels))
            if self._choice == _KNOWN
            else "Cells without a name are ignored"
        )
        self.names.section = self._from

    def painted(self) -> None:
        """Explain the colours while they are on the canvas."""
        preview = self._previews.get(self._view)
        shown = preview is not None and self.context.painter.view_state.preview is preview
        self.legend.setVisible(shown)
        if not shown:
            return
        scene = self.context.scene
        if scene.active is self.labelled.plan.target:
            self.legend.show_legend(
                self.context.painter.legend, self.context.painter.view_state.hidden
            )

    def _on_labelled(self, labelled: Labelled) -> None:
        self.labelled, self.kept = labelled, False
        made, label = labelled.annotated, labelled.plan.target.label
        rgba = _colors(labelled)
        self._previews = {
            "label": Preview("labels", {label: colors.Categories(made.classes, rgba, made.labels)}),
            "confidence": Preview("confidence of labels", {label: made.confidence}),
        }
        self.facts.setText(facts(labelled))
        self.job.say("")
        self.context.scene.activate(label)
        self.show_view("label")
        self.refresh()

    def _forget(self) -> None:
        if self.context.painter.view_state.preview in self._previews.values():
            self.context.painter.show(preview=None)
        self.labelled, self.kept, self._previews = None, False, {}

    def _opened(self, label: str | None) -> Opened | None:
        return self.context.session.sections.get(label or "")

    def _pick_source(self, choice: str) -> None:
        self._choice = choice
        self.refresh()

    def _pick_from(self, label: str) -> None:
        self._from = label
        self.refresh()

    def _pick_to(self, label: str) -> None:
        self._to = label
        self.refresh()

    def _choose_folder(self) -> None:
        make_folder(model_registry.TRAINED_HERE)
        start = str(model_registry.TRAINED_HERE / f"{self.labelled.model.name}-labels")
        path, _ = QFileDialog.getSaveFileName(self, "Save the model as a folder", start)
        if not path:
            return
        if Path(path).exists():
            error = InputError(f"There is a '{Path(path).name}' already.", "Type another name.")
            self.context.report(self, error)
            return
        self.save_model(Path(path))


def facts(labelled: Labelled) -> str:
    """Return in words how sure the labels are, and how they agree with known ones."""
    confidence = labelled.annotated.confidence
    unsure = int((confidence < _UNSURE).sum())
    text = f"{len(confidence):,} cells labelled, mean confidence {confidence.mean():.2f}"
    text += f", {unsure:,} below {_UNSURE}." if unsure else "."
    agreement = labelled.agreement
    if agreement is not None:
        text += (
            f" Macro-F1 {agreement.macro_f1:.3f} on the {agreement.n_cells:,} cells whose"
            f" '{labelled.plan.column}' is known; they were not learned from."
        )
    elif labelled.plan.source is labelled.plan.target:
        text += " Learned from cells of this section: its confidence there is no test."
    return text


def _colors(labelled: Labelled):
    """Return (C, 4) colours: those that the column learned from has, where it has any."""
    plan, names = labelled.plan, labelled.annotated.classes
    own = colors.categories(pd.Series(pd.Categorical(names, names)))
    if plan.column is None:
        return own.colors
    stored = plan.source.adata.uns.get(f"{plan.column}_colors")
    column = colors.categories(plan.source.adata.obs[plan.column], stored)
    of_name = dict(zip(column.names, column.colors, strict=True))
    rgba = own.colors.copy()
    for index, name in enumerate(names):
        rgba[index] = of_name.get(name, rgba[index])
    return rgba


def _is_labels(opened: Opened, column: str) -> bool:
    return (
        colors.is_categorical(opened.adata.obs[column])
        and not column.startswith("gest_generated")
        and 2 <= opened.n_names(column) <= _MOST_LABELS
    )
