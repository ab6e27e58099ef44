"""What is closed is let go of."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
from anndata import AnnData
from drawing import draw_region
from napari.layers import Points
from perturbing import outline, run
from qtpy.QtWidgets import QMessageBox

from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.errors import InputError
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section
from napari_gest.widgets.common.errors import show_error
from napari_gest.widgets.open.open_panel import SectionDialog

pytestmark = pytest.mark.gui

ROUNDS = 6
HOLDERS = (AnnData, Section, Opened, Generated, Embedded, GeneratedCells, RunEntry, Points)


@pytest.fixture
def alive(qtbot, tissue) -> Callable[[], dict[str, int]]:
    """Counts what holds tissue and was not there at first."""

    def holders() -> list[Any]:
        qtbot.wait(100)  # Qt deletes what it is to delete later
        gc.unfreeze()  # what is frozen while a job holds the collector is not listed
        gc.collect()
        return [one for one in gc.get_objects() if issubclass(type(one), HOLDERS)]

    # Draws that a test before had made ahead end at their next step; till then they hold tissue.
    qtbot.waitUntil(lambda: not any(t.name == "napari-gest job" for t in enumerate_threads()))
    before = [weakref.ref(one) for one in holders()]

    def count() -> dict[str, int]:
        held = holders()
        old = {id(one) for ref in before if (one := ref()) is not None}
        new = [one for one in held if id(one) not in old]
        return {kind.__name__: sum(isinstance(one, kind) for one in new) for kind in HOLDERS}

    return count


def test_rounds_of_work_leave_nothing(home, viewer, alive, until, tissue_file, short_field):
    context, panel = home.context, home.niches_panel
    for number in range(ROUNDS):
        home.open_panel.open([tissue_file])
        until(lambda: context.scene.active is not None and not context.jobs.busy)
        draw_region(home)
        home.run_panel.start()
        until(lambda: home.run_panel.result.entry is not None and not context.jobs.busy)
        home.run_panel.result.keep()
        if number % 2:
            until(lambda: not context.jobs.busy)
            panel.start()
            until(lambda: panel.outcome is not None and not panel.outcome.is_preview)
            for page in ("composition", "markers"):
                panel.pages.picked.emit(page)
            until(lambda: not context.jobs.busy and not panel.final.latest.busy)
            panel.keep()
        until(lambda: not context.jobs.busy)
        viewer.layers.clear()
        # napari takes a second to let go of the layers that were removed last.
        until(lambda: not any(alive().values()))


@pytest.mark.usefixtures("checks", "short_field")
def test_checks_and_maps_are_let_go_of(home, viewer, alive, until, tissue_file):
    context, panel = home.context, home.run_panel.check
    for _ in range(2):
        home.open_panel.open([tissue_file])
        until(lambda: context.opened is not None and not context.jobs.busy)
        draw_region(home)
        home.run_panel.start()
        until(lambda: panel.result.entry is not None and not panel.latest.busy)
        panel.result.keep()
        panel.map.ask()
        until(lambda: panel.map.entry is not None and not context.jobs.busy)
        viewer.layers.clear()
        until(lambda: not any(alive().values()))


def test_a_question_that_was_answered_is_gone(home, alive, tissue, until, tmp_path):
    write_tissue(tissue, tmp_path / "two.h5ad")
    home.open_panel.open([tmp_path / "two.h5ad"])
    until(lambda: bool(home.findChildren(SectionDialog)) and not home.context.jobs.busy)
    home.findChildren(SectionDialog)[0].reject()
    until(lambda: not home.findChildren(SectionDialog))
    until(lambda: not any(alive().values()))
    show_error(home, InputError("The cause.", "The remedy.")).close()
    until(lambda: not home.findChildren(QMessageBox))


def test_effects_and_labels_are_let_go_of(home, viewer, alive, until, tissue_file):
    context, perturb, labels = home.context, home.perturb_panel, home.labels_panel
    for _ in range(2):
        home.open_panel.open([tissue_file])
        until(lambda: context.opened is not None and not context.jobs.busy)
        outline(home)
        perturb.edits.set_edits([Edit(context.opened.section.genes[0], "multiply", 2.0)])
        run(perturb, until, tested=False)
        perturb.effect.keep()
        labels.start()
        until(lambda: labels.labelled is not None and not context.jobs.busy)
        labels.keep()
        until(lambda: not context.jobs.busy)
        viewer.layers.clear()
        until(lambda: not any(alive().values()))
