"""Step 5: run, watch, cancel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_gest.app.runs.generated_cells import Trial
from napari_gest.app.runs.generation import Begun, Finished, Plan, Prepared
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.jobs import Job, Tick
from napari_gest.errors import GestError
from napari_gest.widgets.color.color_panel import telling_gene
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.common.progress_bar import ProgressBar, progress_text
from napari_gest.widgets.context import Context
from napari_gest.widgets.generate.result_panel import ResultPanel
from napari_gest.widgets.model.model_panel import problem
from napari_gest.widgets.regions.region_panel import RegionPanel

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import Agreement

_HELP = "Cells fill in from the rim inward. Your measured data are never changed."
_STALE = "The section was closed while this ran, so the result was dropped."


class RunPanel(Panel):
    """Starts runs and shows them as they grow."""

    def __init__(self, context: Context, region: RegionPanel) -> None:
        super().__init__()
        self.context = context
        self.region = region
        self.run = button("Run", self.start, primary=True)
        self.cancel = button("Cancel", self.stop)
        self.bar = ProgressBar()
        self.message = note(_HELP)
        self._job: Job | None = None
        self.result = ResultPanel(context, self.start_plan)
        self.column.addLayout(row(self.run, self.cancel))
        self.column.addWidget(self.bar)
        self.column.addWidget(self.message)
        self.column.addWidget(self.result)
        for keys, slot in (("Ctrl+Return", self.start), ("Esc", self.stop)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether a run is at work or the next to be, rather than a job of another step."""
        return self.context.jobs.has(self._job)

    def start(self) -> None:
        """Run with what is chosen in the steps above."""
        if self.why_not() is not None:
            return
        scene, choices = self.context.scene, self.context.choices
        try:
            unseen, roi = self.region.selection()
            opened = scene.active
            plan = Plan(
                self.context.session.snapshot(opened.label),
                unseen,
                self.context.model,
                choices.mode,
                choices.seed,
                roi,
                choices.mask_key,
                opened.path,
            )
            plan.check()
        except GestError as error:
            self.context.report(self, error)
            return
        self.start_plan(plan)

    def start_plan(self, plan: Plan) -> None:
        """Run a plan; what an earlier run left undecided makes room for it."""
        self.result.discard()
        painter = self.context.painter
        view_state = painter.view_state
        gene = view_state.gene or telling_gene(self.context.session.sections[plan.snapshot.label])
        painter.show(gene=gene, column=None, view="generated")
        trial: list[Trial] = []
        job = Job(
            lambda: plan.work(self.context.registry.load),
            on_tick=lambda tick: self._on_tick(plan, trial, tick),
            on_done=lambda done: self._on_done(plan, trial, done),
            on_error=lambda error: self._on_error(trial, error),
            on_end=lambda: self._on_end(plan, trial),
        )
        self._job = job
        if self.context.jobs.start(job):
            self._say("Starting…")
            self.bar.setValue(0)

    def stop(self) -> None:
        """Cancel the running job; the cells it has made stay, to keep or to discard."""
        if self.running and not self._job.reported:
            self._say("Cancelling…")
            self.context.jobs.cancel()

    def why_not(self) -> str | None:
        """Return why Run is not possible now, or None."""
        opened = self.context.scene.active
        if opened is None:
            return "Open tissue first (step 1)."
        if self.context.jobs.busy:
            return "A job is running."
        if not self.region.is_ready:
            return "Draw a region first (step 3)."
        return problem(self.context.model, opened.section.genes)

    def refresh(self) -> None:
        """Enable what is possible now."""
        job = self._job
        allow(self.run, self.why_not(), "Generate the cells of the region (Ctrl+Return)")
        stoppable = self.running and not (job.cancelled or job.reported)
        allow(self.cancel, None if stoppable else "Nothing is running.", "Stop (Esc)")
        self.bar.setVisible(self.running)
        self.result.refresh()

    def _on_tick(self, plan: Plan, trial: list[Trial], tick: Tick) -> None:
        if not self.context.session.is_open(plan.snapshot):
            self.context.jobs.cancel()
            self._say(_STALE)
            return
        added = generated = False
        for payload in tick.payloads:
            if isinstance(payload, Prepared):
                made = Trial(
                    plan.snapshot, plan.model.genes, plan.unseen, payload.new_coords_um, plan
                )
                trial.append(made)
                self.context.scene.add_trial(made)
                added = True
            elif isinstance(payload, Begun):
                trial[0].so_far = payload.so_far
            elif trial:
                trial[0].fill(payload)
                generated = True
        if not added:  # a layer is enough to draw at once
            self.bar.show_progress(tick.progress)
            self._say(progress_text(tick.progress))
        if generated:
            self.context.painter.paint_trial(trial[0])

    def _on_done(self, plan: Plan, trial: list[Trial], done: Finished) -> None:
        if not self.context.session.is_open(plan.snapshot):
            self._drop(trial)
            self._say(_STALE)
            return
        trial[0].finish(done.result)
        self.context.painter.repaint()
        call_later(partial(self._offer, trial[0], done.agreement))

    def _offer(self, trial: Trial, agreement: Agreement | None) -> None:
        if self._job.cancelled:  # the dock was closed meanwhile
            return
        self.result.show_result(trial, agreement)
        self._say(f"{len(trial.cells):,} cells generated. Keep them, or discard them.")

    def _on_error(self, trial: list[Trial], error: Exception) -> None:
        self._drop(trial)
        self._say("The run stopped with an error; nothing was changed.")
        self.context.report(self, error)

    def _on_end(self, plan: Plan, trial: list[Trial]) -> None:
        # A run whose section was closed is cancelled too, but what it made fits nothing.
        cancelled = self._job.cancelled and self.context.session.is_open(plan.snapshot)
        if trial and trial[0].result is None:
            part = trial[0].part() if cancelled else None
            self._drop(trial)
            if part is not None:
                self._show_part(part, len(trial[0].cells))
                return
        if cancelled:
            self._say("Cancelled. Nothing was changed.")

    def _show_part(self, part: Trial, wanted: int) -> None:
        self.context.scene.add_trial(part)
        self.context.painter.repaint()
        self.result.show_result(part, None)
        self._say(
            f"Cancelled after {len(part.cells):,} of {wanted:,} cells. Keep them, or discard them."
        )

    def _drop(self, trial: list[Trial]) -> None:
        for one in trial:
            self.context.scene.remove_trial(one)

    def _say(self, text: str) -> None:
        self.message.setText(text)
