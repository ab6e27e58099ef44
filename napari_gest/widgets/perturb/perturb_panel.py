"""Step "Perturb": edit cells of a region, see the surroundings respond, keep and compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog
from superqt.utils import qdebounced

from napari_gest.app.actions import ChangeView, Choose, SetEdits, UpdateRun
from napari_gest.app.obs_columns import has_label
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.effect import Effect, view_of
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.scenarios import read_scenario
from napari_gest.app.view_state import EFFECT_VIEWS
from napari_gest.canvas.runner import CLOSED, RunFollower
from napari_gest.errors import GestError, InputError
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.controls import (
    Panel,
    allow,
    button,
    note,
    reveal,
    row,
    shortcut,
)
from napari_gest.widgets.context import Context
from napari_gest.widgets.perturb.edit_options import EditOptions
from napari_gest.widgets.perturb.edit_region import EditRegion
from napari_gest.widgets.perturb.edit_table import EditTable
from napari_gest.widgets.perturb.effect_panel import EffectPanel
from napari_gest.widgets.perturb.influence_panel import InfluencePanel
from napari_gest.widgets.perturb.scenario_list import ScenarioList

_HELP = (
    "Draw a region, say what changes in its cells, and see what the model expects of the cells"
    " around it. Your measured data are never changed."
)
_SETTLE_MS = 60  # until the layout has grown
_CLOSED = "Open tissue first (step 1)."
_NO_TEST = "The test was cancelled; the effect stays."
_NO_DOSE = "The dose response was cancelled. You can compute it again on its page, 'Dose'."


class PerturbPanel(Panel):
    """Starts perturbations, tests them against chance, and holds the panels about them."""

    inputs = frozenset({"sections", "active", "shapes", "strokes", "edits", "choices", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.region = EditRegion(context)
        self.edits = EditTable(context)
        self.options = EditOptions(context)
        self.run = button("Run", self.start, primary=True)
        self.open = button("Open…", self._choose_scenario)
        self.effect = EffectPanel(context, self.test, self.dose)
        self.scenarios = ScenarioList(context)
        self.influence = InfluencePanel(context)
        self.parts = (self.region, self.edits, self.options, self.effect, self.scenarios,
                      self.influence)  # fmt: skip
        # By section and model: what one run has fitted or read there serves the next ones.
        self._responses: dict[Any, Any] = {}
        self._tissues: dict[Any, Any] = {}
        self.help = note(_HELP)
        for widget in (self.help, self.region, self.edits, self.options):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.run, self.open))
        for widget in (self.effect, self.scenarios, self.influence):
            self.column.addWidget(widget)
        shortcut("Ctrl+Return", self, self.start)
        self.refresh()

    def follow(self, changed: frozenset[str]) -> bool:
        """Bring up to date what an action has changed, each part for itself."""
        parts = [part.follow(changed) for part in self.parts]
        return super().follow(changed) or any(parts)

    def start(self) -> None:
        """Run control and perturbed with what is chosen, and test the effect afterwards."""
        context = self.context
        self.options.settle()
        if self.why_not() is not None:
            return
        try:
            run = PerturbationRun.of(context.state, context.model)
            run.check()
        except GestError as error:
            context.report(self, error)
            return
        self.region.rest()
        follower = context.follower(run)
        load, response = context.registry.load, self._responses.get(_key(run))
        context.job_bar.start(
            lambda: run.work(load, response),
            lambda effect: self._on_done(follower, effect),
            owner=self,
            on_tick=follower.on_tick,
            on_cancelled=follower.why_cancelled,
        )

    def test(self, entry: RunEntry) -> None:
        """Test an effect against chance; it stays whatever becomes of the test."""
        key = _key(entry.run)
        if entry.run.remove:
            return
        tissue = self._tissues.get(key)

        def work() -> Any:
            yield Progress("Preparing the test", 0, 1)
            from napari_gest.tasks.perturbation.significance import SignificanceRequest

            effect = yield from entry.outcome.ready()
            request = SignificanceRequest(effect.result, seed=entry.run.seed, tissue=tissue)
            return (yield from request.run())

        def done(tested: Any) -> None:
            if tested.tissue is not None and self.context.session.is_open(entry.run.snapshot):
                self._tissues = {key: tested.tissue}
            guessed = self.context.state.view.gene == entry.outcome.strongest
            self._update(entry.id, tested=tested)
            if guessed:
                self._show_surest(entry.id)
            shown = self.effect.entry  # the dose response was asked for while this ran
            if shown is not None and shown.id == entry.id and self.effect.lacks_doses:
                self.dose(shown)

        self.context.job_bar.start(work, done, owner=self, on_cancelled=lambda: _NO_TEST)

    def dose(self, entry: RunEntry) -> None:
        """Repeat an edit at several strengths."""

        def work() -> Any:
            yield Progress("Dose response", 0, 1)
            from napari_gest.tasks.perturbation.dose import STRENGTHS, DoseRequest

            effect = yield from entry.outcome.ready()
            strengths = tuple(sorted({*STRENGTHS, entry.run.strength}))
            return (yield from DoseRequest(effect.result, strengths).run())

        self.context.job_bar.start(
            work,
            lambda table: self._update(entry.id, doses=table),
            owner=self,
            on_cancelled=lambda: _NO_DOSE,
        )

    def load(self, folder: Path) -> None:
        """Take over region, edits and settings of a scenario folder, ready to run."""
        context = self.context
        try:
            if context.opened is None:
                raise InputError("No tissue is open.", _CLOSED)
            read = read_scenario(folder, context.opened, context.registry)
        except GestError as error:
            context.report(self, error)
            return
        context.do(Choose.of(model=read.model, seed=read.seed), self)
        context.do(SetEdits(edits=read.edits), self)
        self.region.set_roi(read.roi)
        context.job_bar.say(f"'{read.name}' is ready to run.")

    def why_not(self) -> str | None:
        """Return why Run is not possible now, or None."""
        context, state = self.context, self.context.state
        opened, edits = context.opened, state.edits
        if opened is None or context.jobs.busy:
            return context.why_not()
        if not self.region.is_ready:
            return "Draw the region to edit first."
        if not edits.genes and edits.become is None and not edits.remove:
            return "Add a gene to the table, or choose what the cells become."
        for label in (edits.only, edits.become):
            if label is not None and not has_label(opened, label.column, label.name):
                return f"No cell here has '{label.name}' in '{label.column}'; choose others."
        return context.why_not()

    def rest(self) -> None:
        """Let go of the mouse."""
        self.region.rest()
        self.influence.toggle.setChecked(False)

    def refresh(self) -> None:
        """Say what is possible now; forget what was fitted on sections that were closed."""
        sections = {opened.section for opened in self.context.state.sections.values()}
        for fitted in (self._responses, self._tissues):
            for key in [key for key in fitted if key[0] not in sections]:
                del fitted[key]
        closed = self.context.opened is None
        self.help.setText(f"{_CLOSED} Then: {_HELP[0].lower()}{_HELP[1:]}" if closed else _HELP)
        self.help.setVisible(closed or not self.region.is_ready)
        tip = "Predict the surroundings with and without the edit (Ctrl+Return)"
        allow(self.run, self.why_not(), tip)
        allow(self.open, _CLOSED if closed else None, "Open a scenario that was saved as a folder")

    def _on_done(self, follower: RunFollower, effect: Effect) -> None:
        context = self.context
        entry = follower.on_done(effect)
        if entry is None:
            context.job_bar.say(CLOSED)
            return
        head = getattr(effect.result.predictor, "head", None)
        if head is not None:
            self._responses = {_key(entry.run): head}
        context.do(ChangeView.of(**view_of(effect, context.state.view)), self)
        context.job_bar.say("")
        self._reveal()
        self.test(entry)

    def _show_surest(self, id: str) -> None:
        """Show the gene of which the test is surest, in place of the one that moves most."""
        shown = self.effect.entry
        if shown is not None and shown.id == id and self.context.state.view.view in EFFECT_VIEWS:
            self.effect.show_gene(shown.outcome.strongest)

    def _update(self, id: str, **changes: Any) -> None:
        """Add what was computed of an effect to it, wherever it stands in the list by now."""
        found = [entry for entry in self.context.state.runs if entry.id == id]
        for entry in found:
            outcome = replace(entry.outcome, **changes)
            self.context.do(UpdateRun(id=id, outcome=outcome), self)
        self.context.job_bar.say("")

    @qdebounced(timeout=_SETTLE_MS)
    def _reveal(self) -> None:
        reveal(self.influence, self.effect)

    def _choose_scenario(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Scenario folder")
        if folder:
            self.load(Path(folder))


def _key(run: PerturbationRun) -> Any:
    return run.snapshot.section, run.model.path
