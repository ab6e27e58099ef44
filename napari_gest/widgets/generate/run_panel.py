"""Step 5: run, watch, decide."""

from __future__ import annotations

from typing import Any

from napari_gest.app.actions import ChangeView
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.wording import counted
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.runner import CLOSED
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, allow, button, note, shortcut
from napari_gest.widgets.context import Context
from napari_gest.widgets.generate.check_panel import CheckPanel
from napari_gest.widgets.generate.result_panel import ResultPanel

_HELP = "Cells fill in from the rim inward. Your measured data are never changed."


class RunPanel(Panel):
    """Starts runs and shows what came of them."""

    inputs = frozenset({"sections", "active", "shapes", "choices", "view", "runs", "kept",
                        "shown", "jobs"})  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.run = button("Run", self.start, primary=True)
        self.help = note(_HELP)
        self.result = ResultPanel(context)
        self.check = CheckPanel(context)
        for widget in (self.run, self.help, self.result, self.check):
            self.column.addWidget(widget)
        shortcut("Ctrl+Return", self, self.start)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether a run is at work or the next to be, rather than a job of another step."""
        return self.context.job_bar.running(self)

    def start(self) -> None:
        """Run with what is chosen in the steps above."""
        if self.why_not() is not None:
            return
        try:
            run = GenerationRun.of(self.context.state, self.context.model)
            run.check()
        except GestError as error:
            self.context.report(self, error)
            return
        self.start_run(run)

    def start_run(self, run: GenerationRun) -> None:
        """Start a run; earlier ones stay in the list of runs. A check gives way to it."""
        context = self.context
        self.check.rest()
        view = context.state.view
        gene = view.gene or context.state.sections[run.snapshot.label].telling_gene
        first = "generated" if run.mode == "sample" else "expected"
        self.result.draws.redraws.rest()
        context.scene.put_aside()
        context.do(ChangeView.of(gene=gene, column=None, view=first), self)
        follower = context.follower(run)

        def done(outcome: Any) -> None:
            entry = follower.on_done(outcome)
            if entry is not None and entry.outcome.result.is_drawn:
                self.result.draws.redraws.take(entry, follower.generation)
            said = CLOSED
            if entry is not None:
                n = counted(len(entry.outcome.cells.cells), run.snapshot.section)
                said = f"{n} generated. Keep them, or discard them."
            call_later(lambda: context.job_bar.say(said))
            if entry is not None:
                self.check.after_run(run)

        def cancelled() -> str | None:
            entry = follower.on_cancelled()
            if entry is None:
                return None if context.session.is_open(run.snapshot) else CLOSED
            made = counted(len(entry.outcome.cells.cells), run.snapshot.section)
            return f"Cancelled after {made}. Keep them, or discard them."

        context.job_bar.start(
            lambda: run.work(context.registry.load),
            done,
            owner=self,
            on_tick=follower.on_tick,
            on_cancelled=cancelled,
            on_error=lambda error: follower.on_failed(),
        )

    def why_not(self) -> str | None:
        """Return why Run is not possible now, or None."""
        context, state = self.context, self.context.state
        if context.opened is None or context.jobs.busy:
            return context.why_not()
        if not (state.region("unseen") or state.mask_key):
            return "Draw a region first (step 3)."
        return context.why_not()

    def refresh(self) -> None:
        """Enable what is possible now."""
        allow(self.run, self.why_not(), "Generate the cells of the region (Ctrl+Return)")
        self.help.setVisible(self.context.state.shown_run("generation") is None)
        self.result.refresh()
        self.check.refresh()
