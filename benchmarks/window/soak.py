"""What rounds of work leave in memory: tissue is opened, generated in, kept and cleared again."""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from anndata import AnnData
from napari.layers import Layer

from benchmarks.common.timing import Figure
from benchmarks.scale.speed import tissue_like
from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.canvas import gc_pause
from napari_gest.canvas.jobs import Job
from napari_gest.model import field
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section
from napari_gest.widgets.headless_viewer import HeadlessViewer

BAR_MB = 50.0
_KINDS = (AnnData, Section, Opened, Generated, Embedded, GeneratedCells, RunEntry, Job, Layer)
_MB = 2**20
_SETTLE_S = 0.3
_LET_GO_S = 3.0  # napari takes a second to release the layers removed last
_FIELD_STEPS = 40  # of a run's field, instead of hundreds: memory is the question, not accuracy


@dataclass(frozen=True)
class Round:
    """Memory and objects after a round, without a call of the garbage collector.

    Attributes
    ----------
    seconds
        Duration of the round.
    niches
        Whether niches were found too, which takes more memory.
    resident_mb
        Memory of the process in RAM.
    python_mb
        Memory allocated by Python, if it is traced (which is slow).
    alive
        Objects that hold tissue, by class.
    """

    seconds: float
    niches: bool
    resident_mb: float
    python_mb: float | None
    alive: dict[str, int]


def alive() -> dict[str, int]:
    """Return the number of objects of each kind that holds tissue."""
    found = Counter({kind.__name__: 0 for kind in _KINDS})
    for one in gc.get_objects():
        for kind in _KINDS:
            if issubclass(type(one), kind):  # isinstance() would ask proxies
                found[kind.__name__] += 1
    return dict(found)


def work_once(window: HeadlessViewer, path: Path, share: float, niches: bool) -> None:
    """Open tissue, generate the cells of a square region, keep them, find niches; clear all.

    Keeping is undone and redone. A check starts after the run, and the next steps stop it.

    Parameters
    ----------
    window
        A window with nothing open.
    path
        The tissue.
    share
        Width of the region, as a share of the tissue's.
    niches
        Whether niches are found and kept too.
    """
    home, context = window.home, window.context
    home.open_panel.open([path])
    window.until(lambda: context.scene.active is not None and not context.jobs.busy)
    coords = context.scene.active.section.coords_um
    centre, half = coords.mean(axis=0)[::-1], share * float(np.ptp(coords[:, 0])) / 2
    corners = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    context.scene.draw("pan_zoom").add([corners], shape_type="polygon")
    home.run_panel.start()
    result = home.run_panel.result
    window.until(lambda: result.entry is not None and not context.jobs.busy)
    result.keep()
    context.undo()
    context.redo()
    if niches:
        panel = home.niches_panel
        window.until(lambda: not context.jobs.busy)
        panel.start()
        window.until(lambda: panel.niches is not None and not context.jobs.busy)
        window.until(lambda: not panel.outcome.is_preview and not context.jobs.busy)
        panel.keep()
    window.until(lambda: not context.jobs.busy)
    window.viewer.layers.clear()
    end = time.monotonic() + _SETTLE_S
    # While a job runs, older objects are not counted.
    latest = home.niches_panel.final.latest, home.run_panel.check.latest
    jobs = (context.jobs, *latest, result.draws.redraws)
    window.until(lambda: time.monotonic() > end and not any(one.busy for one in jobs))


def run(
    model_name: str,
    n_cells: int,
    rounds: int,
    warm_up: int,
    niches_every: int,
    trace: bool,
    step: Callable[[str], None],
    minutes: float | None = None,
) -> tuple[list[Figure], list[Round]]:
    """Work ``rounds`` times in one window and return figures, and what each round left.

    With ``minutes`` it ends after the round in which they are over, warm-up aside.
    """
    last = np.inf if minutes is None else time.monotonic() + 60 * minutes
    process, made, steps = psutil.Process(), [], field.N_STEPS
    if trace:
        tracemalloc.start()
    field.N_STEPS = _FIELD_STEPS
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tissue.h5ad"
            write_tissue(tissue_like(GeST.load(model_name), n_cells, seed=0), path)
            window = HeadlessViewer()
            try:
                for number in range(1, rounds + 1):
                    started = time.perf_counter()
                    niches = niches_every > 0 and number % niches_every == 0
                    work_once(window, path, 0.03, niches)
                    took = time.perf_counter() - started
                    traced = tracemalloc.get_traced_memory()[0] / _MB if trace else None
                    resident = process.memory_info().rss / _MB
                    made.append(Round(took, niches, resident, traced, alive()))
                    step(f"round {number}: {_line(made[-1])}")
                    if time.monotonic() > last and number > warm_up:
                        break
                end = time.monotonic() + _LET_GO_S
                window.until(lambda: time.monotonic() > end)
                gc.collect()
                left, full = alive(), process.memory_info().rss / _MB
                trimmed = _trimmed(process)
            finally:
                window.close()
    finally:
        field.N_STEPS = steps
        if trace:
            tracemalloc.stop()
    return _figures(made, warm_up, left, full, trimmed), made


def growth_by_kind(rounds: list[Round]) -> dict[str, float]:
    """Return how memory grew (MB), apart for rounds with and without niches.

    It is the median of the last rounds of a kind less that of the first: ten of each, or half of
    what there is. A single round says less, since memory varies from one to the next.
    """
    grown = {}
    for name, kind in (("rounds without niches", False), ("rounds with niches", True)):
        memory = [one.resident_mb for one in rounds if one.niches == kind]
        n = min(10, len(memory) // 2)
        if n:
            grown[name] = float(np.median(memory[-n:]) - np.median(memory[:n]))
    return grown


def _figures(
    made: list[Round], warm_up: int, left: dict[str, int], full: float, trimmed: float | None
) -> list[Figure]:
    after = np.array([one.resident_mb for one in made[warm_up - 1 :]])
    growth, n = float(after[-1] - after[0]), len(after) - 1
    slope = float(np.polyfit(np.arange(len(after)), after, 1)[0]) if n else 0.0
    whole = made[-1].resident_mb - made[0].resident_mb
    held = ", ".join(f"{count} {name}" for name, count in left.items() if count) or "nothing"
    kinds = growth_by_kind(made[warm_up - 1 :])
    figures = [
        Figure(
            f"memory from round {warm_up} to {len(made)}",
            f"{growth:+.1f} MB",
            f"< {BAR_MB:.0f} MB",
            growth < BAR_MB,
            {"growth_mb": growth, "resident_mb": [one.resident_mb for one in made]},
        ),
        *(
            Figure(
                f"  {name}, median of the last less that of the first",
                f"{grown:+.1f} MB",
                f"< {BAR_MB:.0f} MB",
                grown < BAR_MB,
                {"growth_mb": grown},
            )
            for name, grown in kinds.items()
        ),
        Figure("  by regression", f"{slope:+.2f} MB a round", "", None, {"slope_mb": slope}),
        Figure(
            "  from the first round on",
            f"{made[0].resident_mb:.0f} to {made[-1].resident_mb:.0f} MB ({whole:+.0f})",
            "",
            None,
            {"whole_mb": whole},
        ),
        Figure("alive when all is cleared and collected", held, "", None, dict(left)),
    ]
    if trimmed is not None:
        freed = full - trimmed
        figures.append(
            Figure(
                "of the memory at the end, free but not given back",
                f"{freed:.0f} of {full:.0f} MB",
                "",
                None,
                {"free_mb": freed, "resident_mb": full},
            )
        )
    if made[-1].python_mb is not None:
        python = made[-1].python_mb - made[warm_up - 1].python_mb
        figures.append(
            Figure(
                "allocated by Python, same rounds", f"{python:+.1f} MB", "", None, {"mb": python}
            )
        )
    median = float(np.median([one.seconds for one in made]))
    figures.append(Figure("a round", f"{median:.1f} s", "", None, {"seconds": median}))
    return figures


def _trimmed(process: psutil.Process) -> float | None:
    """Return memory after the C library has returned free memory; None if it cannot."""
    return process.memory_info().rss / _MB if gc_pause.give_back() else None


def _line(one: Round) -> str:
    held = " ".join(f"{name} {count}" for name, count in one.alive.items() if count)
    traced = "" if one.python_mb is None else f", Python {one.python_mb:.1f} MB"
    return f"{one.resident_mb:.1f} MB{traced} after {one.seconds:.1f} s; {held or 'nothing held'}"
