"""Work nobody has to wait for, beside the jobs: only the newest piece of it counts."""

from __future__ import annotations

from psygnal import Signal

from napari_gest.canvas.jobs import Job, Jobs


class LatestJob:
    """Runs one job, in a thread beside that of the others; a newer one takes its place.

    ``changed`` is emitted when one starts, is cancelled or ends.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._jobs = Jobs()
        self._waiting: Job | None = None
        self._jobs.changed.connect(self._go_on)

    @property
    def busy(self) -> bool:
        return self._jobs.busy or self._waiting is not None

    def start(self, job: Job) -> None:
        """Cancel what is at work and start a job as soon as the thread is free."""
        self._waiting = job
        if self._jobs.busy:
            self._jobs.cancel()
        else:
            self._go_on()

    def cancel(self) -> None:
        """Stop; nothing is reported from now on."""
        self._waiting = None
        self._jobs.cancel()

    def close(self) -> None:
        """Stop for good."""
        self._waiting = None
        self._jobs.close()

    def _go_on(self) -> None:
        if self._waiting is not None and not self._jobs.busy:
            job, self._waiting = self._waiting, None
            self._jobs.start(job)
        self.changed.emit()
