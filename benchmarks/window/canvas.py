"""Waiting times in the window: a real viewer with the dock, driven step by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.timing import Figure
from benchmarks.scale.speed import tissue_like
from napari_gest.app.actions import ChangeView
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.canvas._napari_private.attributes import scene_canvas
from napari_gest.canvas._napari_private.compat import camera
from napari_gest.canvas.check_contour import NAME, contour_layer
from napari_gest.canvas.line_layer import LineLayer
from napari_gest.canvas.redraws import AHEAD
from napari_gest.canvas.shapes import CHECKED_DEPTH
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.headless_viewer import HeadlessViewer

_BEAT_MS = 5  # interval at which the event loop is tested
_MOST_REFRESHES = 5  # on opening a file: two jobs that begin and end, and one action


class Pulse:
    """Records the turns of Qt's event loop; the time between two turns is a block.

    A block is measured in processor time of the window's thread. On a shared machine the clock
    runs on while the thread waits for a processor.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.turns: list[float] = []
        self._worked: list[float] = []  # processor time of this thread at each turn
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(_BEAT_MS)
        self.timer.timeout.connect(self._note)
        self.timer.start()

    def _note(self) -> None:
        self.turns.append(time.perf_counter())
        self._worked.append(time.thread_time())

    def blocks_ms(self, start: float, end: float) -> Blocks:
        """Return the blocks from ``start`` to ``end``: from the turn before to the one after."""
        turns = np.array(self.turns)
        first = max(int(np.searchsorted(turns, start)) - 1, 0)
        part = slice(first, int(np.searchsorted(turns, end)) + 1)
        worked, clock = np.diff(np.array(self._worked)[part]), np.diff(turns[part])
        if not len(clock):
            return Blocks(np.zeros(1), np.zeros(1))
        return Blocks(np.sort(worked)[::-1] * 1e3, np.sort(clock)[::-1] * 1e3)


@dataclass(frozen=True)
class Blocks:
    """Blocks of the window, milliseconds, longest first.

    Attributes
    ----------
    worked
        Processor time of the window's thread.
    clock
        Time on the clock.
    """

    worked: np.ndarray
    clock: np.ndarray

    def figure(self, what: str, bar: float | None, place: int = 0) -> Figure:
        """Return the longest one, or the one at a place."""
        worked = float(self.worked[min(place, len(self.worked) - 1)])
        clock = float(self.clock[min(place, len(self.clock) - 1)])
        return Figure(
            what,
            f"{worked:.0f} ms ({clock:.0f} on the clock)",
            "" if bar is None else f"<= {bar:.0f} ms",
            None if bar is None else worked <= bar,
            {"ms": worked, "clock_ms": clock},
        )


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
        self.opening = self.pulse.blocks_ms(started, time.perf_counter())
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


def _again(window: Window) -> list[float]:
    """Return milliseconds until each of two more draws is drawn, one pressed after the other."""
    draws = window.home.run_panel.result.draws
    # As it is when someone has looked at the first draw.
    window.until(lambda: len(draws.redraws.ready(draws.entry)) >= AHEAD)
    took = []
    for n_draws in (2, 3):
        started = time.perf_counter()
        draws.again()
        window.until(lambda n=n_draws: draws.entry.outcome.n_draws == n)
        window.settle()
        took.append((time.perf_counter() - started) * 1e3)
    return took


def _contour(window: Window, n_unseen: int) -> Blocks:
    """Return the blocks while the line of a check appears, in the middle of the region."""
    scene, entry = window.context.scene, window.home.run_panel.result.entry
    spacing = window.context.opened.section.geometry.spacing_um
    inner = Roi(entry.run.outline.buffer(-0.3 * spacing * np.sqrt(n_unseen / np.pi)))
    data = contour_layer(inner, scene.active_layer, scene.outline_um())
    lines = LineLayer(scene, CHECKED_DEPTH, lambda: data)
    started = time.perf_counter()
    lines.show(NAME)
    window.until(lambda: lines.layer is not None)
    window.settle()
    blocks = window.pulse.blocks_ms(started, time.perf_counter())
    lines.show(None)
    window.settle()
    return blocks


def run(model_name: str, n_cells: int, n_unseen: int, repeats: int) -> list[Figure]:
    """Return waiting times with ``n_cells`` open, and in a run over ``n_unseen`` of them."""
    model = GeST.load(model_name)
    with _window(n_cells, model) as window:
        context, panel = window.context, window.home.run_panel
        painter = context.painter
        genes = context.scene.active.section.genes
        looked = time.perf_counter()
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
        seeing = window.pulse.blocks_ms(looked, time.perf_counter())
        corners = _lasso(window, n_unseen)
        drawn = time.perf_counter()
        region = context.scene.draw("pan_zoom")
        lasso = window.ms(lambda: region.add([corners], shape_type="polygon"))
        started = time.perf_counter()
        unseen, _ = unseen_cells(context.state)
        mask = (time.perf_counter() - started) * 1e3
        window.settle()
        drawing = window.pulse.blocks_ms(drawn, time.perf_counter())

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
        again = _again(window)
        contour = _contour(window, n_unseen)
        panel.check.rest()  # niches are measured without it
        panel.result.discard()
        window.settle()
        slid = time.perf_counter()
        sliding = _slide(window, repeats)
        niches = window.pulse.blocks_ms(slid, time.perf_counter())

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
        window.opening.figure("  longest block", 100),
        refreshes,
        figure("coloured by another gene", float(np.median(by_gene)), 300),
        figure("a name of the legend hidden", float(np.median(legend)), 300),
        figure("canvas drawn again, from afar and close up: longest", max(frames), None),
        figure("zoomed in and drawn: longest", max(zooming), None),
        seeing.figure("other genes, names and zooms: longest block", 100),
        figure(f"region of {unseen.sum():,} cells drawn", lasso, None),
        drawing.figure("  longest block", 100),
        figure("  cells in it found", mask, 100),
        figure("Run pressed: first cells drawn", (first - pressed) * 1e3, 1000),
        start.figure("  longest block until then", 100),
        during.figure("during the run: longest block", 100),
        during.figure("  and the tenth longest", None, 9),
        end.figure("result shown: longest block", 100),
        figure("Again pressed: another draw drawn", again[0], 1000),
        figure("  and pressed once more", again[1], 1000),
        contour.figure("line of a check drawn: longest block", 100),
        figure("Cancel pressed: button and text say so", acknowledged, 200),
        figure("  the work has stopped, what it made is shown", stopped, None),
        figure("slider of niches moved: another number drawn", float(np.median(sliding)), 300),
        niches.figure("niches found and slid: longest block", 100),
    ]
