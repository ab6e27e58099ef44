"""Further draws of the run that is looked at, made in the background before anyone asks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from psygnal import Signal

from napari_gest.app.runs.base import RunEntry
from napari_gest.app.session import Session
from napari_gest.canvas.jobs import Job, Tick
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.tasks.progress import Progress

AHEAD = 2  # draws that are there before anyone asks: who presses once often presses twice


class Redraws:
    """Draws a region again with what its run has fitted; one run at a time.

    ``changed`` is emitted when a draw is ready, and when work begins or ends.

    Parameters
    ----------
    session
        Tells which run is looked at. Once it is another one, all that is held here is let go.
    load
        Loads a model by name, for runs of which nothing is held: they are fitted anew.
    report
        Takes an error.
    """

    changed = Signal()

    def __init__(
        self,
        session: Session,
        load: Callable[[str], Any],
        report: Callable[[Exception], object],
    ) -> None:
        self.session, self._load, self._report = session, load, report
        self._job = LatestJob()
        self._run_id: str | None = None
        self._generation: Any = None
        self._ready: dict[int, Any] = {}
        self._upto = 0
        session.changed.connect(self._on_changed)

    @property
    def busy(self) -> bool:
        """Whether a draw is being made."""
        return self._job.busy

    def holds(self, entry: RunEntry) -> bool:
        """Tell whether a run can be drawn again without fitting anything anew."""
        return entry.id == self._run_id and self._generation is not None

    def take(self, entry: RunEntry, generation: Any) -> None:
        """Hold the moving parts of a run that has ended, and prepare a draw."""
        self.forget()
        self._run_id, self._generation = entry.id, generation
        self.prepare(entry, AHEAD)

    def ready(self, entry: RunEntry) -> tuple[Any, ...]:
        """Return the draws that are ready and follow those that a run has."""
        if entry.id != self._run_id:
            return ()
        number, found = entry.outcome.n_draws + 1, []
        while number in self._ready:
            found.append(self._ready[number])
            number += 1
        return tuple(found)

    def prepare(self, entry: RunEntry, n: int) -> None:
        """Have ``n`` draws ready that follow those of a run, as far as it may have more."""
        if entry.id != self._run_id:
            self.forget()
            self._run_id = entry.id
        outcome = entry.outcome
        while n and outcome.why_no_more(n - 1) is not None:
            n -= 1
        self._upto = max(self._upto, outcome.n_draws + n)
        if not self.busy:
            self._start(entry)

    def rest(self) -> None:
        """Stop drawing; what is ready stays."""
        self._upto = 0
        self._job.cancel()

    def forget(self) -> None:
        """Let go of everything."""
        self.rest()
        self._run_id, self._generation = None, None
        self._ready.clear()

    def close(self) -> None:
        """Stop for good."""
        self.session.changed.disconnect(self._on_changed, missing_ok=True)
        self._job.close()
        self._run_id, self._generation = None, None
        self._ready.clear()

    def _entry(self) -> RunEntry | None:
        entry = self.session.state.shown_run("generation")
        return entry if entry is not None and entry.id == self._run_id else None

    def _start(self, entry: RunEntry) -> None:
        first = entry.outcome.n_draws + len(self.ready(entry)) + 1
        numbers = range(first, self._upto + 1)
        if not numbers:
            return
        run, result, held = entry.run, entry.outcome.result, self._generation
        load, run_id = self._load, entry.id

        def work() -> Generator[Progress, None, None]:
            generation = held
            if generation is None:
                generation = yield from run.resume(load, result)
                yield Progress("Drawing the region again", 0, 1, payload=generation)
            for number in numbers:
                draw = yield from generation.another(number)
                yield Progress("Drawing the region again", 0, 1, payload=(number, draw))

        def tick(report: Tick) -> None:
            if run_id != self._run_id:
                return
            for payload in report.payloads:
                if isinstance(payload, tuple):
                    self._ready[payload[0]] = payload[1]
                else:
                    self._generation = payload
            self.changed.emit()

        def failed(error: Exception) -> None:
            self.rest()
            self._report(error)

        self._job.start(Job(work, on_tick=tick, on_error=failed, on_end=self._on_end))
        self.changed.emit()

    def _on_end(self) -> None:
        entry = self._entry()
        if entry is not None and not self._job.busy:
            self._start(entry)  # more were asked for meanwhile
        self.changed.emit()

    def _on_changed(self, changed: frozenset[str]) -> None:
        if not changed & {"runs", "shown", "sections"} or self._run_id is None:
            return
        entry = self._entry()
        if entry is None:
            self.forget()
            return
        n_draws = entry.outcome.n_draws
        for number in [one for one in self._ready if one <= n_draws]:
            del self._ready[number]
        if self._generation is not None and len(self._ready) < AHEAD:
            self.prepare(entry, AHEAD)
