"""Niches of generated cells that were kept after the niches were found."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QWidget

from napari_gest.app.actions import UpdateRun
from napari_gest.app.from_file import is_from_file
from napari_gest.app.runs.base import RunEntry, is_closed
from napari_gest.app.runs.niches import NicheSearch
from napari_gest.widgets.context import Context


class KeptCells:
    """Compares generated cells that are kept with niches that are kept or looked at.

    Parameters
    ----------
    context
        What the panels share.
    owner
        The panel whose jobs these are.
    """

    def __init__(self, context: Context, owner: QWidget) -> None:
        self.context, self._owner = context, owner
        self._tried: set[tuple[str, str]] = set()  # run of niches, run of generated cells

    def compare(self) -> None:
        """Start a job for the first niches that lack some, if no other job is at work."""
        state = self.context.state
        if self.context.jobs.busy:
            return  # asked again when the job has ended
        own = [e for e in state.listed("generation") if not is_from_file(e)]
        kept = [e for e in own if e.id in state.kept]
        for entry in state.listed("niches") if kept else ():
            looked_at = entry.id in state.kept or entry is state.shown_run("niches")
            missing = self._missing(entry, kept) if looked_at else []
            if missing and not is_closed(entry, state):
                self._tried.update((entry.id, e.id) for e in missing)  # once, even if it fails
                self._start(entry, missing)
                return

    def _missing(self, entry: RunEntry, kept: Sequence[RunEntry]) -> list[RunEntry]:
        results = [e.outcome.result for e in kept if (entry.id, e.id) not in self._tried]
        missing = set(map(id, entry.outcome.search.not_compared(results)))
        return [e for e in kept if id(e.outcome.result) in missing]

    def _start(self, entry: RunEntry, missing: Sequence[RunEntry]) -> None:
        context, search = self.context, entry.outcome.search
        results = [e.outcome.result for e in missing]

        def done(compared: NicheSearch) -> None:
            now = next((e for e in context.state.runs if e.id == entry.id), None)
            if now is not None:
                outcome = now.outcome.with_search(compared)
                context.do(UpdateRun(id=entry.id, outcome=outcome), self._owner)
                context.job_bar.say("The generated cells that were kept have niches now.")

        context.job_bar.start(
            lambda: search.compare(results, context.registry.load), done, owner=self._owner
        )
