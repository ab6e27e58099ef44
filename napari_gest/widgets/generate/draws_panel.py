"""The draws of a run: another one, which is shown, and all of them one after the other."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QSpinBox

from napari_gest.app.actions import ChangeView, ShowDraw
from napari_gest.app.from_file import WHY_NOT, is_from_file
from napari_gest.app.generated_view import NO_DRAWS
from napari_gest.app.runs.base import RunEntry, is_closed
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.state import State
from napari_gest.canvas.redraws import Redraws
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.context import Context

_PLAYED = 8  # draws that are there before Play goes round
_EACH_MS = 500
_FITTING = "The section is learned once more, to draw from it…"
_DRAWING = "Drawing…"


class DrawsPanel(Panel):
    """Again, Play, and a number to choose a draw."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.redraws = Redraws(context.session, context.registry.load, self._failed)
        self.redraws.changed.connect(self._on_ready)
        self.again_button = button("Again", self.again)
        self.play_button = button("Play", self.play)
        self.number = QSpinBox()
        self.number.setAccessibleName("Draw")
        self.number.valueChanged.connect(self._choose)
        self.waiting = note()
        self.column.addLayout(row(self.again_button, self.play_button, self.number))
        self.column.addWidget(self.waiting)
        self._asked: str | None = None  # the run of which a draw is shown as soon as it is there
        self._playing: tuple[object, ...] | None = None  # what was seen when it began
        self._at = 1
        self._timer = QTimer(self, interval=_EACH_MS)
        self._timer.timeout.connect(self._next)

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("generation")

    @property
    def playing(self) -> bool:
        """Whether draws are shown one after the other."""
        return self._playing is not None

    def again(self) -> None:
        """Draw the region once more, with nothing fitted anew, and show that draw."""
        self.stop()
        entry = self.entry
        if entry is None or self.why_not(entry) is not None:
            return
        ready, number = self.redraws.ready(entry), entry.outcome.n_draws + 1
        if ready:
            self._look()
            self.context.do(ShowDraw(id=entry.id, draw=number, added=ready[:1]), self)
            return
        self._asked = entry.id
        self.redraws.prepare(entry, 1)
        self.refresh()

    def play(self) -> None:
        """Show the draws one after the other, or stop and stay at the one that is seen."""
        if self.playing:
            self.stop()
            return
        entry = self.entry
        if entry is None or self.why_not_play(entry) is not None:
            return
        self._look()
        self._playing, self._at = self._seen(), entry.outcome.number
        missing = _PLAYED - entry.outcome.n_draws
        if missing > 0 and self.why_not(entry) is None:
            self.redraws.prepare(entry, missing)
        self._timer.start()
        self.refresh()

    def stop(self) -> None:
        """Stop playing; the draw that is seen is then the one that is shown, by one action."""
        entry = self.entry
        if not self.playing or entry is None:
            return
        at, ready = self._at, self.redraws.ready(entry)
        self._end()
        if at != entry.outcome.number:
            added = ready[: max(at - entry.outcome.n_draws, 0)]
            self.context.do(ShowDraw(id=entry.id, draw=at, added=added), self)
        self.refresh()

    def close_jobs(self) -> None:
        """Stop for good."""
        self._timer.stop()
        self._playing = None
        self.redraws.changed.disconnect(self._on_ready, missing_ok=True)
        self.redraws.close()

    def refresh(self) -> None:
        """Enable what is possible now."""
        entry = self.entry
        if self.playing and self._seen() != self._playing:
            self._end()
        self.setVisible(entry is not None)
        if entry is None:
            return
        waiting = self._asked == entry.id
        drawing = "It is being drawn." if waiting else None
        allow(self.again_button, self.why_not(entry) or drawing,
              "Draw the region once more; nothing is fitted anew")  # fmt: skip
        tip = "Show draws one after the other: what is certain stands still, what is not flickers"
        allow(self.play_button, None if self.playing else self.why_not_play(entry),
              "Stop at the draw that is seen" if self.playing else tip)  # fmt: skip
        self.play_button.setText("Stop" if self.playing else "Play")
        made = entry.outcome.cells
        if not self.playing:
            self._show_number(made)
        only = "There is one draw. Press Again for another." if made.of == 1 else None
        allow(self.number, only if made.draws else NO_DRAWS, "The draw that is shown, and kept")
        waiting = waiting or (self.playing and made.of + len(self.redraws.ready(entry)) == 1)
        self.waiting.setText(_DRAWING if self.redraws.holds(entry) else _FITTING)
        self.waiting.setVisible(waiting)

    def _show_number(self, made: GeneratedCells) -> None:
        with QSignalBlocker(self.number):
            self.number.setRange(1, max(made.of, 1))
            self.number.setValue(made.number)
            self.number.setSuffix(f" of {made.of}")

    def why_not(self, entry: RunEntry) -> str | None:
        """Return why the region of a run cannot be drawn again, or None."""
        if self.context.jobs.busy:
            return "Wait until the run has ended."
        if is_from_file(entry):
            return WHY_NOT
        if entry.partial:
            return "The run was cancelled. Run it again."
        if is_closed(entry, self.context.state):
            return "The section of this result was closed."
        reason: str | None = entry.outcome.why_no_more()
        return reason

    def why_not_play(self, entry: RunEntry) -> str | None:
        """Return why there is nothing to play, or None."""
        if self.context.jobs.busy:
            return "Wait until the run has ended."
        return None if entry.outcome.cells.of > 1 else self.why_not(entry)

    def _look(self) -> None:
        """Show typical cells, of which there are draws."""
        if self.context.state.view.view != "generated":
            self.context.do(ChangeView.of(view="generated"), self)

    def _choose(self, number: int) -> None:
        if self.entry is not None:
            self._end()
            self.context.do(ShowDraw(id=self.entry.id, draw=number), self)

    def _next(self) -> None:
        entry = self.entry
        if entry is None or self._seen() != self._playing:
            self._end()
            self.refresh()
            return
        ready = self.redraws.ready(entry)
        total = entry.outcome.n_draws + len(ready)
        if total > 1:  # else the second is still being drawn
            self._at = self._at % total + 1
            self.waiting.setVisible(False)
            result = entry.outcome.of_draw(self._at, ready)
            made = GeneratedCells.showing(entry.run.snapshot, result, self._at, total)
            self.context.painter.play(entry.id, made)
            self._show_number(made)

    def _seen(self) -> tuple[object, ...]:
        """Return what may not change while draws are played."""
        state: State = self.context.state
        entry = self.entry
        about = (None, None) if entry is None else (entry.id, entry.outcome)
        return (*about, state.view, state.sections, self.context.jobs.busy)

    def _end(self) -> None:
        self._timer.stop()
        if self.playing:
            run_id, self._playing = self._playing[0], None
            self.context.painter.play(str(run_id), None)
            self.redraws.rest()

    def _on_ready(self) -> None:
        entry = self.entry
        if self._asked is not None and (entry is None or entry.id != self._asked):
            self._asked = None  # another run is looked at
        if self._asked is not None and entry is not None and self.redraws.ready(entry):
            self._asked = None
            self.again()
            return
        self.refresh()

    def _failed(self, error: Exception) -> None:
        self._asked = None
        self.context.report(self, error)
