"""What a window asks of a section when it shows it first, computed before that."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

from napari_gest.app.first_view import first_colors
from napari_gest.app.gene_columns import GeneColumns
from napari_gest.app.obs_columns import label_columns
from napari_gest.app.opened import Opened
from napari_gest.tasks.progress import Clock, Progress

_LOOK_S = 0.05  # between looks at whether threads have ended


def prepare(
    opened: Opened, then: Callable[[Opened], object] | None = None
) -> Generator[Progress, None, None]:
    """Compute what the window asks for when it shows a section first; any thread.

    Threads of its own do most of the work without the GIL. It yields while it waits for them, and
    they end soon after it is closed.

    Parameters
    ----------
    opened
        The section.
    then
        Called with it once its expression is sorted by gene, while its digest is still computed.
    """
    clock, beside = Clock(f"Reading {opened.label}", 100), ThreadPoolExecutor(4)
    share, stop = [0.0], Event()
    first = [beside.submit(_sort, opened, share, stop), beside.submit(_look_around, opened)]
    rest: list[Future[object]] = []
    if not opened.section.on_disk:  # else it is read only once, to be sorted
        rest.append(beside.submit(getattr, opened.section, "digest"))
    try:
        while wait(first, _LOOK_S).not_done:
            yield clock.tick(int(100 * share[0]))
        for begun in first:
            begun.result()
        rest += [beside.submit(opened.by_gene.end_digest, stop), beside.submit(_show, opened, then)]
        while wait(rest, _LOOK_S).not_done:
            yield Progress(f"Drawing {opened.label}", 0, 1)
        for one in rest:
            one.result()
        _ = opened.section.digest  # where the disk had no room for a single pass
    finally:
        stop.set()
        beside.shutdown(wait=False, cancel_futures=True)


def _sort(opened: Opened, share: list[float], stop: Event) -> None:
    """Sort expression by gene unless that was done; tell the share, end when told to."""
    if "by_gene" in vars(opened):
        return
    sorting = GeneColumns.sorting(opened.section)
    while not stop.is_set():
        try:
            share[0] = next(sorting)
        except StopIteration as done:
            vars(opened)["by_gene"] = done.value
            return


def _look_around(opened: Opened) -> None:
    _ = opened.section.geometry, opened.section.unit, opened.cell_um, opened.some_neighbours
    _ = opened.spacing_um, opened.telling_gene


def _show(opened: Opened, then: Callable[[Opened], object] | None) -> None:
    label_columns(opened)
    first_colors(opened)
    if then is not None:
        then(opened)
