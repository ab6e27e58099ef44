"""Closes a viewer while work is done in it: a program of its own, run by ``test_closing.py``.

The Qt application exists but its loop never runs, as in a script or a notebook: events are only
processed now and then. Qt ends the process where a slot raises.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_gest.app import model_registry
from napari_gest.app.saved import autosave
from napari_gest.model import field
from napari_gest.widgets.dock import Home

JOB = "napari-gest job"


def until(condition: Callable[[], bool], patience_s: float = 120.0) -> None:
    """Process events until a condition holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        QApplication.processEvents()
        time.sleep(0.005)


def rest(seconds: float) -> None:
    """Process events for a while."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)


def at_work() -> int:
    """Return how many threads do the work of jobs."""
    return sum(thread.name == JOB for thread in threading.enumerate())


def begin(tissue: str) -> Home:
    """Return a dock in a viewer of its own, in the middle of a run."""
    viewer = napari.Viewer()
    home = Home(viewer)
    viewer.window.add_dock_widget(home, name="GeST", area="right")
    home.open_panel.open([tissue])
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    coords = home.context.scene.active.section.coords_um
    half = 0.1 * np.ptp(coords[:, 0])
    corners = coords.mean(axis=0)[::-1] + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom").add([corners], shape_type="polygon")
    home.run_panel.start()
    until(lambda: bool(list(home.context.scene.generated())))
    return home


def close(tissue: str) -> None:
    """Close the viewer and go on with something else."""
    begin(tissue).context.viewer.close()
    until(lambda: not at_work())
    rest(0.5)


def close_by_window(tissue: str) -> None:
    """Close the window as its button does, with all layers in it."""
    window = begin(tissue).window()
    window.close()
    until(lambda: not at_work())
    rest(0.5)


def close_one_of_two(tissue: str) -> None:
    """Close the viewer that is not the current one; the other's run goes on to its end."""
    first, second = begin(tissue), begin(tissue)
    field.N_STEPS = 20  # of the fields that are still to be fitted
    first.context.viewer.close()
    until(lambda: at_work() <= 1)
    rest(0.5)
    second.job_bar.stop()
    until(lambda: not second.context.jobs.busy)
    second.run_panel.start()
    until(lambda: second.run_panel.result.entry is not None and not second.context.jobs.busy)
    second.run_panel.result.keep()
    assert second.context.scene.active.results
    second.context.viewer.close()


def close_and_leave(tissue: str) -> None:
    """End the process right after the viewer was closed."""
    begin(tissue).context.viewer.close()


def leave(tissue: str) -> None:
    """End the process with the work at work; napari asks that its own threads be stopped."""
    home = begin(tissue)
    assert at_work() == 1
    home.context.viewer.window._qt_window._stop_worker_threads()


if __name__ == "__main__":
    _, case, tissue_file, models = sys.argv
    model_registry.BUNDLED, model_registry.TRAINED_HERE = Path("none"), Path(models)
    autosave.AUTOSAVED = Path(models).parent / f"sessions-{case}"
    field.N_STEPS = 1_000_000
    globals()[case](tissue_file)
    print("done")
