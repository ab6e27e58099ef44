"""Progress of a panel's own jobs, and the way to cancel them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from napari_gest.canvas.jobs import Job, Tick, Work
from napari_gest.widgets.common.controls import Panel, allow, button, note
from napari_gest.widgets.common.progress_bar import ProgressBar, progress_text
from napari_gest.widgets.context import Context


class JobBar(Panel):
    """A progress bar and a line of text under the buttons that start and stop a job."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.cancel = button("Cancel", self.stop)
        self.bar = ProgressBar()
        self.message = note()
        self._job: Job | None = None
        self.column.addWidget(self.bar)
        self.column.addWidget(self.message)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether the job at work, or the next to be, is this panel's."""
        return self.context.jobs.has(self._job)

    def start(self, work: Callable[[], Work], on_done: Callable[[Any], None]) -> bool:
        """Start a job in the background; return False if another one is at work."""
        job = Job(
            work,
            on_tick=self._on_tick,
            on_done=on_done,
            on_error=self._on_error,
            on_end=self._on_end,
        )
        self._job = job
        self.say("Starting…")
        self.bar.setValue(0)
        return self.context.jobs.start(job)

    def stop(self) -> None:
        """Cancel this panel's job."""
        if self.running and not self._job.reported:
            self.say("Cancelling…")
            self.context.jobs.cancel()

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def refresh(self) -> None:
        """Show the bar while the job runs."""
        self.bar.setVisible(self.running)
        stoppable = self.running and not (self._job.cancelled or self._job.reported)
        allow(self.cancel, None if stoppable else "Nothing is running here.", "Stop")
        self.message.setVisible(bool(self.message.text()))

    def _on_tick(self, tick: Tick) -> None:
        progress = tick.progress
        self.bar.show_progress(progress)
        # "1 of 1" says nothing.
        self.say(progress_text(progress if progress.total > 1 else replace(progress, done=0)))

    def _on_error(self, error: Exception) -> None:
        self.say("It stopped with an error; nothing was changed.")
        self.context.report(self, error)

    def _on_end(self) -> None:
        if self._job.cancelled:
            self.say("Cancelled. Nothing was changed.")
