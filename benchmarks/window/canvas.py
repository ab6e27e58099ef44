"""Waiting times in the window: a real viewer with the dock, driven step by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.timing import Figure
from benchmarks.scale.speed import tissue_like
from napari_gest.app.actions import ChangeView
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.canvas._napari_private.attributes import scene_canvas
from napari_gest.canvas._napari_private.compat import camera
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import write_tissue
from napari_gest.widgets.headless_viewer import HeadlessViewer

_BEAT_MS = 5  # interval at which the event loop is tested
_MOST_REFRESHES = 5  # on opening a file: two jobs that begin and end, and one action


class Pulse:
    """Records the turns of Qt's event loop; the time between two turns is a block."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.turns: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(_BEAT_MS)
        self.timer.timeout.connect(lambda: self.turns.append(time.perf_counter()))
        self.timer.start()

    def blocks_ms(self, start: float, end: float) -> np.ndarray:
        """Return the gaps between turns from ``start`` to ``end``, milliseconds, longest first."""
        turns = np.array([start, *(t for t in self.turns if start < t < end), end])
        return np.sort(np.diff(turns))[::-1] * 1e3


class Window(HeadlessViewer):
    """The viewer with the dock and an open file, with timers."""

    def __init__(self, path: Path) -> None:
        super().__init__(pause_s=0.004)
        self.pulse = Pulse()
        self.settle()
        panels = self.home.panels
        before = [panel.n_refreshed for panel in panels]
        started = time.perf_counter()
        self.home.open_panel.open([path])
        self.until(lambda: self.context.scene.active is not None and not self.context.jobs.busy)
        self.settle()
        self.open_s = time.perf_counter() - started
        self.refreshed = {
            type(panel).__name__: panel.n_refreshed - n
            for panel, n in zip(panels, before, strict=True)
        }

    def settle(self) -> None:
        """Let the window draw changes: wait for several turns of its event loop."""
        n = len(self.pulse.turns)
        self.until(lambda: len(self.pulse.turns) >= n + 5)

    def ms(self, work: Callable[[], Any]) -> float:
        """Return milliseconds until the changes of ``work`` are drawn."""
        started = time.perf_counter()
        work()
        self.settle()
        return (time.perf_counter() - started) * 1e3

    def show(self, **changes: Any) -> None:
        """Change the view of the canvas."""
        self.context.do(ChangeView.of(**changes))

    def close(self) -> None:
        self.pulse.timer.stop()
        super().close()


@contextmanager
def _window(n_cells: int, model: GeST) -> Iterator[Window]:
    adata = tissue_like(model, n_cells, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tissue.h5ad"
        write_tissue(adata, path)
        window = Window(path)
        try:
            yield window
        finally:
            window.close()


def _lasso(window: Window, n_unseen: int) -> np.ndarray:
    """Return (n, 2) corners of a round region that holds about ``n_unseen`` cells, (y, x)."""
    coords = window.context.scene.active.section.coords_um
    centre = coords.mean(axis=0)
    radius = np.sort(np.linalg.norm(coords - centre, axis=1))[n_unseen]
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return (centre + radius * np.column_stack([np.cos(angle), np.sin(angle)]))[:, ::-1]


def _slide(window: Window, repeats: int) -> list[float]:
    """Return milliseconds until other numbers of niches are drawn, once the tissue is embedded."""
    panel, session = window.home.niches_panel, window.context.session
    panel.start()
    window.until(lambda: panel.niches is not None and not window.context.jobs.busy)
    window.settle()
    took = []
    for more in range(1, repeats + 1):
        told = list[frozenset[str]]()
        hear = told.append
        session.changed.connect(hear)
        started = time.perf_counter()
        panel.number.setValue(panel.number.value() + more)
        window.until(lambda: any("runs" in changed for changed in told))  # noqa: B023
        window.settle()
        session.changed.disconnect(hear)
        took.append((time.perf_counter() - started) * 1e3)
        panel.final.rest()
    return took


def run(model_name: str, n_cells: int, n_unseen: int, repeats: int) -> list[Figure]:
    """Return waiting times with ``n_cells`` open, and in a run over ``n_unseen`` of them."""
    model = GeST.load(model_name)
    with _window(n_cells, model) as window:
        context, panel = window.context, window.home.run_panel
        painter = context.painter
        genes = context.scene.active.section.genes
        by_gene = [window.ms(lambda g=g: window.show(gene=g)) for g in genes[:repeats]]
        window.ms(lambda: window.show(column="cell_type"))
        names = painter.legend.colors.names[:repeats]
        legend = [window.ms(lambda n=n: window.show(hidden={n})) for n in names]
        window.show(hidden=set(), gene=genes[0])
        window.settle()
        looking, scene = camera(window.viewer), scene_canvas(window.viewer)
        zoom, frames, zooming = looking.zoom, [], []
        for closer in (1, 3, 6, 14, 40):
            zooming.append(window.ms(lambda c=closer: setattr(looking, "zoom", zoom * c)))
            frames.append(max(window.ms(scene.update) for _ in range(repeats)))
        looking.zoom = zoom
        window.settle()
        region = context.scene.draw("pan_zoom")
        corners = _lasso(window, n_unseen)
        lasso = window.ms(lambda: region.add([corners], shape_type="polygon"))
        started = time.perf_counter()
        unseen, _ = unseen_cells(context.state)
        mask = (time.perf_counter() - started) * 1e3
        window.settle()

        # Run, and cancel in the middle.
        panel.start()
        window.until(lambda: any(made.filled.any() for made, _ in context.scene.generated()))
        ended: list[float] = []
        context.jobs.changed.connect(
            lambda: None if context.jobs.busy else ended.append(time.perf_counter())
        )
        pressed = time.perf_counter()
        window.home.job_bar.stop()
        acknowledged = (time.perf_counter() - pressed) * 1e3
        window.until(lambda: not context.jobs.busy)
        stopped = (ended[0] - pressed) * 1e3
        panel.result.discard()
        window.settle()

        # Run to the end.
        painted: list[float] = []
        painter.cells_painted.connect(lambda: painted.append(time.perf_counter()))
        pressed = time.perf_counter()
        panel.start()
        window.until(lambda: bool(painted) and painted[-1] > pressed)
        window.settle()
        first = time.perf_counter()
        window.until(lambda: panel.result.entry is not None)
        done = painted[-1]
        window.settle()
        start = window.pulse.blocks_ms(pressed, first)
        during = window.pulse.blocks_ms(first, done)
        end = window.pulse.blocks_ms(done, time.perf_counter())
        panel.result.discard()
        window.settle()
        sliding = _slide(window, repeats)

    def figure(what: str, ms: float, bar: float | None) -> Figure:
        met = None if bar is None else ms <= bar
        return Figure(
            what, f"{ms:.0f} ms", "" if bar is None else f"<= {bar:.0f} ms", met, {"ms": ms}
        )

    busiest = max(window.refreshed, key=lambda name: window.refreshed[name])
    most = window.refreshed[busiest]
    refreshes = Figure(
        "  most refreshes of one panel meanwhile",
        f"{most} ({busiest})",
        f"<= {_MOST_REFRESHES}",
        most <= _MOST_REFRESHES,
        dict(window.refreshed),
    )
    return [
        figure("file opened and drawn", window.open_s * 1e3, None),
        refreshes,
        figure("coloured by another gene", float(np.median(by_gene)), 300),
        figure("a name of the legend hidden", float(np.median(legend)), 300),
        figure("canvas drawn again, from afar and close up: longest", max(frames), None),
        figure("zoomed in and drawn: longest", max(zooming), None),
        figure(f"region of {unseen.sum():,} cells drawn", lasso, None),
        figure("  cells in it found", mask, 100),
        figure("Run pressed: first cells drawn", (first - pressed) * 1e3, 1000),
        figure("  longest block until then", float(start[0]), 100),
        figure("during the run: longest block", float(during[0]), 100),
        figure("  and the tenth longest", float(during[9]), None),
        figure("result shown: longest block", float(end[0]), 100),
        figure("Cancel pressed: button and text say so", acknowledged, 200),
        figure("  the work has stopped, what it made is shown", stopped, None),
        figure("slider of niches moved: another number drawn", float(np.median(sliding)), 300),
    ]
