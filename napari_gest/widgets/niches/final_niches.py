"""The niches themselves, found behind the preview that the slider shows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from superqt.utils import qdebounced

from napari_gest.app.actions import FoundNiches
from napari_gest.app.runs.niche_outcome import Asked, NicheOutcome
from napari_gest.canvas.jobs import Job, Tick, Work
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.widgets.common.controls import Panel, note
from napari_gest.widgets.common.progress_bar import progress_text
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    from napari_gest.app.runs.base import RunEntry
    from napari_gest.tasks.niches.niches import Clustered

_WAIT_MS = 400  # that the slider rests
_REPEATS = 2  # further seeds that tell the stability
STABILITY_CELLS = 20_000  # above, minutes of work that nobody asked for


@dataclass(frozen=True)
class _Wanted:
    """What is to be found of a run: the niches it was asked for, or how stable they are."""

    id: str
    asked: Asked
    stability: bool


class FinalNiches(Panel):
    """Finds the niches that are previewed, then how stable they are, and says so."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.latest = LatestJob()
        self.state = note()
        self.state.setToolTip("Of 'napari-gest niches' on the command line, with seed 0")
        self.column.addWidget(self.state)
        self._wanted: _Wanted | None = None

    def refresh(self) -> None:
        """Find what is not known of the niches shown; what is under way already goes on."""
        entry = self.context.state.shown_run("niches")
        wanted = None if entry is None else _missing(entry)
        if entry is None:
            self._say("")
        elif wanted is None or wanted != self._wanted:
            self._say("Preview" if entry.outcome.is_preview else _final(entry.outcome))
        if wanted == self._wanted:
            return
        self.rest()
        if wanted is not None:
            self._wanted = wanted
            self._start()

    def rest(self) -> None:
        """Stop; nothing more is found."""
        self._wanted = None
        self._start.cancel()
        self.latest.cancel()

    def close_jobs(self) -> None:
        """Stop for good."""
        self.rest()
        self.latest.close()

    @qdebounced(timeout=_WAIT_MS)
    def _start(self) -> None:
        entry, wanted = self.context.state.shown_run("niches"), self._wanted
        if entry is None or wanted is None:
            return
        work = _work(entry.outcome, wanted)
        self.latest.start(
            Job(
                work,
                on_tick=lambda tick: self._on_tick(tick, wanted),
                on_done=lambda niches: self._on_done(niches, wanted),
                on_error=lambda error: self._on_error(error, wanted),
            )
        )

    def _on_tick(self, tick: Tick, wanted: _Wanted) -> None:
        done = "Final; measuring the stability" if wanted.stability else "Preview; finding niches"
        self._say(progress_text(replace(tick.progress, stage=done, done=0)))

    def _on_done(self, niches: Clustered, wanted: _Wanted) -> None:
        by, value = wanted.asked
        found: dict[str, Any] = {"niches": niches}
        if wanted.stability:
            found["stability"] = niches.stability
        self.context.do(FoundNiches(id=wanted.id, by=by, value=value, **found), self)

    def _on_error(self, error: Exception, wanted: _Wanted) -> None:
        # It stays wanted, so it is not tried again and again.
        self._say("" if wanted.stability else "Preview. The niches themselves were not found.")
        self.context.report(self, error)

    def _say(self, text: str) -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))


def _missing(entry: RunEntry) -> _Wanted | None:
    """Return what is not known yet of the niches that a run shows, if anything."""
    outcome: NicheOutcome = entry.outcome
    if outcome.is_preview:
        return _Wanted(entry.id, outcome.asked, stability=False)
    n_cells = sum(len(e.rows) for e in outcome.search.embedded)
    if outcome.asked in outcome.stability or n_cells > STABILITY_CELLS:
        return None
    return _Wanted(entry.id, outcome.asked, stability=True)


def _work(outcome: NicheOutcome, wanted: _Wanted) -> Callable[[], Work]:
    request = outcome.search.request(*wanted.asked)
    if not wanted.stability:
        return request.run
    found = outcome.edits[wanted.asked][0].niches
    return lambda: replace(request, repeats=_REPEATS).repeat(found)


def _final(outcome: NicheOutcome) -> str:
    by, value = outcome.asked
    option = "n-niches" if by == "number" else "resolution"
    return f"Final. On the command line: --{option} {value:g}."
