"""What an edit does to its surroundings: views, plots, a table, and files of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMenu, QPushButton, QTabWidget

from napari_gest.app.actions import ChangeView, Keep
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.effect import Effect, responding, response_text, view_of
from napari_gest.app.view_state import EFFECT_VIEWS, Limits
from napari_gest.app.wording import counted, p_text
from napari_gest.files import write_table
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.common.gene_table import Column, GeneTable
from napari_gest.widgets.common.saving import choose_file, save_now, save_opened
from napari_gest.widgets.context import Context
from napari_gest.widgets.plots.distance_decay import DistanceDecay
from napari_gest.widgets.plots.dose_response import DoseResponse
from napari_gest.widgets.plots.volcano import Volcano

_VIEWS = {
    "measured": "Measured",
    "control": "Control",
    "perturbed": "Perturbed",
    "delta": "Delta",
}
_TIPS = {
    "measured": "The tissue as it was measured",
    "control": "What the model predicts of the surroundings without the edit",
    "perturbed": "What it predicts with the edit, in the same colours",
    "delta": "Perturbed minus control, zero in the middle of the colours",
}
GENES = (
    Column("gene", "gene"),
    Column("effect", "effect", lambda v: f"{v:+.4f}" if np.isfinite(v) else "–", by_size=True),
    Column("direction", "direction"),
    Column("lfsr", "wrong sign", p_text),
    Column("reported", "reported"),
    Column("pvalue", "p", p_text),
    Column("fdr", "FDR", p_text),
)
_KEPT = "Kept in the open tissue; save it to a file."
_NO_DOSE = "Only edits of genes have a strength."


class EffectPanel(Panel):
    """Shows the effect that is looked at; a gene that is clicked is shown on the canvas.

    Parameters
    ----------
    test
        Tests a run against chance.
    dose
        Repeats a run at several strengths.
    """

    inputs = frozenset({"sections", "active", "shapes", "strokes", "choices", "view", "runs",
                        "kept", "shown", "jobs"})  # fmt: skip

    def __init__(
        self,
        context: Context,
        test: Callable[[RunEntry], None],
        dose: Callable[[RunEntry], None],
    ) -> None:
        super().__init__()
        self.context = context
        self._test, self._dose = test, dose
        self.views = Segments(_VIEWS)
        for view, tip in _TIPS.items():
            self.views.option(view).setToolTip(tip)
        self.views.picked.connect(self.show_view)
        self.legend = LegendView()
        self.facts = note(name="gestFacts")
        self.volcano, self.decay, self.genes = Volcano(), DistanceDecay(), GeneTable(GENES)
        self.dose, self.dose_page = DoseResponse(), Panel()
        self.ask_dose = button("Compute the dose response", self.want_dose)
        self.dose_page.column.addWidget(self.dose)
        self.dose_page.column.addWidget(self.ask_dose)
        self.volcano.picked.connect(self.show_gene)
        self.genes.picked.connect(self.show_gene)
        self.decay.picked.connect(self._show_band)
        self.tabs = QTabWidget()
        for name, page in (
            ("Volcano", self.volcano),
            ("Distance", self.decay),
            ("Dose", self.dose_page),
            ("Genes", self.genes),
        ):
            self.tabs.addTab(page, name)
        self.tabs.currentChanged.connect(lambda _: self.want_dose())
        self.tabs.setFixedHeight(230)
        self.keep_button = button("Keep", self.keep, primary=True)
        self.test = button("Test against chance", self._ask_test)
        self.files = QMenu(self)
        self.files.setToolTipsVisible(True)
        self.files.addAction("Table of all genes and bands (.csv)…", self._choose_table)
        self.files.addAction("Scenario as a folder, to run again…", self._choose_folder)
        self.tissue = self.files.addAction(
            "Tissue with control and perturbed (.h5ad)…", self._choose_tissue
        )
        self.save = QPushButton("Save")
        self.save.setMenu(self.files)
        self.copy_button = button("Copy as Python", self.copy, "Code that gives the same effect")
        self.column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.views, self.legend, self.facts, self.tabs, self.test):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.keep_button, self.save, self.copy_button))
        self._drawn: tuple[Any, ...] | None = None
        self.refresh()

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("perturbation")

    @property
    def effect(self) -> Effect | None:
        """What came of the run that is looked at."""
        return None if self.entry is None else self.entry.outcome

    def show_gene(self, gene: str) -> None:
        """Show what the edit does to a gene."""
        if self.effect is not None:
            changes = view_of(self.effect, self.context.state.view, gene)
            self.context.do(ChangeView.of(**changes), self)

    def show_view(self, view: str) -> None:
        """Show measured, control, perturbed or delta."""
        if view == "measured":
            self.context.do(ChangeView.of(view=view), self)
        elif self.effect is not None:
            now = self.context.state.view
            changes = view_of(self.effect, now, now.gene) | {"view": view}
            self.context.do(ChangeView.of(**changes), self)

    def keep(self) -> None:
        """Write control and perturbed into the open tissue, never into X."""
        if self.entry is not None and self.entry.id not in self.context.state.kept:
            self.context.do(Keep(id=self.entry.id), self)

    @property
    def lacks_doses(self) -> bool:
        """Whether the page of the dose response is open, and there is none to show yet."""
        entry, opened = self.entry, self.tabs.currentWidget() is self.dose_page
        return bool(opened and entry and entry.run.edits and entry.outcome.doses is None)

    def want_dose(self) -> None:
        """Compute the dose response where its page is open, it is missing and nothing runs."""
        if self.lacks_doses and self._why_no_dose() is None:
            self._dose(self.entry)

    def save_table(self, path: Path, overwrite: bool = False) -> None:
        """Write the whole table, every gene and band, as csv."""

        def write() -> None:
            from napari_gest.tasks.perturbation.scenario import EFFECTS

            write_table(self.effect.table, path, EFFECTS, overwrite=overwrite)

        save_now(self.context, self, path, write)

    def save_scenario(self, folder: Path) -> None:
        """Write a folder that ``napari-gest perturb --scenario`` runs again."""
        scenario, table = self.effect.scenario(self.entry.name)
        try:
            scenario.write(folder, table)
        except Exception as error:
            self.context.report(self, error)
            return
        self.context.job_bar.say(f"Saved the folder {folder.name}.")

    def save_tissue(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        opened = self.context.state.sections[self.entry.run.snapshot.label]
        save_opened(self.context, self, opened, path, overwrite)

    def copy(self) -> None:
        """Put the public function calls that give the same result on the clipboard."""
        if self.entry is not None:
            QGuiApplication.clipboard().setText(self.entry.run.script())

    def refresh(self) -> None:
        """Show the run that is looked at, and follow the gene, view and band on the canvas."""
        entry, state = self.entry, self.context.state
        self.setVisible(entry is not None)
        if entry is None:
            self._drawn = None
            return
        effect, view = entry.outcome, state.view
        self.views.set_current(view.view)
        self.legend.setVisible(view.view in EFFECT_VIEWS)
        self.legend.show_legend(self.context.painter.legend, view.hidden)
        running = "Wait until the run has ended." if self.context.jobs.busy else None
        kept = "This effect is kept already." if entry.id in state.kept else None
        allow(self.keep_button, running or kept, "Write control and perturbed into the open tissue")
        self.test.setVisible(effect.tested is None)
        removed = "Removal has no null to test against." if entry.run.remove else None
        allow(self.test, running or removed, "Compute p-values by permutation")
        allow(self.save, running, "Write tables and tissue")
        self.tissue.setEnabled(kept is not None)
        self.tissue.setToolTip("" if kept else "Keep the effect first.")
        self.ask_dose.setVisible(effect.doses is None and bool(entry.run.edits))
        allow(self.ask_dose, self._why_no_dose(), "Repeat the edit at several strengths")
        drawn = (effect, view.gene, view.band)
        if drawn != self._drawn:
            self._drawn = drawn
            self._draw(entry)
        self.facts.setText(self._facts(entry))

    def _draw(self, entry: RunEntry) -> None:
        effect, view = entry.outcome, self.context.state.view
        result, here = effect.result, self._here(effect)
        gene = view.gene if view.gene in result.genes else effect.strongest
        self.volcano.show_table(here, gene)
        self.genes.show_table(here, gene)
        around = effect.values("delta", gene)[: effect.n_around]
        self.decay.show_effect(gene, result.distance_um, around, result.request.bands_um, view.band)
        text = "Not computed yet." if entry.run.edits else _NO_DOSE
        self.dose.show_doses(effect.doses, gene, entry.run.strength, text)

    def _here(self, effect: Effect) -> Any:
        """Return the rows of the band that is chosen on the canvas, or else of the first."""
        table, chosen = effect.table, self.context.state.view.band
        band = table["band"].iloc[0]
        if chosen is not None:
            name = f"{chosen[0]:g}-{chosen[1]:g} um"
            band = name if (table["band"] == name).any() else band
        return table[table["band"] == band]

    def _facts(self, entry: RunEntry) -> str:
        effect, removed = entry.outcome, entry.run.remove
        here, section = self._here(effect), effect.snapshot.section
        band = here["band"].iloc[0]
        text = f"{counted(effect.result.n_edited, section)} {'removed' if removed else 'edited'}"
        if not removed:
            text += f", {effect.result.n_changed_tokens:,} to another meta cell"
        where = "around" if band == "all" else f"at {band.replace(' um', ' µm')}"
        text += f" · {counted(int(here['n_cells'].iloc[0]), section)} {where}"
        if effect.tested is not None:
            text += f" · {response_text(here)}"
            if not removed and not responding(here).any():
                text += ". Nothing is sure here: a stronger change, or more cells, may show more"
        state = self.context.state
        more = [why_stale(entry, state), _KEPT if entry.id in state.kept else None]
        return " ".join([f"{text}.", *(one for one in more if one)])

    def _why_no_dose(self) -> str | None:
        if self.entry is None or not self.entry.run.edits:
            return _NO_DOSE
        return "Wait until the run has ended." if self.context.jobs.busy else None

    def _ask_test(self) -> None:
        if self.entry is not None:
            self._test(self.entry)

    def _show_band(self, band: Limits | None) -> None:
        self.context.do(ChangeView.of(band=band), self)

    def _choose_table(self) -> None:
        path = self._choose("Save table", "_deg.csv", "Table (*.csv)")
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save_table(path, overwrite=True)

    def _choose_folder(self) -> None:
        from napari_gest.tasks.perturbation.scenario import folder_name

        path = self._choose("Folder of the scenario", f"_{folder_name(self.entry.name)}", "")
        if path is not None:
            self.save_scenario(path)

    def _choose_tissue(self) -> None:
        path = self._choose("Save tissue", "_perturbed.h5ad", "AnnData (*.h5ad *.zarr)")
        if path is not None:
            self.save_tissue(path, overwrite=True)

    def _choose(self, title: str, ending: str, kinds: str) -> Path | None:
        opened = self.context.state.sections[self.entry.run.snapshot.label]
        return choose_file(self, title, opened, ending, kinds)
