"""Step "Labels": learn labels from sections or from drawn regions, and label another one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel

from napari_gest import keys
from napari_gest.app import colors, model_registry
from napari_gest.app.actions import Activate, ChangeView, Discard, Keep
from napari_gest.app.obs_columns import columns
from napari_gest.app.opened import Opened
from napari_gest.app.run_preview import preview_of
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.labels import Labelled, LabelRun
from napari_gest.app.view_state import section_legend
from napari_gest.app.wording import counted
from napari_gest.canvas.runner import CLOSED
from napari_gest.errors import GestError, InputError
from napari_gest.files import make_folder
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import (
    Panel,
    Segments,
    allow,
    button,
    fill,
    note,
    row,
    tooltip,
)
from napari_gest.widgets.context import Context
from napari_gest.widgets.labels.label_facts import label_facts
from napari_gest.widgets.labels.name_tools import NameTools
from napari_gest.widgets.labels.source_list import SourceList

_HELP = (
    "Learns names, such as those of regions, from cells that have them, and gives each cell the"
    " name its surroundings suggest."
)
_DRAWN = "Regions I draw and name"
_COLUMN = "Column: "
_KNOWN = "What the model has learned"
_MOST_LABELS = 60
_VIEWS = {"label": "Label", "confidence": "Confidence"}
_BUSY = "Wait until the present job has ended."


class LabelsPanel(Panel):
    """Trains a label layer, applies it, and shows labels and confidence."""

    inputs = frozenset({"sections", "active", "shapes", "choices", "view", "runs", "kept",
                        "shown", "jobs"})  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        # What is set for the next run, where it is still possible.
        self._choice: str | None = None
        self._from: tuple[str, ...] = ()
        self._to: str | None = None

        self.help = note(_HELP)
        self.source = _combo("What to learn from", self._pick_source)
        self.from_sections = SourceList()
        self.from_sections.ticked.connect(self._pick_from)
        self.to_section = _combo("Section to label", self._pick_to)
        self.from_text, self.to_text = QLabel("Learn on"), QLabel("Label")
        self.names = NameTools(context)
        self.run = button("Train and label", self.start, primary=True)
        self.views = Segments(_VIEWS)
        self.views.picked.connect(self.show_view)
        self.legend = LegendView()
        self.legend.hidden_changed.connect(
            lambda hidden: context.do(ChangeView.of(hidden=hidden), self)
        )
        self.facts = note(name="gestFacts")
        self.keep_button = button("Keep", self.keep, primary=True)
        self.discard_button = button("Discard", self.discard)
        self.save_button = button("Save model…", self._choose_folder)
        self.copy_button = button("Copy as Python", self.copy, "Code that gives the same labels")
        self.column.addWidget(self.help)
        self.column.addWidget(self.source)
        self.column.addWidget(self.from_text)
        self.column.addWidget(self.from_sections)
        self.column.addLayout(row(self.to_text, self.to_section, stretch=1))
        self.column.addWidget(self.names)
        self.column.addWidget(self.run)
        self.result = Panel()
        for widget in (self.views, self.legend, self.facts):
            self.result.column.addWidget(widget)
        self.result.column.addLayout(row(self.keep_button, self.discard_button))
        self.result.column.addLayout(row(self.save_button, self.copy_button))
        self.column.addWidget(self.result)
        self.refresh()

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("labels")

    @property
    def labelled(self) -> Labelled | None:
        """What came of it."""
        return None if self.entry is None else self.entry.outcome

    def start(self) -> None:
        """Train on what is chosen, and label."""
        if self.why_not() is not None:
            return
        context = self.context
        try:
            run = self.asked()
            run.check()
        except GestError as error:
            context.report(self, error)
            return
        follower = context.follower(run)

        def done(labelled: Labelled) -> None:
            context.do(Activate(label=run.target.label), self)
            entry = follower.on_done(labelled)
            n = counted(len(labelled.annotated.labels), run.target.section)
            said = f"{n} labelled. Keep the labels, or discard them."
            context.job_bar.say(CLOSED if entry is None else said)

        context.job_bar.start(
            lambda: run.work(context.registry.load),
            done,
            owner=self,
            on_tick=follower.on_tick,
            on_cancelled=follower.why_cancelled,
        )

    def asked(self) -> LabelRun:
        """Return the run that is asked for.

        Raises
        ------
        InputError
            If a drawn region has no name.
        """
        state, model = self.context.state, self.context.model
        target = state.sections[self._to]
        sources = tuple(state.sections[label] for label in self._from)
        if self._choice == _KNOWN:
            return LabelRun(model, target)
        if self._choice == _DRAWN:
            return LabelRun.of_drawn(state, model, target, sources)
        return LabelRun(model, target, sources, self._choice.removeprefix(_COLUMN))

    def why_not(self) -> str | None:
        """Return why labelling is not possible now, or None."""
        context, state = self.context, self.context.state
        why_not = context.why_not()
        if context.opened is None or context.jobs.busy:
            return why_not
        if self._choice == _DRAWN and self.names.why_not is not None:
            return self.names.why_not
        used = {self._to} if self._choice == _KNOWN else {*self._from, self._to}
        for label in used:
            genes = state.sections[label].section.genes
            no_use = context.registry.why_unusable(state.choices.model, genes)
            if no_use is not None:
                return no_use
        return None

    def show_view(self, view: str) -> None:
        """Colour the section by label, or by confidence."""
        if self.entry is not None:
            changes = {"hidden": frozenset(), "value_limits": None}
            of_run = (self.entry.id, view)
            self.context.do(ChangeView.of(of_run=of_run, **changes), self)

    def keep(self) -> None:
        """Write labels and their confidence into the open tissue (never into X)."""
        entry = self.entry
        if entry is None or entry.id in self.context.state.kept:
            return
        if self.context.do(Keep(id=entry.id), self):
            self.context.job_bar.say(
                f"Kept in obs['{keys.LABEL}'] and obs['{keys.LABEL_CONFIDENCE}']."
            )

    def discard(self) -> None:
        """Throw the labels away, out of the open tissue too where they were kept."""
        if self.entry is not None:
            self.context.do(Discard(id=self.entry.id), self)

    def save_model(self, folder: Path) -> None:
        """Write the model with its label layer, and put it on the list."""
        context, model = self.context, self.labelled.model

        def work() -> Generator[Progress, None, Path]:
            yield Progress(f"Saving {folder.name}", 0, 1)
            from napari_gest.tasks.labels.annotate import renamed

            return renamed(model, folder.name).save(folder)

        def done(saved: Path) -> None:
            info = context.registry.add(Path(saved))
            context.job_bar.say(f"'{info.name}' is on the list of step 4. It lies in {folder}.")

        context.job_bar.start(work, done, owner=self)

    def copy(self) -> None:
        """Put the public function calls that give the same labels on the clipboard."""
        if self.labelled is not None:
            QGuiApplication.clipboard().setText(self.labelled.run.script())

    def refresh(self) -> None:
        """Show the choices for what is open, and the run that is looked at."""
        state, entry, active = self.context.state, self.entry, self.context.opened
        self.help.setVisible(entry is None)
        for widget in (self.source, self.names):
            widget.setEnabled(active is not None)
        self._offer(active)
        known, drawn = self._choice == _KNOWN, self._choice == _DRAWN
        several = len(state.sections) > 1
        for widget in (self.from_text, self.from_sections):
            widget.setVisible(several and not known)
        for widget in (self.to_text, self.to_section):
            widget.setVisible(several)
        self.source.setVisible(active is not None)
        self.names.setVisible(drawn)
        self.names.sections = self._from
        self.names.refresh()
        self.run.setText("Label" if known else "Train and label")
        allow(self.run, self.why_not(), "Learn the names and name every cell")
        self.result.setVisible(entry is not None)
        if entry is not None:
            self._show(entry)

    def _show(self, entry: RunEntry) -> None:
        state, labelled = self.context.state, entry.outcome
        self.facts.setText(label_facts(labelled, why_stale(entry, state)))
        of_run = state.view.of_run
        shown = of_run is not None and of_run[0] == entry.id
        self.views.set_current(of_run[1] if shown else None)
        self.legend.setVisible(shown)
        if shown:  # whichever section is in use
            space, preview = self.context.painter.normalization, preview_of(state)
            legend = section_legend(state.view, labelled.run.target, space, preview)
            self.legend.show_legend(legend, state.view.hidden)
        busy = _BUSY if self.context.jobs.busy else None
        kept = "These labels are kept already." if entry.id in state.kept else None
        allow(self.keep_button, busy or kept, f"Write obs['{keys.LABEL}'] and its confidence")
        allow(self.discard_button, busy, "Remove these labels, also where they were kept")
        held = None if labelled.run.sources else "This model is saved already."
        if labelled.model is None:
            held = "What it learned was not stored with the session: train again, then save."
        allow(self.save_button, busy or held, "Save the model with what it learned, as a folder")

    def _offer(self, active: Opened | None) -> None:
        """List what can be learned and labelled; what was chosen stays where it still can be."""
        sections, model = self.context.state.sections, self.context.model
        if active is None:
            self._choice, self._from, self._to = None, (), None
            self.source.clear()
            return
        self._from = tuple(s for s in sections if s in self._from) or (active.label,)
        if self._to not in sections:
            self._to = active.label
        sources = [sections[label] for label in self._from]
        offered = [f"{_COLUMN}{c}" for c in _label_columns(sources)]
        items = [*offered, _DRAWN]
        if model is not None and model.labels:
            items.insert(0, _KNOWN)
        if self._choice not in items:
            likely = [i for i in offered if "region" in i.lower() or "domain" in i.lower()]
            self._choice = (likely or items)[0]
        fill(self.source, items, self._choice)
        self.from_sections.show_sections(list(sections), self._from)
        fill(self.to_section, list(sections), self._to)
        self.source.setToolTip(
            tooltip(", ".join(model.labels))
            if self._choice == _KNOWN
            else "Cells without a name are ignored"
        )

    def _pick_source(self, choice: str) -> None:
        self._choice = choice
        self.refresh()

    def _pick_from(self, labels: tuple[str, ...]) -> None:
        self._from = labels
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


def _label_columns(sources: list[Opened]) -> list[str]:
    """Return the obs columns that name cells of all of some sections."""
    first, *others = ([c for c in columns(one) if _is_labels(one, c)] for one in sources)
    return [c for c in first if all(c in own for own in others)]


def _is_labels(opened: Opened, column: str) -> bool:
    return (
        colors.is_categorical(opened.adata.obs[column])
        and not column.startswith("gest_generated")
        and 2 <= opened.n_names(column) <= _MOST_LABELS
    )


def _combo(name: str, picked: Callable[[str], None]) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.textActivated.connect(picked)
    return box
