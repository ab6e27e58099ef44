"""Step "Perturb": edit cells of a region, see the surroundings respond, keep and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFileDialog, QShortcut
from superqt.utils import qdebounced

from napari_gest.app.runs.effect import Effect
from napari_gest.app.runs.perturbation import READOUTS, Experiment, Label
from napari_gest.canvas.jobs import Job, Tick
from napari_gest.errors import GestError, InputError
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.controls import Panel, allow, button, note, reveal, row
from napari_gest.widgets.common.progress_bar import ProgressBar, progress_text
from napari_gest.widgets.context import Context
from napari_gest.widgets.model.model_panel import problem
from napari_gest.widgets.perturb.edit_options import EditOptions
from napari_gest.widgets.perturb.edit_region import EditRegion
from napari_gest.widgets.perturb.edit_table import EditTable
from napari_gest.widgets.perturb.effect_panel import EffectPanel, is_open
from napari_gest.widgets.perturb.influence_panel import InfluencePanel
from napari_gest.widgets.perturb.scenario_list import ScenarioList

_HELP = (
    "Draw a region, say what changes in its cells, and see what the model expects of the cells"
    " around it. Your measured data are never changed."
)
_SETTLE_MS = 60  # until the layout has grown
_CLOSED = "Open tissue first (step 1)."
_NO_DOSE = "The dose response was cancelled. Choose its page again to compute it."


class PerturbPanel(Panel):
    """Builds an experiment, runs it, tests it, and keeps what came out."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.region = EditRegion(context)
        self.edits = EditTable(context)
        self.options = EditOptions(context)
        self.run = button("Run", self.start, primary=True)
        self.cancel = button("Cancel", self.stop)
        self.open = button("Open…", self._choose_scenario)
        self.bar = ProgressBar()
        self.message = note()
        self.effect = EffectPanel(context, self.test, self.dose)
        self.scenarios = ScenarioList(context)
        self.influence = InfluencePanel(context)
        self.scenarios.chosen.connect(self._show_chosen)
        self._job: Job | None = None
        self._responses: dict[Any, Any] = {}
        self._tissues: dict[Any, Any] = {}
        self._asked_dose: Effect | None = None
        self.help = note(_HELP)
        for widget in (self.help, self.region, self.edits, self.options):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.run, self.cancel, self.open))
        for widget in (self.bar, self.message, self.effect, self.scenarios, self.influence):
            self.column.addWidget(widget)
        for signal in (self.region.changed, self.edits.changed, self.options.changed):
            signal.connect(self._mark)
        for keys, slot in (("Ctrl+Return", self.start), ("Esc", self.stop)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.refresh()

    @property
    def summary(self) -> str:
        """A few words for the title of the step."""
        effect = self.effect.effect
        return "" if effect is None else effect.name

    def start(self) -> None:
        """Run control and perturbed with what is chosen, and test the effect afterwards."""
        if self.why_not() is not None:
            return
        try:
            plan = self._plan()
            plan.check()
        except GestError as error:
            self.context.report(self, error)
            return
        self.region.rest()
        section, model = plan.snapshot.section, plan.model
        key = (section, model.path)
        response = self._responses.get(key)
        done: list[Effect] = []
        job = Job(
            lambda: plan.work(self.context.registry.load, response),
            on_tick=self._on_tick,
            on_done=lambda result: self._on_done(plan, key, result, done),
            on_error=self._on_error,
            on_end=lambda: self._on_end(done, "Cancelled. Nothing was changed."),
        )
        self._job = job
        if self.context.jobs.start(job):
            self._say("Starting…")
            self.bar.setValue(0)

    def test(self) -> None:
        """Test the effect that is shown against chance; it stays whatever becomes of the test."""
        effect = self.effect.effect
        if effect is None or effect.plan.remove:
            return
        done: list[Effect] = []
        # What one test has read of the tissue serves the next ones.
        key = (effect.snapshot.section, effect.plan.model.path)
        tissue = self._tissues.get(key)

        def work() -> Any:
            yield Progress("Preparing the test", 0, 1)
            from napari_gest.tasks.perturbation.significance import SignificanceRequest

            request = SignificanceRequest(effect.result, seed=effect.plan.seed, tissue=tissue)
            return (yield from request.run())

        job = Job(
            work,
            on_tick=self._on_tick,
            on_done=lambda tested: self._on_tested(effect, key, tested, done),
            on_error=self._on_error,
            on_end=lambda: self._on_end(done, "The test was cancelled; the effect stays."),
        )
        self._job = job
        self.context.jobs.start(job)

    def dose(self, again: bool = False) -> None:
        """Repeat the edit that is shown at several strengths.

        An effect for which that was stopped is left alone, unless it is asked for ``again``.
        """
        effect = self.effect.effect
        if effect is None or (effect is self._asked_dose and not again):
            return
        done: list[Effect] = []
        said = self.message.text()

        def work() -> Any:
            yield Progress("Dose response", 0, 1)
            from napari_gest.tasks.perturbation.dose import STRENGTHS, DoseRequest

            strengths = tuple(sorted({*STRENGTHS, effect.plan.strength}))
            return (yield from DoseRequest(effect.result, strengths).run())

        def show(table: Any) -> None:
            done.append(effect)
            effect.doses = table
            self._say(said)
            self.effect.refresh()

        self._job = Job(
            work,
            on_tick=self._on_tick,
            on_done=show,
            on_error=self._on_error,
            on_end=lambda: self._on_end(done, _NO_DOSE),
        )
        self._asked_dose = effect
        self.context.jobs.start(self._job)

    def load(self, folder: Path) -> None:
        """Take over region, edits and settings of a scenario folder, ready to run."""
        if self.context.scene.active is None:
            self.context.report(self, InputError("No tissue is open.", _CLOSED))
            return
        try:
            from napari_gest.tasks.perturbation.scenario import Scenario

            scenario = Scenario.read(folder)
            s = scenario.settings
            listed = [label for label in (s.only, s.replace_by) if label is not None]
            ours = {"readout": s.readout, "input": s.input, "seed": s.seed, "remove": s.remove}
            plain = type(s)(model=s.model, section=s.section, name=s.name, only=s.only,
                            replace_by=s.replace_by, strength=s.strength,
                            n_permutations=s.n_permutations, **ours)  # fmt: skip
            readouts = {ways: name for name, ways in READOUTS.items()}
            if (
                plain != s
                or any(len(label.values) > 1 for label in listed)
                or (s.readout, s.input) not in readouts
            ):
                raise InputError(
                    f"'{folder.name}' was made with settings that this step does not have.",
                    "Run it with 'napari-gest perturb --scenario'.",
                )
            only, become = (
                None if one is None else Label(one.key, one.values[0])
                for one in (s.only, s.replace_by)
            )
            readout = readouts[s.readout, s.input]
            self.options.choose(only, become, s.remove, s.strength, readout)
            self._choose_model(s.model)
        except GestError as error:
            self.context.report(self, error)
            return
        self.edits.set_edits(scenario.edits)
        self.region.set_roi(scenario.roi)
        self.context.choices.seed = s.seed
        self.context.chosen.emit()
        self._say(f"'{s.name}' is ready to run.")

    def _choose_model(self, wanted: str) -> None:
        registry = self.context.registry
        named = [info for info in registry.models.values() if info.load_name == wanted]
        info = named[0] if named else registry.add(Path(wanted))
        self.context.choices.model = info.name

    def _choose_scenario(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Scenario folder")
        if folder:
            self.load(Path(folder))

    def stop(self) -> None:
        """Cancel the run or the test; an effect that is shown stays."""
        if self.at_work:
            self._say("Cancelling…")
            self.context.jobs.cancel()

    def why_not(self) -> str | None:
        """Return why Run is not possible now, or None."""
        opened = self.context.scene.active
        if opened is None:
            return _CLOSED
        if self.context.jobs.busy:
            return "A job is running."
        if not self.region.is_ready:
            return "Draw the region to edit first."
        if not self.edits.genes and self.options.become is None and not self.options.remove:
            return "Add a gene to the table, or choose what the cells become."
        return problem(self.context.model, opened.section.genes)

    def rest(self) -> None:
        """Let go of the mouse."""
        self.region.rest()
        self.influence.toggle.setChecked(False)

    def region_changed(self) -> None:
        """Follow shapes that were drawn or moved."""
        self.region.region_changed()

    def on_jobs(self) -> None:
        """Follow jobs that start and end."""
        self._mark()
        self.effect.refresh()
        self.scenarios.refresh()

    def refresh(self) -> None:
        """Show what is open and chosen; forget what was fitted on sections that were closed."""
        session = self.context.session
        sections = {opened.section for opened in session.sections.values()}
        for fitted in (self._responses, self._tissues):
            for key in [key for key in fitted if key[0] not in sections]:
                del fitted[key]
        if self._asked_dose is not None and not session.is_open(self._asked_dose.snapshot):
            self._asked_dose = None
        closed = self.context.scene.active is None
        self.help.setText(f"{_CLOSED} Then: {_HELP[0].lower()}{_HELP[1:]}" if closed else _HELP)
        self.help.setVisible(closed or not self.region.is_ready)
        self.edits.setEnabled(not closed)
        for panel in (self.region, self.edits, self.options, self.effect, self.scenarios,
                      self.influence):  # fmt: skip
            panel.refresh()
        self._mark()

    @property
    def at_work(self) -> bool:
        """Whether the job that runs, or is about to, is one of this step."""
        return self.context.jobs.has(self._job)

    def _plan(self) -> Experiment:
        context, options = self.context, self.options
        opened = context.scene.active
        return Experiment(
            context.session.snapshot(opened.label),
            options.labels(),
            self.region.roi(),
            context.model,
            () if options.remove else self.edits.edits,
            strength=options.strength.value(),
            only=options.only,
            become=options.become,
            remove=options.remove,
            readout=options.readout.currentText(),
            seed=context.choices.seed,
            path=opened.path,
        )

    def _mark(self) -> None:
        allow(self.run, self.why_not(), "Predict the surroundings with and without the edit")
        stoppable = self.at_work and not self._job.cancelled
        allow(self.cancel, None if stoppable else "Nothing is running.", "Stop (Esc)")
        closed = self.context.scene.active is None
        allow(self.open, _CLOSED if closed else None, "Open a scenario that was saved as a folder")
        self.bar.setVisible(self.at_work)
        self.message.setVisible(bool(self.message.text()))

    def _on_tick(self, tick: Tick) -> None:
        self.bar.show_progress(tick.progress)
        self._say(progress_text(tick.progress))

    def _on_done(self, plan: Experiment, key: Any, result: Any, done: list[Effect]) -> None:
        effect = Effect(plan.title, plan, result)
        done.append(effect)
        if not is_open(self.context, effect):
            self._say("The section was closed while this ran, so the result was dropped.")
            return
        # What was fitted on this section answers the next edits of it at once.
        head = getattr(result.predictor, "head", None)
        if head is not None:
            self._responses = {key: head}
        self.scenarios.add(effect)
        self._say("")
        self._reveal()
        self.test()

    def _on_tested(self, effect: Effect, key: Any, tested: Any, done: list[Effect]) -> None:
        done.append(effect)
        effect.tested = tested
        if tested.tissue is not None:
            self._tissues = {key: tested.tissue}
        self._say("")
        self.effect.refresh()

    def _on_error(self, error: Exception) -> None:
        self._say("It stopped with an error; nothing was changed.")
        self.context.report(self, error)

    def _on_end(self, done: list[Effect], cancelled: str) -> None:
        if not done and self._job.cancelled:
            self._say(cancelled)

    def _show_chosen(self) -> None:
        shown = self.scenarios.shown
        self.context.scene.show_effects(shown)
        before = self.context.painter.view_state
        self.effect.show_effect(shown[0] if shown else None)
        if self.context.painter.view_state == before:  # or it was painted already
            self.context.painter.repaint()

    @qdebounced(timeout=_SETTLE_MS)
    def _reveal(self) -> None:
        reveal(self.influence, self.effect)

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
