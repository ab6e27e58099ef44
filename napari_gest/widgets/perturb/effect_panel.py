"""What an edit does to its surroundings: views, plots, a table, and files of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QTabWidget

from napari_gest.app.runs.effect import EFFECT_VIEWS, Effect
from napari_gest.errors import InputError
from napari_gest.files import write_table
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.common.saving import save_opened
from napari_gest.widgets.context import Context
from napari_gest.widgets.perturb.gene_table import GeneTable
from napari_gest.widgets.plots.distance_decay import DistanceDecay
from napari_gest.widgets.plots.dose_response import DoseResponse
from napari_gest.widgets.plots.volcano import FDR, Volcano

_VIEWS = {
    "measured": "Measured",
    "control": "Control",
    "perturbed": "Perturbed",
    "delta": "Delta",
}
_TIPS = {
    "measured": "The tissue as it was measured",
    "control": "What the model says of the surroundings without the edit",
    "perturbed": "What it says with the edit, in the same colours",
    "delta": "Perturbed minus control, zero in the middle of the colours",
}


class EffectPanel(Panel):
    """Shows one effect; a gene that is clicked is shown on the canvas.

    Parameters
    ----------
    test
        Tests the effect shown against chance.
    dose
        Repeats it at several strengths; with True, also where that was cancelled before.
    """

    def __init__(
        self, context: Context, test: Callable[[], None], dose: Callable[[bool], None]
    ) -> None:
        super().__init__()
        self.context = context
        self.effect: Effect | None = None
        self.views = Segments(_VIEWS)
        for view, tip in _TIPS.items():
            self.views.option(view).setToolTip(tip)
        self.views.picked.connect(self.show_view)
        self.legend = LegendView()
        self.facts = note(name="gestFacts")
        self.volcano, self.decay, self.genes = Volcano(), DistanceDecay(), GeneTable()
        self.dose, self._ask_dose = DoseResponse(), dose
        self.volcano.picked.connect(self.show_gene)
        self.genes.picked.connect(self.show_gene)
        self.decay.picked.connect(lambda band: context.painter.show(band=band))
        self.tabs = QTabWidget()
        for name, plot in (
            ("Volcano", self.volcano),
            ("Distance", self.decay),
            ("Dose", self.dose),
            ("Genes", self.genes),
        ):
            self.tabs.addTab(plot, name)
        self.tabs.currentChanged.connect(lambda _: self._want_dose(again=True))
        self.tabs.setFixedHeight(230)
        self.test = button("Test again", test)
        self.files = QMenu(self)
        self.files.addAction("Table of all genes and bands (.csv)…", self._choose_table)
        self.files.addAction("Scenario as a folder, to run again…", self._choose_folder)
        self.files.addAction("Tissue with control and perturbed (.h5ad)…", self._choose_tissue)
        self.save = QPushButton("Save")
        self.save.setMenu(self.files)
        self.copy_button = button("Copy as Python", self.copy)
        self.column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.views, self.legend, self.facts, self.tabs):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.test, self.save, self.copy_button))
        self._drawn: tuple[Any, ...] | None = None
        self.refresh()

    def show_effect(self, effect: Effect | None) -> None:
        """Show another effect, by the gene in use or else the one that responds most."""
        self.effect = effect
        if effect is not None:
            view_state = self.context.painter.view_state
            view = view_state.view if view_state.view in EFFECT_VIEWS else "delta"
            gene = view_state.gene if view_state.view in EFFECT_VIEWS else None
            gene = gene if gene in effect.result.genes else effect.strongest
            self._show(gene, view)
        elif self.context.painter.view_state.view in EFFECT_VIEWS:
            self.context.painter.show(view="measured")
        self.refresh()

    def show_gene(self, gene: str) -> None:
        """Show what the edit does to a gene."""
        view = self.context.painter.view_state.view
        self._show(gene, view if view in EFFECT_VIEWS else "delta")

    def show_view(self, view: str) -> None:
        """Show measured, control, perturbed or delta."""
        if view == "measured":
            self.context.painter.show(view=view)
        elif self.effect is not None:
            self._show(self.context.painter.view_state.gene or self.effect.strongest, view)

    def save_table(self, path: Path, overwrite: bool = False) -> None:
        """Write the whole table, every gene and band, as csv."""
        try:
            from napari_gest.tasks.perturbation.scenario import EFFECTS

            write_table(self.effect.table, path, EFFECTS, overwrite=overwrite)
        except Exception as error:
            self.context.report(self, error)
            return
        self.facts.setText(f"Saved {path.name}.")

    def save_scenario(self, folder: Path) -> None:
        """Write a folder that ``napari-gest perturb --scenario`` runs again."""
        scenario, table = self.effect.scenario
        try:
            scenario.write(folder, table)
        except Exception as error:
            self.context.report(self, error)
            return
        self.facts.setText(f"Saved the folder {folder.name}.")

    def save_tissue(self, path: Path, overwrite: bool = False) -> None:
        """Write control and perturbed into the open tissue, and that to a file."""
        session, effect = self.context.session, self.effect
        if not is_open(self.context, effect):
            self.context.report(
                self,
                InputError("The section of this scenario was closed.", "Open it and run again."),
            )
            return
        session.commit(session.snapshot(effect.snapshot.label), effect.result)
        opened = session.sections[effect.snapshot.label]
        save_opened(self.context, self, opened, path, overwrite, self.facts.setText)

    def copy(self) -> None:
        """Put the public function calls that give the same result on the clipboard."""
        if self.effect is not None:
            QGuiApplication.clipboard().setText(self.effect.plan.script())

    def refresh(self) -> None:
        """Follow the gene, view and band on the canvas."""
        effect, view_state, busy = (
            self.effect,
            self.context.painter.view_state,
            self.context.jobs.busy,
        )
        self.setVisible(effect is not None)
        if effect is None:
            self._drawn = None
            return
        self.views.set_current(view_state.view)
        self.legend.setVisible(view_state.view in EFFECT_VIEWS)
        self.legend.show_legend(self.context.painter.legend, view_state.hidden)
        running = "Wait until the run has ended." if busy else None
        self.test.setVisible(effect.tested is None)
        removed = "Removal has no null to test against." if effect.plan.remove else None
        allow(self.test, running or removed, "Test the effect against chance")
        allow(self.save, running, "Write tables and tissue")
        state = (
            effect,
            effect.tested is None,
            effect.doses is None,
            view_state.gene,
            view_state.band,
        )
        if state != self._drawn:
            self._drawn = state
            self._draw()
        self._want_dose()

    def _draw(self) -> None:
        effect, view_state = self.effect, self.context.painter.view_state
        result, table = effect.result, effect.table
        band = table["band"].iloc[0]
        if view_state.band is not None:
            name = f"{view_state.band[0]:g}-{view_state.band[1]:g} um"
            band = name if (table["band"] == name).any() else band
        here = table[table["band"] == band]
        gene = view_state.gene if view_state.gene in result.genes else effect.strongest
        self.volcano.show_table(here, gene)
        self.genes.show_table(here, gene)
        around = effect.values("delta", gene)[: effect.n_around]
        self.decay.show_effect(
            gene, result.distance_um, around, result.request.bands_um, view_state.band
        )
        no_gene = "Only edits of genes have a strength."
        text = "Computed when nothing else runs." if effect.plan.edits else no_gene
        self.dose.show_doses(effect.doses, gene, effect.plan.strength, text)
        self.facts.setText(self._facts(here, band))

    def _want_dose(self, again: bool = False) -> None:
        """Ask for the dose response where its page is open and nothing runs."""
        effect = self.effect
        wanted = self.tabs.currentWidget() is self.dose and effect is not None
        if wanted and effect.doses is None and effect.plan.edits and not self.context.jobs.busy:
            self._ask_dose(again)

    def _facts(self, here: Any, band: str) -> str:
        effect, result = self.effect, self.effect.result
        text = f"{result.n_edited:,} cells {'removed' if effect.plan.remove else 'edited'}"
        if not effect.plan.remove:
            text += f", {result.n_changed_tokens:,} to another meta cell"
        where = "around" if band == "all" else f"at {band.replace(' um', ' µm')}"
        text += f" · {int(here['n_cells'].iloc[0]):,} cells {where}"
        if effect.tested is not None:
            sure = int((here["fdr"] <= FDR).sum())
            tested = int(here["fdr"].notna().sum())
            text += f" · {sure} of {tested} genes respond at FDR {FDR:g}"
        return text + "."

    def _show(self, gene: str, view: str) -> None:
        view_state = self.context.painter.view_state
        limits = {}
        if gene != view_state.gene:
            limits = {"value_limits": None, "difference_limits": None, "uncertainty_limits": None,
                      "delta_limits": None}  # fmt: skip
        self.context.painter.show(gene=gene, column=None, view=view, **limits)

    def _choose_table(self) -> None:
        self._choose("Save table", "_deg.csv", "Table (*.csv)", self.save_table)

    def _choose_folder(self) -> None:
        parent = QFileDialog.getExistingDirectory(self, "Where to put the scenario's folder")
        if parent:
            from napari_gest.tasks.perturbation.scenario import folder_name

            self.save_scenario(Path(parent) / folder_name(self.effect.name))

    def _choose_tissue(self) -> None:
        self._choose("Save tissue", "_perturbed.h5ad", "AnnData (*.h5ad *.zarr)", self.save_tissue)

    def _choose(self, title: str, ending: str, kinds: str, save: Callable[..., None]) -> None:
        plan = self.effect.plan
        folder = plan.path.parent if plan.path is not None else Path.home()
        start = str(folder / f"{plan.snapshot.label}{ending}")
        path, _ = QFileDialog.getSaveFileName(self, title, start, kinds)
        if path:
            # The dialog has asked before it lets an existing file be chosen.
            save(Path(path), overwrite=True)


def is_open(context: Context, effect: Effect) -> bool:
    """Tell whether the section of an effect is still open."""
    return context.session.is_open(effect.snapshot)
