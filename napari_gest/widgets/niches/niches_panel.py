"""Step "Niches": find niches, choose how many, name them, see what they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QMenu, QPushButton, QWidget
from superqt import QLabeledSlider
from superqt.utils import qdebounced

from napari_gest import keys
from napari_gest.app.actions import AskNiches, ChangeView, Discard, Keep
from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.niche_outcome import Asked, NicheOutcome
from napari_gest.app.runs.niches import NicheRun, NicheSearch
from napari_gest.app.wording import counted
from napari_gest.canvas.runner import CLOSED
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.common.saving import choose_file, save_opened
from napari_gest.widgets.context import Context
from napari_gest.widgets.niches.compare_kept import KeptCells
from napari_gest.widgets.niches.final_niches import FinalNiches
from napari_gest.widgets.niches.niche_pages import CompositionPage, MarkerPage
from napari_gest.widgets.niches.niche_tools import PREVIEW, NicheFacts, NicheLegend
from napari_gest.widgets.niches.save_niches import draw_boundaries, replaces_others, save_table

if TYPE_CHECKING:
    from napari_gest.tasks.niches.niches import Clustered

_HELP = (
    "A niche is a kind of surroundings. The model (step 4) reads those of every cell; alike ones"
    " get one colour. Nothing is drawn or marked beforehand."
)
_BY = {"number": "By number", "resolution": "By resolution"}
_PAGES = {"legend": "Legend", "composition": "Composition", "markers": "Marker genes"}
_FIRST = 8  # niches
_SLIDER_WAIT_MS = 30
_BUSY = "Wait until the present job has ended."


class NichesPanel(Panel):
    """Finds niches in the background.

    The slider shows a cut of a tree at once. Once it rests, the niches of that number themselves,
    those of ``cluster_niches`` and of the command line, are found and take the place of the cut.
    """

    inputs = frozenset({"sections", "active", "choices", "view", "runs", "kept", "shown", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._kept_cells = KeptCells(context, self)
        self._asked: Asked | None = None  # what the controls show
        self._moving = False  # the slider has not come to rest
        self._page = "legend"

        self.help = note(_HELP)
        self.find = button("Find niches", self.start, primary=True)
        self.together = QCheckBox("All open sections together")
        self.together.setChecked(True)
        self.together.setToolTip("A niche has the same colour and name in all of them")
        self.together.toggled.connect(lambda _: self.refresh())
        self.number = QLabeledSlider(Qt.Orientation.Horizontal)
        self.number.setAccessibleName("Number of niches")
        self.number.valueChanged.connect(self._on_moved)
        self.by = Segments(_BY)
        self.by.picked.connect(self._choose_by)
        self.resolution = QDoubleSpinBox()
        self.resolution.setAccessibleName("Resolution")
        self.resolution.setRange(0.05, 10.0)
        self.resolution.setSingleStep(0.1)
        self.resolution.setValue(1.0)
        self.resolution.setToolTip("A higher one gives more niches")
        self.cluster_button = button("Cluster", lambda: self.cluster(self.resolution.value()))
        self.final = FinalNiches(context)
        self.pages = Segments(_PAGES)
        self.pages.picked.connect(self._turn)
        self.legend = NicheLegend(context)
        self.composition = CompositionPage()
        self.markers = MarkerPage(context)
        self.facts = NicheFacts()
        self.show_button = button("Colour by niches", self.show_niches, "Show the niches again")
        self.keep_button = button("Keep", self.keep, primary=True)
        self.discard_button = button("Discard", self.discard)
        self.boundary_button = button("Boundaries", self.draw_boundaries)
        self.copy_button = button("Copy as Python", self.copy, "Code that gives the same niches")
        self.files = QMenu(self)
        self.files.addAction("Table of niches (.csv)…", self._choose_table)
        self.tissue_action = self.files.addAction(
            "Tissue with niches (.h5ad)…", self._choose_tissue
        )
        self.files.setToolTipsVisible(True)
        self.save_button = QPushButton("Save")
        self.save_button.setMenu(self.files)
        self._lay_out()
        self.refresh()

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("niches")

    @property
    def outcome(self) -> NicheOutcome | None:
        """What is shown of it."""
        return None if self.entry is None else self.entry.outcome

    @property
    def niches(self) -> Clustered | None:
        """The niches shown."""
        return None if self.outcome is None else self.outcome.niches

    def start(self) -> None:
        """Embed what has not been embedded, and find niches."""
        if self.why_not() is not None:
            return
        context = self.context
        run = NicheRun.of(context.state, context.model, self._sections())
        try:
            run.check()
        except GestError as error:
            context.report(self, error)
            return
        follower = context.follower(run)

        def done(search: NicheSearch) -> None:
            first = min(_FIRST, search.tree.n_leaves)
            entry = follower.on_done(NicheOutcome.of(search, first))
            n = counted(sum(o.section.n_obs for o in run.opened), run.opened[0].section)
            embedded = f"{n} embedded. Move the slider; nothing is embedded again."
            context.job_bar.say(CLOSED if entry is None else embedded)

        context.job_bar.start(
            lambda: run.work(context.registry.load),
            done,
            owner=self,
            on_tick=follower.on_tick,
            on_cancelled=follower.why_cancelled,
        )

    def ask(self, by: str, value: float) -> None:
        """Show as many niches; what was renamed, merged or recoloured there is still so.

        Where those of a number were not found yet, a cut of the tree is shown until they are.
        """
        if self.entry is not None:
            self.context.do(AskNiches(id=self.entry.id, by=by, value=value), self)

    def cluster(self, resolution: float) -> None:
        """Find niches at a resolution (Leiden), in the background; nothing is embedded again."""
        if self.entry is None:
            return
        id_, outcome = self.entry.id, self.entry.outcome
        if ("resolution", resolution) in outcome.edits:
            self.ask("resolution", resolution)
            return
        request = outcome.search.request("resolution", resolution)
        try:
            request.check()
        except GestError as error:
            self.context.report(self, error)
            return

        def show(niches: Clustered) -> None:
            asking = AskNiches(id=id_, by="resolution", value=resolution, found=niches)
            if self.context.do(asking, self):
                said = f"{niches.n_niches} niches at resolution {resolution:g}."
                self.context.job_bar.say(said)

        self.context.job_bar.start(request.run, show, owner=self)

    def show_niches(self) -> None:
        """Colour the cells by niche."""
        if self.entry is not None:
            of_run = (self.entry.id, "niches")
            self.context.do(ChangeView.of(of_run=of_run, hidden=frozenset()), self)

    def keep(self) -> None:
        """Write niches, their colours and embeddings into the open tissue (never into X)."""
        if self.entry is None or self.outcome.is_preview:
            return
        replaced = replaces_others(self.outcome)
        if self.context.do(Keep(id=self.entry.id), self):
            text = f"Kept in obs['{keys.NICHE}']."
            if replaced:
                text += " Niches kept earlier for other sections of the file were replaced."
            self.context.job_bar.say(text)

    def discard(self) -> None:
        """Throw the niches away, out of the open tissue too where they were kept."""
        if self.entry is not None:
            self.context.do(Discard(id=self.entry.id), self)

    def save_table(self, path: Path, overwrite: bool = False) -> None:
        """Write a row for each niche as csv, in the background."""
        if self.outcome is not None:
            column = self.composition.likely(self.outcome.search)
            save_table(self.context, self, self.outcome, column, path, overwrite)

    def save_tissue(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        save_opened(self.context, self, self.context.opened, path, overwrite)

    def draw_boundaries(self) -> None:
        """Draw lines around the niches, in a Shapes layer."""
        if self.outcome is not None:
            draw_boundaries(self.context, self, self.outcome)

    def copy(self) -> None:
        """Put the public function calls that give the same niches on the clipboard."""
        if self.outcome is not None:
            QGuiApplication.clipboard().setText(self.outcome.script())

    def why_not(self) -> str | None:
        """Return why niches cannot be found now, or None."""
        context = self.context
        why_not = context.why_not()
        if context.opened is None or context.jobs.busy:
            return why_not
        for one in self._sections():
            no_use = context.registry.why_unusable(context.state.choices.model, one.section.genes)
            if no_use is not None:
                return no_use
        return None

    def close_jobs(self) -> None:
        """Stop for good what nobody waits for."""
        self._ask_number.cancel()
        self.final.close_jobs()
        self.markers.latest.close()

    def follow(self, changed: frozenset[str]) -> bool:
        """Bring the panel up to date; see to the niches of generated cells that were kept."""
        if changed & {"kept", "sections"}:
            self.composition.forget()  # columns may have changed
        followed = super().follow(changed)
        if changed & {"kept", "runs", "jobs"}:
            self._kept_cells.compare()
        return followed

    def refresh(self) -> None:
        """Show the run that is looked at, and enable what is possible now."""
        state, entry = self.context.state, self.entry
        self.together.setVisible(len(state.sections) > 1)
        allow(self.find, self.why_not(), "Embed every cell and group alike surroundings")
        self.help.setVisible(entry is None)
        self.result.setVisible(entry is not None)
        self.final.refresh()
        self.legend.refresh()
        if entry is None:
            self._asked = None
            self.composition.forget()
            self.markers.forget()
            self.facts.forget()
            return
        self._show_asked(entry.outcome)
        self.show_button.setVisible(state.view.of_run != (entry.id, "niches"))
        self._fill_page()
        self.facts.show_run(entry, why_stale(entry, state))
        self._allow(entry)

    def _allow(self, entry: RunEntry) -> None:
        state, outcome = self.context.state, entry.outcome
        busy = _BUSY if self.context.jobs.busy else None
        not_yet = busy or (PREVIEW if outcome.is_preview else None)
        held = entry.id in state.kept and outcome.is_kept
        why_not = not_yet or ("These niches are kept already." if held else None)
        allow(self.keep_button, why_not, f"Write obs['{keys.NICHE}'] and its colours")
        allow(self.discard_button, busy, "Remove these niches, also where they were kept")
        allow(self.cluster_button, busy, "Find as many niches as the resolution gives")
        allow(self.boundary_button, not_yet, "Draw a line around each niche, on a Shapes layer")
        allow(self.save_button, not_yet, "Write a table or tissue")
        nothing = state.opened is None or not state.opened.results
        self.tissue_action.setEnabled(not nothing)
        self.tissue_action.setToolTip("Press Keep first." if nothing else "All that was kept")

    def _on_moved(self, _number: int) -> None:
        self._moving = True
        self._ask_number()

    @qdebounced(timeout=_SLIDER_WAIT_MS)
    def _ask_number(self) -> None:
        self._moving = False
        self.ask("number", self.number.value())

    def _show_asked(self, outcome: NicheOutcome) -> None:
        most = outcome.search.tree.n_leaves
        by, value = outcome.asked
        with QSignalBlocker(self.number):
            self.number.setRange(min(2, most), most)
            if by == "number" and not self._moving:
                self.number.setValue(int(value))
        if outcome.asked != self._asked:
            self._asked = outcome.asked
            self._show_by(by)
            if by == "resolution":
                self.resolution.setValue(value)

    def _sections(self) -> tuple[Opened, ...]:
        state = self.context.state
        if self.together.isChecked() and len(state.sections) > 1:
            return tuple(state.sections.values())
        return () if state.opened is None else (state.opened,)

    def _choose_table(self) -> None:
        path = choose_file(self, "Save table", self.context.opened, "_niches.csv", "Table (*.csv)")
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save_table(path, overwrite=True)

    def _choose_tissue(self) -> None:
        kinds = "AnnData (*.h5ad *.zarr)"
        path = choose_file(self, "Save tissue", self.context.opened, "_niches.h5ad", kinds)
        if path is not None:
            self.save_tissue(path, overwrite=True)

    def _choose_by(self, by: str) -> None:
        self._show_by(by)
        if by == "number":
            self.ask("number", self.number.value())

    def _show_by(self, by: str) -> None:
        self.by.set_current(by)
        self.number.setVisible(by == "number")
        self.resolution.setVisible(by == "resolution")
        self.cluster_button.setVisible(by == "resolution")

    def _turn(self, page: str) -> None:
        self._page = page
        for name, widget in self._page_widgets.items():
            widget.setVisible(name == page)
        self._fill_page()

    def _fill_page(self) -> None:
        if self.outcome is None:
            return
        if self._page == "composition":
            self.composition.show_niches(self.outcome.search, self.outcome.niches)
        elif self._page == "markers":
            self.markers.show_niches(self.outcome.niches)

    def _lay_out(self) -> None:
        self.pages.set_current("legend")
        self._page_widgets: dict[str, QWidget] = {
            "legend": self.legend,
            "composition": self.composition,
            "markers": self.markers,
        }
        for widget in (self.help, self.together, self.find):
            self.column.addWidget(widget)
        self.result = Panel()
        self.result.column.addWidget(self.by)
        self.result.column.addLayout(
            row(self.number, self.resolution, self.cluster_button, stretch=0)
        )
        for widget in (self.final, self.pages, *self._page_widgets.values(), self.facts,
                       self.show_button):  # fmt: skip
            self.result.column.addWidget(widget)
        self.result.column.addLayout(row(self.keep_button, self.discard_button, self.save_button))
        self.result.column.addLayout(row(self.boundary_button, self.copy_button))
        self.composition.hide()
        self.markers.hide()
        self.column.addWidget(self.result)
