"""The niches themselves, found behind the preview that the slider shows at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from superqt.utils import qdebounced

from napari_gest.canvas.jobs import Job, Tick
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.widgets.common.controls import Panel, note
from napari_gest.widgets.common.progress_bar import progress_text
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    from napari_gest.tasks.niches.cluster import ClusterRequest
    from napari_gest.tasks.niches.niches import Clustered

_WAIT_MS = 400  # that the slider rests
_REPEATS = 2  # further seeds that tell the stability
STABILITY_CELLS = 20_000  # above, minutes of work that nobody asked for


class FinalNiches(Panel):
    """Finds the niches of a request in the background, then how stable they are, and says so."""

    found = Signal(object)  # Clustered, of the request wanted last
    stable = Signal(object)  # the same, with its stability

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.latest = LatestJob()
        self.state = note()
        self.state.setToolTip("Of 'napari-gest niches' on the command line, with seed 0")
        self.column.addWidget(self.state)
        self._wanted: tuple[ClusterRequest, Clustered | None] | None = None

    def want(self, request: ClusterRequest, niches: Clustered | None, is_stable: bool) -> None:
        """Find the niches of a request unless they are given, and their stability unless known."""
        self.rest()
        n_cells = sum(len(e.rows) for e in request.embedded)
        self._say("Preview" if niches is None else _final(request))
        if niches is None or not (is_stable or n_cells > STABILITY_CELLS):
            self._wanted = request, niches
            self._start()

    def rest(self) -> None:
        """Stop; nothing more is found."""
        self._wanted = None
        self._start.cancel()
        self.latest.cancel()

    @qdebounced(timeout=_WAIT_MS)
    def _start(self) -> None:
        if self._wanted is None:
            return
        request, niches = self._wanted
        repeat = replace(request, repeats=_REPEATS)
        self.latest.start(
            Job(
                request.run if niches is None else lambda: repeat.repeat(niches),
                on_tick=self._on_tick,
                on_done=self._on_done,
                on_error=self._on_error,
            )
        )

    def _on_tick(self, tick: Tick) -> None:
        _, niches = self._wanted
        state = "Preview; finding the niches" if niches is None else "Final; telling how stable"
        self._say(progress_text(replace(tick.progress, stage=state, done=0)))

    def _on_done(self, result: Clustered) -> None:
        request, niches = self._wanted
        self._say(_final(request))
        (self.found if niches is None else self.stable).emit(result)

    def _on_error(self, error: Exception) -> None:
        preview = self._wanted[1] is None
        self._say("Preview. The niches themselves could not be found." if preview else "")
        self.context.report(self, error)

    def _say(self, text: str) -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))


def _final(request: ClusterRequest) -> str:
    if request.method == "leiden":
        return f"Final: the same as --resolution {request.resolution:g}."
    return f"Final: the same as --n-niches {request.n_niches}."
