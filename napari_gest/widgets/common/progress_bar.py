"""Progress of long work as a bar and as a line of text."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar

from napari_gest.tasks.progress import Progress

_STEPS = 1000


class ProgressBar(QProgressBar):
    """A thin bar without text; it is empty while nobody knows how far the work is.

    Qt would move it to and fro then, thirty times a second, and with anything that is drawn the
    window puts its canvas together anew: in software half of what two cores can do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setRange(0, _STEPS)
        self.setTextVisible(False)
        self.setFixedHeight(6)

    def setValue(self, value: int) -> None:
        """Fill the bar so far, to be drawn with all that changes; Qt would draw it at once."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)

    def show_progress(self, progress: Progress) -> None:
        """Show how far a job is."""
        self.setValue(int(_STEPS * progress.done / max(progress.total, 1)))


def progress_text(progress: Progress) -> str:
    """Return in words how far a job is, and how long it will take."""
    text = f"{progress.stage}…"
    if progress.done:
        text += f" {progress.done:,} of {progress.total:,}"
    if progress.eta_s is not None and progress.eta_s >= 1:
        text += f" · {_duration(progress.eta_s)} left"
    return text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
