"""The check in the window: before a run, by itself after one, and what can be done with it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from checks import check_entry, map_entry, middle
from drawing import draw_region
from mouse import press
from qtpy.QtCore import QPoint, Qt

from napari_gest import keys
from napari_gest.app.actions import AddRun, ChangeView, Choose, Discard, SetShapes
from napari_gest.app.runs.check import CheckRun
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.canvas.check_contour import NAME
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.generate import check_panel
from napari_gest.widgets.generate.check_panel import CheckPanel

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("short_field")]


@pytest.fixture
def drawn(opened_home):
    """The dock with tissue open and a region drawn."""
    draw_region(opened_home)
    return opened_home


@pytest.fixture
def panel(drawn) -> CheckPanel:
    return drawn.run_panel.check


@pytest.fixture
def checked(drawn):
    """The dock with a check that was made; the gain ends in the middle of the region."""
    context = drawn.context
    inner = middle(context.state, 20)
    model = SimpleNamespace(name="m", load_name="m")
    context.do(AddRun.of(check_entry(context.state, "run-1", model, inner)))
    return drawn


@pytest.fixture
def endless(monkeypatch):
    """A check that goes on until it is stopped."""

    def work(self, load):
        while True:
            yield Progress("Checking on measured patches (1 of 2)", 3, 40, 21.0)

    monkeypatch.setattr(CheckRun, "work", work)


def names(home) -> list[str]:
    return [layer.name for layer in home.context.viewer.layers]


def test_it_is_asked_before_a_run(drawn, panel, qtbot, until):
    context = drawn.context
    assert panel.ask_button.isEnabled()
    assert not panel.result.isVisible()
    press(qtbot, panel.ask_button)
    assert panel.cancel_button.isVisible()
    assert not context.jobs.busy  # Run and all else can be pressed meanwhile
    assert drawn.run_panel.run.isEnabled()
    until(lambda: context.state.shown_run("check") is not None)
    until(lambda: not panel.latest.busy)
    check = context.state.shown_run("check").outcome.check
    assert panel.result.headline.text() == check.headline
    assert check.advice in panel.result.reasons.text()
    assert panel.result.genes.rows.rowCount() == len(check.table)
    assert not panel.bar.isVisible()
    assert panel.message.text() == ""
    assert context.job_bar.message.text() == f"Check: {check.headline}"  # seen wherever one is
    context.do(SetShapes(role="unseen", shapes=()))
    assert "region was changed" in panel.result.stale.text()
    assert "step 3" in panel.ask_button.toolTip()


@pytest.mark.usefixtures("checks")
def test_it_follows_a_run_once_for_each_region(drawn, panel, until):
    context = drawn.context
    drawn.run_panel.start()
    until(lambda: context.state.shown_run("check") is not None and not panel.latest.busy)
    assert not context.jobs.busy
    assert [entry.kind for entry in context.state.runs] == ["generation", "check"]
    context.do(Choose.of(seed=5))
    drawn.run_panel.start()
    until(lambda: len(list(context.state.listed("generation"))) == 2 and not context.jobs.busy)
    assert not panel.latest.busy
    assert len(list(context.state.listed("check"))) == 1
    panel.by_itself.click()
    assert context.state.choices.check is False
    context.do(Discard(id=context.state.shown_run("check").id))
    drawn.run_panel.start()
    until(lambda: len(list(context.state.listed("generation"))) == 3 and not context.jobs.busy)
    assert not panel.latest.busy


@pytest.mark.usefixtures("checks", "endless")
def test_a_large_section_is_checked_only_when_asked(drawn, panel, monkeypatch, until):
    monkeypatch.setattr(check_panel, "_MOST_UNASKED", 10)
    run = GenerationRun.of(drawn.context.state, drawn.context.model)
    panel.after_run(run)
    assert not panel.latest.busy
    assert "large" in panel.message.text()
    panel.ask()
    assert panel.latest.busy
    panel.stop()
    until(lambda: not panel.latest.busy)


@pytest.mark.usefixtures("endless")
def test_it_gives_way_and_can_be_stopped(drawn, panel, until, qtbot):
    context = drawn.context
    panel.ask()
    until(lambda: "21 s left" in panel.message.text())
    press(qtbot, panel.cancel_button)
    until(lambda: not panel.latest.busy)
    assert "cancelled" in panel.message.text()
    panel.ask()
    until(lambda: "left" in panel.message.text())
    drawn.run_panel.start()  # a new generation goes first
    assert panel.message.text() == ""
    until(lambda: not panel.latest.busy)
    until(lambda: not context.jobs.busy)
    panel.ask()
    until(lambda: "left" in panel.message.text())
    context.viewer.layers.remove(context.scene.active_layer)  # the section is closed
    until(lambda: not panel.latest.busy)
    assert not [e for e in context.state.runs if e.kind == "check"]


@pytest.mark.usefixtures("checks")
def test_what_cannot_be_checked_is_said_calmly(drawn, panel, monkeypatch, until, errors):
    def work(self, load):
        yield Progress("Looking", 0, 1)
        raise InputError("No two patches resemble it.", "Check a smaller region.")

    monkeypatch.setattr(CheckRun, "work", work)
    run = GenerationRun.of(drawn.context.state, drawn.context.model)
    panel.after_run(run)
    until(lambda: "No two patches" in panel.message.text() and not panel.latest.busy)
    assert "Check a smaller region." in panel.message.text()
    assert not errors


def test_genes_are_found_and_shown(checked, panel, qtbot, until, tmp_path):
    context, result = checked.context, panel.result
    genes = list(context.opened.section.genes)
    table = result.genes
    assert "◐" in result.grade.text()
    assert [table.rows.gene(i) for i in range(3)] == genes[:3]
    result.search.setText(genes[7].upper())
    assert table.rows.rowCount() < len(genes)
    row = table.rows.row_of(genes[7])
    table.clicked.emit(table.rows.index(row, 0))
    assert context.state.view.gene == genes[7]
    result.search.clear()
    assert table.rows.rowCount() == len(genes)
    result.save(tmp_path / "check.csv")
    written = pd.read_csv(tmp_path / "check.csv", index_col="gene")
    assert list(written.index) == genes
    grey = table.rows.index(table.rows.row_of(genes[-1]), 1)
    assert table.rows.data(grey, Qt.ItemDataRole.ForegroundRole) is not None
    assert table.visualRect(table.rows.index(0, 0)).contains(QPoint(2, 2))


def test_believable_genes_only(checked, panel, qtbot):
    context, genes = checked.context, checked.context.opened.section.genes
    result, color = panel.result, checked.color_panel
    assert len(color.gene.names) == len(genes)
    press(qtbot, result.only)
    assert context.state.choices.believable
    assert color.gene.names == list(genes[:5])
    assert result.genes.rows.rowCount() == 5
    press(qtbot, result.only)
    assert len(color.gene.names) == len(genes) == result.genes.rows.rowCount()


def test_the_region_shrinks_in_one_step(checked, panel, until):
    context = checked.context
    before = context.state.shapes
    until(lambda: NAME in names(checked))  # lines come and go in turns of their own
    assert panel.result.shrink_button.isEnabled()
    assert "The line in the region" in panel.result.stale.text()
    panel.result.shrink()
    assert context.state.shapes != before
    until(lambda: NAME not in names(checked))
    assert "The line in the region" not in panel.result.stale.text()
    assert not panel.result.shrink_button.isEnabled()
    assert "changed since" in panel.result.shrink_button.toolTip()
    context.undo()
    assert context.state.shapes == before
    until(lambda: NAME in names(checked))


def test_a_column_is_not_shrunk(opened_home, until):
    context = opened_home.context
    context.do(Choose.of(mask_key="middle"))
    model = SimpleNamespace(name="m", load_name="m")
    context.do(AddRun.of(check_entry(context.state, "run-1", model, middle(context.state, 20))))
    button = opened_home.run_panel.check.result.shrink_button
    assert not button.isEnabled()
    assert "column" in button.toolTip()
    until(lambda: NAME in names(opened_home))


def test_training_is_shown(checked, panel, qtbot):
    checked.steps[3].set_open(False)
    press(qtbot, panel.result.train)
    assert checked.steps[3].is_open
    assert checked.model_panel.train.isVisible()


def test_it_is_kept(checked, panel, qtbot):
    adata = checked.context.opened.adata
    press(qtbot, panel.result.keep_button)
    assert "verdict" in adata.uns[keys.UNS]["check"]
    assert "Kept" in panel.result.stale.text()
    checked.context.undo()
    assert keys.UNS not in adata.uns


def test_the_list_of_runs_keeps_its_choice_when_a_check_comes(drawn):
    context, runs = drawn.context, drawn.runs_panel
    model = SimpleNamespace(name="m", load_name="m")
    context.do(AddRun.of(map_entry(context.state, "run-1", model)))
    assert [entry.id for entry in runs.chosen] == ["run-1"]
    context.do(AddRun.of(check_entry(context.state, "run-2", model)))
    assert [entry.id for entry in runs.chosen] == ["run-1"]
    assert not checked_in_question(drawn)


def checked_in_question(home) -> bool:
    """Tell whether the window would ask what becomes of a check."""
    return "2 results" in home.session_menu.undecided()


def test_where_it_would_be_worth_something(drawn, panel, qtbot, until, tmp_path):
    context, maps = drawn.context, panel.map
    press(qtbot, maps.ask_button)
    assert context.jobs.busy
    until(lambda: maps.entry is not None)  # it is shown from its first tiles on
    assert maps.entry.partial
    assert context.jobs.busy
    assert maps.verdict.text().startswith("So far")
    until(lambda: not context.jobs.busy)
    assert not maps.entry.partial
    assert len([e for e in context.state.listed("map")]) == 1
    report = maps.entry.outcome.report
    assert context.state.view.of_run == (maps.entry.id, "gain")
    assert maps.verdict.text() == report.verdict.replace(" um", " µm")
    assert maps.legend.isVisible()
    assert "error saved" in context.painter.legend.title
    grey = np.isnan(report.gain_of_cells)
    shown = context.scene.active_layer.face_color
    assert len(np.unique(shown[grey], axis=0)) <= 1
    assert len(np.unique(shown[~grey], axis=0)) > 1
    context.do(ChangeView.of(gene=context.opened.section.genes[0]))
    assert not maps.legend.isVisible()
    press(qtbot, maps.show_button)
    assert context.state.view.of_run == (maps.entry.id, "gain")
    maps.save(tmp_path / "map.csv")
    assert len(pd.read_csv(tmp_path / "map.csv")) == len(report.table)
    press(qtbot, maps.keep_button)
    assert keys.CHECK_GAIN in context.opened.adata.obs
