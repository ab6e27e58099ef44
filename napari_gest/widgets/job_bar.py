"""Progress of a panel's own jobs, and the way to cancel them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QProgressBar

from napari_gest.viewer.worker import Job, Tick, Work
from napari_gest.widgets.context import Context
from napari_gest.widgets.parts import Panel, allow, button, note

_STEPS = 1000


class JobBar(Panel):
    """A progress bar and a line of text under the buttons that start and stop a job."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.cancel = button("Cancel", self.stop)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.message = note()
        self._job: Job | None = None
        self.column.addWidget(self.bar)
        self.column.addWidget(self.message)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether the job at work is this panel's."""
        return self._job is not None and self.context.jobs.current is self._job

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
        self.bar.setRange(0, 0)
        return self.context.jobs.start(job)

    def stop(self) -> None:
        """Cancel this panel's job."""
        if self.running:
            self.say("Cancelling…")
            self.context.jobs.cancel()

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def refresh(self) -> None:
        """Show the bar while the job runs."""
        self.bar.setVisible(self.running)
        stoppable = self.running and not self._job.cancelled
        allow(self.cancel, None if stoppable else "Nothing is running here.", "Stop")
        self.message.setVisible(bool(self.message.text()))

    def _on_tick(self, tick: Tick) -> None:
        progress = tick.progress
        self.bar.setRange(0, _STEPS if progress.done else 0)  # 0 to 0 shows that it is busy
        self.bar.setValue(int(_STEPS * progress.done / max(progress.total, 1)))
        text = f"{progress.stage}…"
        if progress.done and progress.total > 1:
            text += f" {progress.done:,} of {progress.total:,}"
        if progress.eta_s is not None and progress.eta_s >= 1:
            text += f" · {duration(progress.eta_s)} left"
        self.say(text)

    def _on_error(self, error: Exception) -> None:
        self.say("It stopped with an error; nothing was changed.")
        self.context.report(self, error)

    def _on_end(self) -> None:
        if self._job.cancelled:
            self.say("Cancelled. Nothing was changed.")


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
