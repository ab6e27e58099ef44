"""What is made of niches that were found: a table, and lines around them on the canvas."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_gest import keys
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.canvas.boundaries import show_boundaries
from napari_gest.files import write_table
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    import shapely


def save_table(
    context: Context,
    owner: QWidget,
    outcome: NicheOutcome,
    column: str | None,
    path: Path,
    overwrite: bool,
) -> None:
    """Write a row for each niche (see ``Clustered.report``) as csv, in the background.

    Parameters
    ----------
    context, owner
        The panel that asks for it, and what it shares with others.
    outcome
        Whose niches are written.
    column
        The obs column whose shares in each niche are written too, if any.
    path, overwrite
        The file; one that exists is an error unless ``overwrite``.
    """
    values = None if column is None else outcome.search.values(column)
    niches = replace(outcome.niches, stability=outcome.stability_shown)

    def work() -> Generator[Progress, None, Path]:
        yield Progress(f"Saving {path.name}", 0, 1)
        from napari_gest.tasks.niches.niches import REPORT

        report = niches.report(values)
        write_table(report, path, REPORT, index=True, overwrite=overwrite)
        return path

    said = context.job_bar.say
    context.job_bar.start(work, lambda done: said(f"Saved {done.name}."), owner=owner)


def draw_boundaries(context: Context, owner: QWidget, outcome: NicheOutcome) -> None:
    """Draw lines around niches on a Shapes layer; their areas are found in the background."""
    search, niches = outcome.search, outcome.niches

    def work() -> Generator[Progress, None, dict[str, list[shapely.MultiPolygon]]]:
        areas = {}
        for done, opened in enumerate(search.run.opened):
            yield Progress("Drawing boundaries", done, len(search.run.opened))
            areas[opened.label] = search.outlines(niches, done)
        return areas

    def show(areas: dict[str, list[shapely.MultiPolygon]]) -> None:
        drawn = show_boundaries(context.scene, areas, niches.names, niches.colors)
        context.job_bar.say(
            "No niche is large enough to draw."
            if drawn is None
            else f"{len(drawn.data):,} lines on the layer '{drawn.name}'."
        )

    context.job_bar.start(work, show, owner=owner)


def replaces_others(outcome: NicheOutcome) -> bool:
    """Tell whether to keep niches takes those of other sections of a file away."""
    opened = outcome.search.run.opened
    for adata in {id(o.adata): o.adata for o in opened}.values():
        old = adata.obs.get(keys.NICHE)
        n_cells = sum(o.section.n_obs for o in opened if o.adata is adata)
        if old is not None and int(old.notna().to_numpy().sum()) > n_cells:
            return True
    return False
