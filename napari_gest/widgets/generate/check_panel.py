"""How far to trust generation here: asked before a run, or by itself after one."""

from __future__ import annotations

import logging
from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox

from napari_gest.app.actions import Choose, ShowRuns
from napari_gest.app.runs.check import CheckOutcome, CheckRun, known_check
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.canvas.check_contour import CheckContour
from napari_gest.canvas.jobs import Job, Tick
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.common.progress_bar import ProgressBar, progress_text
from napari_gest.widgets.context import Context
from napari_gest.widgets.generate.check_map_panel import CheckMapPanel
from napari_gest.widgets.generate.check_result import CheckResult

_LOG = logging.getLogger(__name__)
_MOST_UNASKED = 200_000  # cells: a check holds all of their expression several times over
_CANCELLED = "The check was cancelled."
_TIP = "Hide measured patches that resemble the region, generate them, and compare"


class CheckPanel(Panel):
    """Starts checks and shows what they say.

    A check runs in a thread beside the jobs: nothing waits for it. A newer one takes its place.
    ``train_wanted`` is emitted when a model is to be trained on this tissue.
    """

    train_wanted = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.latest = LatestJob()
        self.contour = CheckContour(context.scene)
        self.by_itself = QCheckBox("After each run")
        self.by_itself.setToolTip(
            "Check by itself, in the background: half a minute or so on one processor"
        )
        self.by_itself.toggled.connect(lambda on: context.do(Choose.of(check=on), self))
        self.ask_button = button("How well will it work here?", self.ask)
        self.bar, self.message = ProgressBar(), note(name="gestFacts")
        self.cancel_button = button("Cancel", self.stop, "Stop the check")
        self.result = CheckResult(context, self.train_wanted.emit)
        self.map = CheckMapPanel(context)
        self._label: str | None = None  # of the section that is being checked
        self.column.addLayout(row(self.ask_button, self.by_itself, stretch=0))
        self.progress = Panel()  # what is hidden one by one would leave its gaps
        self.progress.column.addWidget(self.bar)
        self.progress.column.addLayout(row(self.message, self.cancel_button, stretch=0))
        self.column.addWidget(self.progress)
        self.column.addWidget(self.result)
        self.column.addWidget(self.map)
        self.latest.changed.connect(self._show_busy)
        self._show_busy()
        self.refresh()

    def ask(self) -> None:
        """Check the region that is drawn, before or after a run."""
        if self.why_not() is not None:
            return
        try:
            run = CheckRun(GenerationRun.of(self.context.state, self.context.model))
            run.check()
        except GestError as error:
            self.context.report(self, error)
            return
        self._start(run)

    def after_run(self, generation: GenerationRun) -> None:
        """Check what was just generated, unless that was done before or nobody wants it."""
        if not self.context.state.choices.check:
            return
        run = CheckRun(generation)
        known = known_check(self.context.state, run)
        if known is not None:
            self.context.do(ShowRuns(kind="check", ids=(known.id,)), self)
        elif generation.snapshot.section.n_obs > _MOST_UNASKED:
            self._say("This section is large: press the button above for a check.")
        else:
            self._start(run)

    def stop(self) -> None:
        """Cancel the check at its next step."""
        if self.latest.busy:
            self.latest.cancel()
            self._say(_CANCELLED)

    def rest(self) -> None:
        """Stop for something that goes first, and say nothing."""
        self.latest.cancel()
        self._say("")

    def close_jobs(self) -> None:
        """Stop for good: the dock is closed."""
        self.latest.close()
        self.latest.changed.disconnect(self._show_busy, missing_ok=True)
        self.contour.detach()

    def why_not(self) -> str | None:
        """Return why no check is possible now, or None."""
        context, state = self.context, self.context.state
        if context.opened is None:
            return "Open tissue first (step 1)."
        if not (state.region("unseen") or state.mask_key):
            return "Draw a region first (step 3)."
        return context.registry.why_unusable(state.choices.model, context.opened.section.genes)

    def refresh(self) -> None:
        """Show what is known, and enable what is possible now."""
        state = self.context.state
        if self._label is not None and self._label not in state.sections:
            self.rest()
        with QSignalBlocker(self.by_itself):
            self.by_itself.setChecked(state.choices.check)
        self._allow()
        self.result.refresh()
        self.map.refresh()

    def _start(self, run: CheckRun) -> None:
        context = self.context
        follower = context.follower(run, self.latest.cancel)

        def tick(report: Tick) -> None:
            follower.on_tick(report)
            progress = report.progress
            self.bar.show_progress(progress)
            self._say(progress_text(progress if progress.total > 1 else replace(progress, done=0)))

        def done(outcome: CheckOutcome) -> None:
            self._say("")
            entry = follower.on_done(outcome)
            if entry is not None and not context.jobs.busy:  # what it says may be out of sight
                context.job_bar.say(f"Check: {outcome.check.headline}")

        def failed(error: Exception) -> None:
            # Nobody may be waiting for it, so it is said here and not in a dialog.
            if isinstance(error, GestError):
                self._say(f"No check. {error.cause} {error.remedy}")
            else:
                _LOG.error("the check failed", exc_info=error)
                self._say(f"The check failed ({type(error).__name__}: {error}).")

        self._label = run.generation.snapshot.label
        self.bar.setValue(0)
        self._say("The check begins…")
        work = context.registry.load
        self.latest.start(Job(lambda: run.work(work), tick, done, failed))

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.progress.setVisible(bool(text) or self.latest.busy)

    def _show_busy(self) -> None:
        if not self.latest.busy:
            self._label = None
        busy = self.latest.busy
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)
        self.progress.setVisible(busy or bool(self.message.text()))
        self._allow()

    def _allow(self) -> None:
        busy = "A check is at work." if self.latest.busy else None
        allow(self.ask_button, self.why_not() or busy, _TIP)
