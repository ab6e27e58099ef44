"""Works a run in the background, shows its cells as they come, and adds it to the session."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from napari_gest.app.actions import AddRun, UpdateRun
from napari_gest.app.runs.base import RunEntry, is_closed
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.runs.generation import Begun, GenerationRun, Prepared
from napari_gest.canvas.jobs import Tick
from napari_gest.canvas.painter import Painter
from napari_gest.canvas.scene import Scene
from napari_gest.errors import InputError
from napari_gest.tasks.generation.check_map_report import CheckMap

CLOSED = "The section was closed while this ran, so the result was dropped."


class RunFollower:
    """Follows one run from its first report to its entry in the list of runs.

    Parameters
    ----------
    run
        What was asked for.
    scene, painter
        Where the cells of a generation appear.
    stop
        Stops the job; called when the section is closed.
    """

    def __init__(self, run: Any, scene: Scene, painter: Painter, stop: Callable[[], None]) -> None:
        self.run, self.scene, self.painter = run, scene, painter
        self.id = scene.session.next_id()
        self._stop, self._started = stop, time.perf_counter()
        self._cells: GeneratedCells | None = None
        self.generation: Any = None  # the moving parts of a run of generation
        self._map: CheckMap | None = None

    @property
    def n_filled(self) -> int:
        """Cells that there are so far."""
        return 0 if self._cells is None else int(self._cells.filled.sum())

    def on_tick(self, tick: Tick) -> None:
        """Show the cells that came since the last report."""
        if self._is_closed():
            self._stop()
            return
        generated = False
        for payload in tick.payloads:
            if isinstance(payload, Prepared) and isinstance(self.run, GenerationRun):
                self._cells = self.run.begun(payload)
                self.scene.add_generated(self.id, self._cells, self.run.outline)
                self.painter.begin(self._cells.snapshot.label)
            elif isinstance(payload, CheckMap):
                self._show_map(payload)
            elif self._cells is None:
                continue
            elif isinstance(payload, Begun):
                self._cells.so_far = payload.so_far
                self.generation = payload.generation
            else:
                self._cells.fill(payload)
                generated = True
        layer = self.scene.generated_layer(self.id) if generated else None
        if layer is not None:
            self.painter.paint_cells(layer)
            self.painter.outline_generated()  # drawn cells follow those expected

    def on_done(self, outcome: Any) -> RunEntry | None:
        """Add the run to the session; None where its section was closed meanwhile.

        Raises
        ------
        InputError
            If it read tissue that was changed on disk meanwhile: what it has made is of neither.
        """
        if self._is_closed():
            self.on_failed()
            return None
        self._require_same_files()
        return self._add(outcome, partial=False)

    def _show_map(self, so_far: CheckMap) -> None:
        """Show a map as far as it is: it is on the list of runs from its first tiles on."""
        self._map = so_far
        self._add(self.run.outcome(so_far), partial=True)

    def on_cancelled(self) -> RunEntry | None:
        """Add what a cancelled generation or map has made, if anything; else leave no trace."""
        cells = self._cells
        made: Any = self._map
        if cells is not None and cells.so_far is not None:
            made = cells.so_far()
            made = made if len(made.rows) else None
        if made is None or self._is_closed():
            self.on_failed()
            return None
        try:
            self._require_same_files()
        except InputError:
            self.on_failed()
            return None
        return self._add(self.run.outcome(made), partial=True)

    def why_cancelled(self) -> str | None:
        """Return that the section was closed, where that is why a job was cancelled."""
        return CLOSED if self._is_closed() else None

    def on_failed(self) -> None:
        """Take the cells that were waiting off the canvas."""
        if self.scene.generated_layer(self.id) is not None:
            self.scene.remove_generated(self.id)
            self.painter.repaint()

    def _add(self, outcome: Any, partial: bool) -> RunEntry:
        seconds, session = time.perf_counter() - self._started, self.scene.session
        if any(entry.id == self.id for entry in session.state.runs):
            self.scene.journal.do(
                UpdateRun(id=self.id, outcome=outcome, partial=partial, seconds=seconds)
            )
            return session.state.entry(self.id)
        entry = RunEntry(
            self.id,
            self.run.title,
            self.run,
            outcome,
            datetime.now().isoformat(timespec="seconds"),
            seconds,
            partial,
        )
        self.scene.journal.do(AddRun.of(entry))
        return session.state.entry(self.id)

    def _require_same_files(self) -> None:
        sections = self.scene.session.state.sections
        for snapshot in self.run.snapshots:
            sections[snapshot.label].require_same_file()

    def _is_closed(self) -> bool:
        return is_closed(RunEntry("", "", self.run, None), self.scene.session.state)
