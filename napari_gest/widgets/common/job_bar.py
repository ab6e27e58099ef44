"""The one place that shows work in the background: progress, time left, cancel, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_gest.canvas.jobs import Job, Tick, Work
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.common.progress_bar import ProgressBar, progress_text

if TYPE_CHECKING:
    from napari_gest.widgets.context import Context

CANCELLED = "Cancelled. Nothing was changed."
STOPPED = "It stopped with an error; nothing was changed."


class JobBar(Panel):
    """A bar, a line of text and Cancel, at the foot of the dock."""

    inputs = frozenset({"jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.cancel = button("Cancel", self.stop)
        self.bar = ProgressBar()
        self.message = note(name="gestFacts")
        self._job: Job | None = None
        self._owner: QWidget | None = None
        self.column.setContentsMargins(10, 4, 10, 4)
        self.column.addWidget(self.bar)
        self.column.addLayout(row(self.message, self.cancel, stretch=0))
        self.refresh()

    def running(self, owner: QWidget | None = None) -> bool:
        """Tell whether a job is at work or the next to be; of one panel, where one is given."""
        own = owner is None or owner is self._owner
        return own and self.context.jobs.has(self._job)

    def start(
        self,
        work: Callable[[], Work],
        on_done: Callable[[Any], None],
        *,
        owner: QWidget,
        on_tick: Callable[[Tick], None] | None = None,
        on_cancelled: Callable[[], str | None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> bool:
        """Start a job in the background; return False if another one is at work.

        Parameters
        ----------
        work
            Makes the generator, in the worker's thread.
        on_done
            Called with the result.
        owner
            The panel that asked for it.
        on_tick
            Called with each report, after the bar has shown it.
        on_cancelled
            Called when it has ended after Cancel; returns what to say instead of the usual.
        on_error
            Called with the error after it was reported.
        """

        def tick(report: Tick) -> None:
            self._show(report)
            if on_tick is not None:
                on_tick(report)

        def failed(error: Exception) -> None:
            self.say(STOPPED)
            if on_error is not None:
                on_error(error)
            self.context.report(owner, error)

        def end() -> None:
            if job.cancelled:
                said = on_cancelled() if on_cancelled is not None else None
                self.say(said or CANCELLED)

        job = Job(work, on_tick=tick, on_done=on_done, on_error=failed, on_end=end)
        before = self._job, self._owner
        self._job, self._owner = job, owner
        if not self.context.jobs.start(job):
            self._job, self._owner = before  # and what it says stays
            return False
        self.bar.setValue(0)
        self.say("Starting…")
        return True

    def stop(self) -> None:
        """Cancel the job at its next step."""
        if self.running() and not (self._job.reported or self._job.cancelled):
            self.say("Cancelling…")
            self.context.jobs.cancel()

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.message.setText(text)
        self.setVisible(bool(text) or self.running())

    def refresh(self) -> None:
        """Show the bar while a job runs."""
        running = self.running()
        self.bar.setVisible(running)
        stoppable = running and not (self._job.cancelled or self._job.reported)
        allow(self.cancel, None if stoppable else "Nothing is running.", "Stop (Esc)")
        self.cancel.setVisible(running)
        self.setVisible(bool(self.message.text()) or running)

    def _show(self, report: Tick) -> None:
        progress = report.progress
        self.bar.show_progress(progress)
        # "1 of 1" says nothing.
        self.say(progress_text(progress if progress.total > 1 else replace(progress, done=0)))
