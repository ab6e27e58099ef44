"""From a file to generated cells and back to a file, as a user goes."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from drawing import draw_region
from mouse import drag, press
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_gest import keys
from napari_gest.app.actions import AddRun, Choose, Keep, ShowRuns
from napari_gest.app.opened import Snapshot
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.errors import InputError
from napari_gest.model import field
from napari_gest.widgets.common.errors import show_error

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("short_field")]


def test_an_empty_dock_says_what_to_do(home):
    assert home.open_panel.help.isVisible()
    assert ".h5ad" in home.open_panel.help.text()
    assert home.open_panel.file.isEnabled()
    assert not home.run_panel.run.isEnabled()
    assert "step 1" in home.run_panel.run.toolTip()
    assert not home.color_panel.isEnabled()


def test_the_whole_flow(home, viewer, qtbot, until, n_colors, tissue_file, tmp_path):
    context = home.context
    run, result = home.run_panel, home.run_panel.result

    # Open.
    home.open_panel.open([tissue_file])
    until(lambda: context.scene.active is not None and not context.jobs.busy)
    cells = context.scene.active_layer
    assert cells.name == "tissue"
    assert context.painter.view_state.column == "cell_type"
    assert "step 3" in run.run.toolTip()

    # Colour by a gene, typed in another case.
    press(qtbot, home.color_panel.kind.option("gene"))
    gene = context.scene.active.section.genes[3]
    home.color_panel.gene.lineEdit().clear()
    qtbot.keyClicks(home.color_panel.gene.lineEdit(), gene.upper())
    qtbot.keyClick(home.color_panel.gene.lineEdit(), Qt.Key.Key_Return)
    assert context.painter.view_state.gene == gene
    assert home.color_panel.legend.bar.isVisible()
    np.testing.assert_allclose(
        cells.face_color,
        context.painter.legend.colors.rgba(context.scene.active.gene_values(gene, 200.0)),
    )

    # Draw a rectangle with the mouse.
    press(qtbot, home.region_panel.tools.option("add_rectangle"))
    drag(qtbot, viewer, (0.42, 0.42), (0.6, 0.6))
    unseen, _ = unseen_cells(context.state)
    assert 0 < unseen.sum() < len(unseen)
    until(lambda: home.region_panel.count.text().startswith(f"{unseen.sum():,} cell"))

    # Run, and cancel at once.
    press(qtbot, run.run)
    assert home.job_bar.cancel.isEnabled()
    press(qtbot, home.job_bar.cancel)
    assert not home.job_bar.cancel.isEnabled()
    until(lambda: not context.jobs.busy)
    assert not list(context.scene.generated())
    assert "Cancelled" in home.job_bar.message.text()
    assert not context.state.runs

    # Run to the end.
    press(qtbot, run.run)
    until(lambda: result.entry is not None and not context.jobs.busy)
    entry = result.entry
    layer = context.scene.generated_layer(entry.id)
    assert len(layer.data) == unseen.sum()
    assert layer.border_width[0] == 0  # it looks like the measured cells
    assert layer.size[0] == cells.size[0]
    assert layer.name == f"generated · typical · {context.opened.label}"
    assert keys.GENERATED not in context.scene.active.adata.obs
    assert "Agreement" in result.agreement.text()
    shown = QTextDocument()
    shown.setHtml(result.agreement.text())
    assert "<" not in shown.toPlainText()
    assert result.agreement.textFormat() == Qt.TextFormat.RichText

    # Look at every view.
    colors = {}
    for view in ("generated", "expected", "difference", "uncertainty"):
        press(qtbot, result.views.option(view))
        assert layer.visible
        colors[view] = layer.face_color.copy()
    assert not np.allclose(colors["generated"], colors["difference"])
    assert not np.allclose(colors["generated"], colors["expected"])
    assert context.painter.legend.title.startswith(f"{gene} · sd")
    press(qtbot, result.views.option("measured"))
    assert not layer.visible
    press(qtbot, result.views.option("generated"))

    # Keep and save.
    measured = context.scene.active.adata.X.copy()
    assert not result.save_button.isEnabled()
    press(qtbot, result.keep_button)
    adata = context.scene.active.adata
    assert adata.obs[keys.GENERATED].sum() == unseen.sum()
    assert (measured != adata.X).nnz == 0
    assert not result.keep_button.isEnabled()
    assert home.undo_button.isEnabled()
    press(qtbot, home.undo_button)  # keeping can be taken back
    assert keys.GENERATED not in adata.obs
    assert result.keep_button.isEnabled()
    press(qtbot, home.redo_button)
    assert adata.obs[keys.GENERATED].sum() == unseen.sum()
    out = tmp_path / "out.h5ad"
    result.save(out)
    until(lambda: out.exists() and not context.jobs.busy)
    saved = ad.read_h5ad(out)
    rows = np.flatnonzero(saved.obs[keys.GENERATED])
    np.testing.assert_array_equal(rows, np.flatnonzero(unseen))
    np.testing.assert_allclose(
        saved.layers[keys.EXPRESSION][rows].toarray(), entry.outcome.result.expression
    )

    # The canvas shows something, in more than a few colours.
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert n_colors(picture) > 50


def test_a_saved_file_is_not_replaced_unasked(opened_home, until, errors, tmp_path):
    home = opened_home
    draw_region(home)
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not home.context.jobs.busy)
    home.run_panel.result.keep()
    out = tmp_path / "mine.h5ad"
    out.write_text("mine")
    home.run_panel.result.save(out)
    until(lambda: bool(errors) and not home.context.jobs.busy)
    assert isinstance(errors[0], InputError)
    assert out.read_text() == "mine"


def test_a_cancelled_run_keeps_what_it_made(opened_home, until, monkeypatch):
    monkeypatch.setattr(field, "N_STEPS", 5000)  # time to stop
    home = opened_home
    run, bar, context = home.run_panel, home.job_bar, home.context
    draw_region(home)
    run.start()
    until(lambda: "Learning" in bar.message.text())
    bar.stop()
    until(lambda: not context.jobs.busy)
    entry = run.result.entry
    assert entry is not None
    assert entry.partial
    assert "Cancelled after" in bar.message.text()
    assert not run.result.copy_button.isEnabled()
    assert np.isfinite(entry.outcome.result.expression).all()
    run.result.keep()
    adata = context.scene.active.adata
    assert adata.obs[keys.GENERATED].sum() == len(entry.outcome.cells.cells) > 0
    assert adata.uns[keys.UNS]["field"] == 0


def test_discard_leaves_no_trace_and_can_be_undone(opened_home, until):
    home = opened_home
    draw_region(home)
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not home.context.jobs.busy)
    before = set(home.context.scene.active.adata.obs)
    home.run_panel.result.discard()
    assert not list(home.context.scene.generated())
    assert set(home.context.scene.active.adata.obs) == before
    assert home.context.painter.view_state.view == "measured"
    assert home.run_panel.run.isEnabled()
    home.context.undo()
    ((cells, layer),) = home.context.scene.generated()
    assert cells is home.run_panel.result.entry.outcome.cells
    assert layer.visible
    assert home.context.painter.view_state.view == "generated"


def test_another_seed_gives_another_run_and_drops_nothing(opened_home, until):
    home = opened_home
    context = home.context
    draw_region(home)
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not context.jobs.busy)
    first = result.entry
    home.model_panel.seed.setValue(1)
    home.run_panel.start()
    until(lambda: result.entry.id != first.id and not context.jobs.busy)
    second = result.entry
    assert [entry.id for entry in context.state.listed()] == [first.id, second.id]
    # The newest is on the canvas; one can go back to the other.
    assert [cells for cells, _ in context.scene.generated()] == [second.outcome.cells]
    assert not np.array_equal(first.outcome.cells.expression, second.outcome.cells.expression)
    context.do(ShowRuns(kind="generation", ids=(first.id,)))
    assert [cells for cells, _ in context.scene.generated()] == [first.outcome.cells]
    assert result.entry.id == first.id


def test_a_column_marks_the_cells(opened_home, until):
    home = opened_home
    home.region_panel._pick_source("Column: middle")
    assert not home.region_panel.tools.isVisible()
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not home.context.jobs.busy)
    adata = home.context.scene.active.adata
    result = home.run_panel.result
    assert len(result.entry.outcome.cells.cells) == adata.obs["middle"].sum()


def test_an_empty_region_gets_new_cells(home, tissue, until, tmp_path):
    from napari_gest.tissue.io import write_tissue

    alone = tissue[tissue.obs["section"] == "section_1"].copy()
    coords = alone.obsm["spatial"]
    half = 0.11 * np.ptp(coords[:, 0])
    hole = (np.abs(coords - coords.mean(axis=0)) < half).all(axis=1)
    write_tissue(alone[~hole].copy(), tmp_path / "hole.h5ad")
    home.open_panel.open([tmp_path / "hole.h5ad"])
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    corners = coords.mean(axis=0)[::-1] + 0.8 * half * np.array(
        [[-1, -1], [-1, 1], [1, 1], [1, -1]]
    )
    home.context.scene.draw("pan_zoom").add([corners], shape_type="polygon")
    assert "new ones will be placed" in home.region_panel.count.text()
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not home.context.jobs.busy)
    assert (result.entry.outcome.cells.cells == -1).all()
    assert not result.views.option("difference").isEnabled()
    assert result.agreement.text() == ""
    result.keep()
    exported = home.context.scene.active.export()
    assert exported.obs[keys.NEW_CELL].sum() == len(result.entry.outcome.cells.cells)


def test_copy_as_python_gives_the_same_cells(opened_home, until, tmp_path, monkeypatch):
    home = opened_home
    draw_region(home)
    home.context.do(Choose.of(seed=3))
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not home.context.jobs.busy)
    result.copy()
    script = QApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(compile(script, "copied", "exec"), scope)
    made = result.entry.outcome.result
    np.testing.assert_array_equal(scope["result"].expression, made.expression)
    assert (tmp_path / "generated.h5ad").exists()


def test_a_section_closed_during_a_run_drops_the_result(opened_home, viewer, until):
    home = opened_home
    draw_region(home)
    home.run_panel.start()
    viewer.layers.remove(home.context.scene.active_layer)
    until(lambda: not home.context.jobs.busy)
    assert not list(home.context.scene.generated())
    assert home.context.scene.active is None
    assert not home.context.state.runs
    assert "dropped" in home.job_bar.message.text()


@dataclass(frozen=True, eq=False)
class _Column:
    """A run, its outcome and its result in one: it writes a column of obs."""

    snapshots: tuple[Snapshot, ...]
    value: str
    kind: str = "training"  # which no panel looks into
    title: str = "a column"
    settings: str = ""
    seed: int = 0
    model: None = None
    agreement_text: str = ""

    @property
    def rows(self) -> np.ndarray:
        return np.arange(self.snapshots[0].section.n_obs)

    def changed_since(self, state) -> None:
        return None

    def results(self, state) -> list:
        return [((state.sections[self.snapshots[0].label],), self)]

    def write(self, adata) -> frozenset[str]:
        adata.obs["gest_written"] = pd.Categorical([self.value, "b"] * (adata.n_obs // 2))
        return frozenset({"gest_written"})


def _keep_column(home, value: str) -> None:
    context = home.context
    run = _Column((context.session.snapshot(context.opened.label),), value)
    entry = RunEntry(context.session.next_id(), run.title, run, run)
    assert context.do(AddRun.of(entry))
    assert context.do(Keep(id=entry.id))


def test_cells_can_be_kept_after_something_else_was(opened_home, until, errors, short_field):
    home = opened_home
    draw_region(home)
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not home.context.jobs.busy)
    _keep_column(home, "a")  # as labels, niches and effects are
    home.run_panel.result.keep()
    assert not errors
    assert home.run_panel.result.entry.id in home.context.state.kept
    assert home.context.scene.active.adata.obs[keys.GENERATED].any()


def test_cells_of_a_closed_section_go_with_it(opened_home, viewer, until, errors, short_field):
    """So that nothing of them can be kept or generated again."""
    home = opened_home
    draw_region(home)
    home.context.do(Choose.of(mode="sample"))
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not home.context.jobs.busy)
    assert result.draws.again_button.isEnabled()
    viewer.layers.remove(home.context.scene.active_layer)
    assert result.entry is None
    assert not list(home.context.scene.generated())
    assert not result.draws.isVisible()
    assert not result.keep_button.isEnabled()
    result.draws.again()
    result.keep()
    assert not home.context.jobs.busy
    assert not errors


def test_a_kept_result_is_painted_where_its_column_is_shown(opened_home):
    home = opened_home
    cells = home.context.scene.active_layer
    _keep_column(home, "a")
    home.color_panel.show_column("gest_written")
    names = home.context.painter.legend.colors.names
    before = cells.face_color.copy()
    _keep_column(home, "c")  # which is sorted behind "b", and so takes its colour
    assert home.context.painter.legend.colors.names != names
    assert not np.allclose(cells.face_color, before)
    home.context.undo()
    np.testing.assert_array_equal(cells.face_color, before)


def test_refreshing_the_dock_chooses_nothing(opened_home, qtbot):
    home, told = opened_home, []
    qtbot.wait(200)
    home.context.session.changed.connect(told.append)
    for panel in home.panels:
        panel.refresh()
    assert told == []
    home.region_panel._pick_source("Column: middle")
    assert told == [frozenset({"choices"})]


def test_errors_come_with_cause_and_remedy(home):
    box = show_error(home, InputError("The cause.", "The remedy."))
    assert box.text() == "The cause."
    assert box.informativeText() == "The remedy."
    assert not box.isModal() or isinstance(box, QMessageBox)
    other = show_error(home, RuntimeError("oh"))
    assert "RuntimeError: oh" in other.text()
    assert "oh" in other.detailedText()
    for one in (box, other):
        one.close()


def test_a_wrong_file_is_reported(home, until, errors, tmp_path):
    home.open_panel.open([tmp_path / "absent.h5ad"])
    until(lambda: bool(errors) and not home.context.jobs.busy)
    assert isinstance(errors[0], InputError)
    assert home.context.scene.active is None


def test_layers_from_the_reader_are_found(home, viewer, tissue, tmp_path):
    from napari_gest._reader import read_layers
    from napari_gest.tissue.io import write_tissue

    write_tissue(tissue, tmp_path / "two.h5ad")
    for data in read_layers(str(tmp_path / "two.h5ad")):
        viewer.add_layer(Layer.create(*data))
    assert list(home.context.session.sections) == ["section_1", "section_2"]
    viewer.layers.selection.active = viewer.layers["section_2"]
    assert home.context.scene.active.label == "section_2"
    assert home.open_panel.sections.currentText() == "section_2"
    # A second reading lies beside the first.
    again = Layer.create(*read_layers(str(tmp_path / "two.h5ad"))[0])
    viewer.add_layer(again)
    assert again.name == "section_1 (2)"
    assert again.extent.world[0, 1] > viewer.layers["section_2"].extent.world[1, 1]


def test_a_reopened_dock_finds_what_is_open(opened_home, viewer, until):
    from napari_gest.widgets.dock import Home

    viewer.window.remove_dock_widget(opened_home)
    second = Home(viewer)
    dock = viewer.window.add_dock_widget(second, name="GeST again", area="right")
    assert second.context.session is opened_home.context.session
    assert second.context.scene.active.label == "tissue"
    # The dock that was closed paints no more.
    before = opened_home.context.painter.legend
    second.color_panel.show_gene(second.context.scene.active.section.genes[1])
    draw_region(second)
    viewer.layers.remove(viewer.layers["tissue"])
    assert opened_home.context.painter.legend is before
    viewer.window.remove_dock_widget(dock)


def test_old_objects_are_no_garbage_while_a_job_runs(opened_home, until):
    home = opened_home
    draw_region(home)
    frozen = []
    home.context.painter.cells_painted.connect(lambda: frozen.append(gc.get_freeze_count()))
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not home.context.jobs.busy)
    until(lambda: not home.run_panel.result.draws.redraws.busy)  # the draw that is made ahead
    assert min(frozen[:-1]) > 0
    assert gc.get_freeze_count() == 0
