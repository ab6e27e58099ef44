"""From an edit to its effect, as a user goes: draw, edit, run, look, test, keep."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from mouse import LEFT, drag, press
from perturbing import run
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QApplication

from napari_gest import keys
from napari_gest.app.actions import Choose, SetShapes
from napari_gest.errors import InputError
from napari_gest.tissue.edits import Edit
from napari_gest.widgets.perturb import influence_panel

pytestmark = pytest.mark.gui


def test_an_empty_step_says_what_to_do(home, errors):
    panel = home.perturb_panel
    assert "Open tissue first" in panel.help.text()
    assert "Open tissue first" in panel.run.toolTip()
    assert not panel.run.isEnabled()
    panel.start()
    assert not home.context.jobs.busy
    assert not errors


def test_the_whole_flow(opened_home, viewer, qtbot, until, errors, few_draws, tmp_path):
    home, panel, context = opened_home, opened_home.perturb_panel, opened_home.context
    home.steps[5].set_open(True)
    section = context.opened.section

    # A rectangle, drawn with the mouse.
    assert "Draw the region" in panel.run.toolTip()
    press(qtbot, panel.region.tools.option("add_rectangle"))
    drag(qtbot, viewer, (0.42, 0.42), (0.58, 0.58))
    inside = panel.region.cells()
    assert 0 < inside.sum() < len(inside)
    assert panel.region.count.text().startswith(f"{inside.sum():,} cell")
    assert len(context.scene.marked().data) == inside.sum()
    assert not context.state.region("unseen")  # it is not a region to generate

    # A gene, typed in another case, knocked out.
    assert "Add a gene" in panel.run.toolTip()
    gene = section.genes[2]
    qtbot.keyClicks(panel.edits.gene.lineEdit(), gene.upper())
    qtbot.keyClick(panel.edits.gene.lineEdit(), Qt.Key.Key_Return)
    assert context.state.edits.genes == (Edit(gene, "multiply", 2.0),)
    until(lambda: panel.edits.gene.lineEdit().text() == "")  # room for the next gene
    panel.edits.preset("Knock out")
    assert context.state.edits.genes == (Edit(gene, "knockout"),)

    # Run: the effect is there while the test is still to come.
    press(qtbot, panel.run)
    until(lambda: panel.effect.entry is not None)
    effect = panel.effect.effect
    region = context.scene.regions.layer("edited")
    assert (region.mode, len(region.selected_data)) == ("pan_zoom", 0)  # the mouse moves the canvas
    assert effect.tested is None
    assert context.job_bar.running(panel)
    ((_, layer),) = context.scene.effects()
    assert len(layer.data) == len(effect.cells) == len(effect.result.index) + inside.sum()
    assert context.state.view.view == "delta"
    assert context.state.view.gene == effect.strongest
    until(lambda: not context.jobs.busy)
    effect = panel.effect.effect
    assert effect.tested is not None
    assert context.state.view.gene == effect.strongest  # of which the test is surest
    nothing = not panel.effect.volcano.sure.any()
    assert ("Nothing is sure here" in panel.effect.facts.text()) == nothing
    assert "genes respond (expected share of wrong signs" in panel.effect.facts.text()

    # Control and perturbed share limits; delta is centred.
    colors = {}
    for view in ("control", "perturbed", "delta"):
        press(qtbot, panel.effect.views.option(view))
        colors[view] = context.painter.legend.colors
    assert colors["control"] == colors["perturbed"]
    assert colors["delta"].low == -colors["delta"].high
    shown = effect.values("delta", context.state.view.gene)
    np.testing.assert_allclose(layer.face_color, colors["delta"].rgba(shown), atol=1e-6)
    press(qtbot, panel.effect.views.option("measured"))
    assert not layer.visible

    # A gene clicked in the volcano plot is shown on the canvas and in the table.
    volcano = panel.effect.volcano
    qtbot.waitExposed(volcano.view)
    place = volcano.place(volcano.x, volcano.y)[int(np.argmin(volcano.x))]
    clicked = volcano.near(QPointF(*place))
    qtbot.mouseClick(volcano.view.viewport(), LEFT, pos=QPoint(*place.round().astype(int)))
    assert context.state.view.gene == clicked
    assert context.state.view.view == "delta"
    assert clicked in context.painter.legend.title
    chosen = panel.effect.genes.selectionModel().selectedRows()
    assert [panel.effect.genes.rows.gene(i.row()) for i in chosen] == [clicked]

    # The whole table is written, every band and gene.
    panel.effect.save_table(tmp_path / "deg.csv")
    table = pd.read_csv(tmp_path / "deg.csv")
    assert {"gene", "band", "effect", "direction", "pvalue", "fdr"} <= set(table)
    assert set(table["band"]) == set(effect.result.bands())
    assert len(table) == len(effect.table)
    panel.effect.save_table(tmp_path / "deg.csv")
    assert isinstance(errors.pop(), InputError)  # never over a file unasked

    # Kept, and then saved: tissue with both layers; X stays.
    measured = context.opened.adata.X.copy()
    assert not panel.effect.tissue.isEnabled()
    press(qtbot, panel.effect.keep_button)
    assert "Kept" in panel.effect.facts.text()
    assert panel.effect.tissue.isEnabled()
    panel.effect.save_tissue(tmp_path / "out.h5ad")
    until(lambda: (tmp_path / "out.h5ad").exists() and not context.jobs.busy)
    adata = context.opened.adata
    assert {keys.CONTROL, keys.PERTURBED} <= set(adata.layers)
    assert (measured != adata.X).nnz == 0


def test_keeping_is_undone_and_done_again(panel, until, qtbot):
    context = panel.context
    run(panel, until, tested=False)
    adata = context.opened.adata
    assert keys.PERTURBED not in adata.layers  # nothing is written unasked
    press(qtbot, panel.effect.keep_button)
    assert keys.PERTURBED in adata.layers
    assert not panel.effect.keep_button.isEnabled()
    context.journal.undo()
    assert keys.PERTURBED not in adata.layers
    assert panel.effect.keep_button.isEnabled()
    context.journal.redo()
    assert keys.PERTURBED in adata.layers


def test_a_test_that_is_cancelled_leaves_the_effect(panel, until):
    run(panel, until, tested=False)
    assert panel.effect.effect.tested is None
    assert list(panel.context.scene.effects())
    assert "the effect stays" in panel.context.job_bar.message.text()
    assert panel.effect.test.isEnabled()
    assert "not tested" in panel.effect.volcano.y_name


def test_a_test_can_be_asked_for_again(panel, until, qtbot, few_draws):
    run(panel, until, tested=False)
    before = panel.effect.entry
    panel.effect.test.click()
    until(lambda: panel.effect.effect.tested is not None and not panel.context.jobs.busy)
    assert panel.effect.entry.id == before.id
    assert panel.effect.effect.result is before.outcome.result
    assert panel.effect.test.isHidden()


def test_a_run_that_is_cancelled_leaves_nothing(panel, until):
    panel.start()
    panel.context.job_bar.stop()
    until(lambda: not panel.context.jobs.busy)
    assert panel.scenarios.entries == []
    assert not list(panel.context.scene.effects())
    assert "Nothing was changed" in panel.context.job_bar.message.text()


def test_an_effect_is_stale_once_its_region_is_changed(panel, until):
    run(panel, until, tested=False)
    assert "changed since" not in panel.effect.facts.text()
    panel.region.clear_all()
    assert "changed since" in panel.effect.facts.text()
    panel.context.journal.undo()
    assert "changed since" not in panel.effect.facts.text()


def test_the_dose_response_is_drawn_when_its_page_is_opened(panel, until, few_draws):
    run(panel, until)
    assert panel.effect.effect.doses is None
    panel.effect.tabs.setCurrentWidget(panel.effect.dose_page)
    until(lambda: panel.effect.effect.doses is not None and not panel.context.jobs.busy)
    dose, effect = panel.effect.dose, panel.effect.effect
    assert effect.tested is not None  # it takes nothing away
    assert dose.x[0] == 0
    assert dose.y[0] == 0
    gene = panel.context.state.view.gene
    at_one = effect.result.effect[:, effect.result.genes.index(gene)].mean(dtype=float)
    assert dose.y[list(dose.x).index(1.0)] == pytest.approx(at_one, abs=1e-6)
    assert panel.effect.ask_dose.isHidden()


def test_a_dose_response_that_was_cancelled_can_be_asked_for_again(panel, qtbot, until):
    run(panel, until, tested=False)
    context, effect = panel.context, panel.effect
    effect.tabs.setCurrentWidget(effect.dose_page)
    assert context.job_bar.running(panel)
    context.job_bar.stop()
    until(lambda: not context.jobs.busy)
    assert "cancelled" in context.job_bar.message.text()
    qtbot.wait(100)
    assert not context.jobs.busy  # it does not begin again by itself
    assert effect.effect.doses is None
    effect.ask_dose.click()
    assert context.job_bar.running(panel)
    context.job_bar.stop()
    until(lambda: not context.jobs.busy)
    effect.tabs.setCurrentWidget(effect.volcano)
    effect.tabs.setCurrentWidget(effect.dose_page)
    until(lambda: effect.effect.doses is not None and not context.jobs.busy)


def test_from_afar_only_edited_cells_have_the_colour_of_the_edit(panel, until):
    run(panel, until, tested=False)
    ((effect, layer),) = panel.context.scene.effects()
    n = effect.n_around
    np.testing.assert_allclose(layer.border_color[:n], layer.face_color[:n], atol=1e-6)
    assert len(layer.border_color) > n
    assert (np.abs(layer.border_color[n:] - layer.face_color[n:]).max(axis=1) > 0.1).all()


def test_a_band_of_distance_dims_the_others(panel, until):
    run(panel, until, tested=False)
    decay, effect = panel.effect.decay, panel.effect.effect
    ((_, layer),) = panel.context.scene.effects()
    decay.picked.emit((0.0, 30.0))
    far = effect.result.distance_um
    beyond = np.flatnonzero(far > 30)
    assert (layer.face_color[beyond, 3] < 0.5).all()
    within = np.flatnonzero(far <= 30)
    assert (layer.face_color[within, 3] == 1).all()
    left, right = decay.place(np.array([0.0, 30.0]), np.zeros(2))[:, 0]
    assert decay.band_at(QPointF((left + right) / 2, 20)) == (0.0, 30.0)


def test_copy_as_python_gives_the_same_numbers(panel, until, tmp_path, monkeypatch):
    panel.options.strength.setValue(1.5)
    run(panel, until, tested=False)
    panel.effect.copy()
    script = QApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(compile(script, "copied", "exec"), scope)
    result = panel.effect.effect.result
    assert result.request.strength == 1.5
    np.testing.assert_array_equal(scope["result"].perturbed, result.perturbed)
    np.testing.assert_array_equal(scope["result"].control, result.control)
    assert (tmp_path / "perturbed.h5ad").exists()


def test_what_is_shown_is_brought_up_to_date_once_for_an_action(panel, until):
    """Panels whose inputs did not change are left alone."""
    parts = {"panel": panel, **{type(part).__name__: part for part in panel.parts}}

    def refreshed(action) -> dict[str, int]:
        before = {name: part.n_refreshed for name, part in parts.items()}
        panel.context.do(action)
        after = {name: part.n_refreshed - before[name] for name, part in parts.items()}
        return {name: n for name, n in after.items() if n}

    shapes = panel.context.state.shapes
    seen = refreshed(SetShapes(role="edited", shapes=()))
    assert seen == {"panel": 1, "EditRegion": 1, "EffectPanel": 1}
    panel.context.do(SetShapes(role="edited", shapes=shapes))
    seen = refreshed(Choose.of(seed=5))
    assert set(seen.values()) == {1}
    assert not {"EditRegion", "EditOptions", "ScenarioList"} & set(seen)


def test_a_click_shows_what_drove_a_cell(panel, viewer, qtbot, until):
    panel.influence.toggle.click()
    canvas = viewer.window._qt_viewer.canvas.native
    cells = panel.context.scene.active_layer
    middle = cells.extent.world.mean(axis=0)
    wanted = panel.influence.pointer.cell_at(cells.data[7])
    assert wanted == 7
    assert panel.influence.pointer.cell_at(middle + 1e6) is None
    asked = []
    panel.influence.pointer._on_cell = asked.append
    for share in np.linspace(0.3, 0.7, 9):  # until a cell is hit
        place = QPoint(int(canvas.width() * share), int(canvas.height() * 0.5))
        qtbot.mouseMove(canvas, place)
        qtbot.mouseClick(canvas, LEFT, pos=place)
    assert asked
    panel.influence.ask(asked[0])
    until(lambda: panel.influence.drove is not None and not panel.context.jobs.busy)
    drove = panel.influence.drove
    layer = viewer.layers["what drove the cell"]
    assert len(layer.data) == len(drove.neighbours) + 1
    order = np.argsort(drove.influence)
    assert layer.size[order[-1]] > layer.size[order[0]]
    assert "half of the influence" in panel.influence.text.text()
    types = panel.context.opened.obs_values("cell_type").astype(str).to_numpy()
    assert types[drove.cell] in panel.influence.text.text()  # types say more than ids
    panel.influence.toggle.click()
    assert "what drove the cell" not in viewer.layers


def test_what_drives_a_cell_is_asked_with_the_seed_of_the_click(panel, until, monkeypatch):
    from napari_gest.tasks.perturbation import influence

    seeds, may_go_on, whole = [], threading.Event(), influence.InfluenceRequest
    context = panel.context
    load = context.registry.load

    def slow(name):
        assert may_go_on.wait(60)
        return load(name)

    def request(*given, seed, **more):
        seeds.append(seed)
        return whole(*given, seed=seed, **more)

    monkeypatch.setattr(context.registry, "load", slow)
    monkeypatch.setattr(influence, "InfluenceRequest", request)
    panel.influence.toggle.setChecked(True)
    context.do(Choose.of(seed=3))
    panel.influence.ask(7)
    panel.influence.ask(8)
    assert "A job is running" in panel.influence.text.text()
    context.do(Choose.of(seed=4))  # while it loads the model
    may_go_on.set()
    until(lambda: panel.influence.drove is not None and not context.jobs.busy)
    assert seeds == [3]
    # What was read of the tissue goes when the section does.
    assert panel.influence._around.section is context.opened.section
    context.viewer.layers.remove(context.scene.active_layer)
    assert panel.influence._around is None
    assert "what drove the cell" not in context.viewer.layers


def test_what_was_fitted_goes_with_its_section(panel, until, few_draws):
    run(panel, until)
    assert panel._responses
    assert panel._tissues
    panel.context.viewer.layers.remove(panel.context.scene.active_layer)
    assert not panel._responses
    assert not panel._tissues


def test_types_are_looked_up_of_the_cells_that_are_told_of_alone(opened_home, monkeypatch):
    opened, rows, look = opened_home.context.opened, [], influence_panel.obs_column

    def counted(adata, key, remedy, of):
        rows.append(len(of))
        return look(adata, key, remedy, of)

    monkeypatch.setattr(influence_panel, "obs_column", counted)
    types = influence_panel.cell_types(opened, [7, 3])
    held = opened.obs_values("cell_type").astype(str).to_numpy()
    assert types == {7: held[7], 3: held[3]}
    assert rows == [2]
