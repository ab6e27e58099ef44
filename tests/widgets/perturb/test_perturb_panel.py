"""From an edit to its effect, as a user goes: draw, edit, run, look, test, keep, compare."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from mouse import LEFT, drag, press
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QApplication

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tasks.perturbation.scenario import read_scenarios
from napari_gest.tissue.edits import Edit

pytestmark = pytest.mark.gui


def outline(home, share: float = 0.3) -> None:
    """Outline the middle of the tissue as the region to edit."""
    coords = home.context.scene.active.section.coords_um
    half = share * np.ptp(coords[:, 0]) / 2
    corners = coords.mean(axis=0)[::-1] + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom", "edited").add([corners], shape_type="polygon")


@pytest.fixture
def panel(opened_home):
    """The step, with tissue open, a region outlined, and one gene edited."""
    outline(opened_home)
    made = opened_home.perturb_panel
    made.edits.add(opened_home.context.scene.active.section.genes[0])
    made.region.refresh()
    return made


@pytest.fixture
def few_draws(monkeypatch):
    """A test against chance that is over soon."""
    from napari_gest.tasks.perturbation import significance

    whole = significance.SignificanceRequest
    monkeypatch.setattr(
        significance,
        "SignificanceRequest",
        lambda perturbed, **given: whole(perturbed, n_permutations=20, **given),
    )


def run(panel, until, tested: bool = True) -> None:
    before = len(panel.scenarios.effects)
    panel.start()
    until(lambda: len(panel.scenarios.effects) > before)
    if not tested:  # the test starts when the run lets go of the thread
        until(lambda: panel.cancel.isEnabled() or panel.effect.effect.tested is not None)
        panel.stop()
    until(lambda: not panel.context.jobs.busy)


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
    section = context.scene.active.section

    # A rectangle, drawn with the mouse.
    assert "Draw the region" in panel.run.toolTip()
    press(qtbot, panel.region.tools.option("add_rectangle"))
    drag(qtbot, viewer, (0.42, 0.42), (0.58, 0.58))
    inside = panel.region.cells()
    assert 0 < inside.sum() < len(inside)
    until(lambda: panel.region.count.text().startswith(f"{inside.sum():,} cell"))
    assert len(context.scene.marked().data) == inside.sum()
    assert home.region_panel.selection()[0].sum() == 0  # it is not a region to generate

    # A gene, typed in another case, knocked out.
    assert "Add a gene" in panel.run.toolTip()
    gene = section.genes[2]
    qtbot.keyClicks(panel.edits.gene.lineEdit(), gene.upper())
    qtbot.keyClick(panel.edits.gene.lineEdit(), Qt.Key.Key_Return)
    assert panel.edits.edits == (Edit(gene, "multiply", 2.0),)
    panel.edits.preset("Knock out")
    assert panel.edits.edits == (Edit(gene, "knockout"),)

    # Run: the effect is there while the test is still to come.
    press(qtbot, panel.run)
    until(lambda: panel.effect.effect is not None)
    effect = panel.effect.effect
    assert effect.tested is None
    assert panel.cancel.isEnabled()
    ((_, layer),) = context.scene.effects()
    assert len(layer.data) == len(effect.cells) == len(effect.result.index) + inside.sum()
    assert context.painter.view_state.view == "delta"
    until(lambda: not context.jobs.busy)
    assert effect.tested is not None
    assert "FDR" in panel.effect.facts.text()

    # Control and perturbed share limits; delta is centred.
    colors = {}
    for view in ("control", "perturbed", "delta"):
        press(qtbot, panel.effect.views.option(view))
        colors[view] = context.painter.legend.colors
    assert colors["control"] == colors["perturbed"]
    assert colors["delta"].low == -colors["delta"].high
    shown = effect.values("delta", context.painter.view_state.gene)
    np.testing.assert_allclose(layer.face_color, colors["delta"].rgba(shown), atol=1e-6)
    press(qtbot, panel.effect.views.option("measured"))
    assert not layer.visible

    # A gene clicked in the volcano plot is shown on the canvas and in the table.
    volcano = panel.effect.volcano
    place = volcano.place(volcano.x, volcano.y)[int(np.argmin(volcano.x))]
    clicked = volcano.near(QPointF(*place))
    qtbot.mouseClick(volcano, LEFT, pos=QPoint(*place.round().astype(int)))
    assert context.painter.view_state.gene == clicked
    assert context.painter.view_state.view == "delta"
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

    # Tissue with both layers; X stays.
    measured = context.scene.active.adata.X.copy()
    panel.effect.save_tissue(tmp_path / "out.h5ad")
    until(lambda: (tmp_path / "out.h5ad").exists() and not context.jobs.busy)
    adata = context.scene.active.adata
    assert {keys.CONTROL, keys.PERTURBED} <= set(adata.layers)
    assert (measured != adata.X).nnz == 0


def test_the_brush_adds_and_removes_cells(panel, viewer, qtbot):
    section = panel.context.scene.active.section
    before = panel.region.cells()
    press(qtbot, panel.region.brushes.option("add"))
    drag(qtbot, viewer, (0.5, 0.5), (0.8, 0.5))
    more = panel.region.cells()
    assert (more & before).sum() == before.sum()
    assert more.sum() > before.sum()
    press(qtbot, panel.region.brushes.option("remove"))
    drag(qtbot, viewer, (0.5, 0.5), (0.5, 0.56))
    fewer = panel.region.cells()
    assert (more & ~fewer).any()
    assert not (fewer & ~more).any()
    assert "2 brushed" in panel.region.count.text()
    np.testing.assert_allclose(panel.context.scene.marked().data, section.coords_um[fewer][:, ::-1])
    # What was brushed is part of the outline, which holds the same cells.
    np.testing.assert_array_equal(panel.region.roi().contains(section.coords_um), fewer)
    press(qtbot, panel.region.clear)
    assert not panel.region.cells().any()
    assert not panel.region.is_ready


def test_a_test_that_is_cancelled_leaves_the_effect(panel, until):
    run(panel, until, tested=False)
    effect = panel.effect.effect
    assert effect.tested is None
    assert list(panel.context.scene.effects())
    assert "the effect stays" in panel.message.text()
    assert panel.effect.test.isEnabled()
    assert "not tested" in panel.effect.volcano.y_name


def test_a_run_that_is_cancelled_leaves_nothing(panel, qtbot, until):
    panel.start()
    press(qtbot, panel.cancel)
    until(lambda: not panel.context.jobs.busy)
    assert panel.scenarios.effects == []
    assert "Nothing was changed" in panel.message.text()


def test_scenarios_are_named_and_compared(panel, viewer, until, few_draws):
    run(panel, until)
    panel.edits.preset("Knock out")
    run(panel, until)
    first, second = panel.scenarios.effects
    assert panel.effect.effect is second
    assert first.name != second.name
    panel.scenarios.list.item(0).setText("twice as much")
    assert first.name == "twice as much"
    panel.scenarios.list.item(1).setText("twice as much")  # taken
    assert second.name != "twice as much"
    panel.scenarios.select([first, second])
    shown = dict(panel.context.scene.effects())
    assert set(shown) == {first, second}
    left, right = shown[first], shown[second]
    assert right.extent.world[0, 1] > left.extent.world[1, 1]
    # One scale for both, so that they can be compared.
    gene = panel.context.painter.view_state.gene
    scale = panel.context.painter.legend.colors
    for effect, layer in shown.items():
        np.testing.assert_allclose(
            layer.face_color, scale.rgba(effect.values("delta", gene)), atol=1e-6
        )
    assert "correlate" in panel.scenarios.help.text()
    panel.scenarios.remove_selected()
    assert panel.scenarios.effects == []
    assert not list(panel.context.scene.effects())
    assert not panel.effect.isVisible()
    assert panel.context.painter.view_state.view == "measured"


def test_all_scenarios_go_into_one_folder(panel, until, few_draws, errors, tmp_path):
    run(panel, until)
    panel.edits.preset("Knock out")
    run(panel, until, tested=False)
    first, second = panel.scenarios.effects
    panel.scenarios.save_all(tmp_path / "kept")
    scenarios = read_scenarios(tmp_path / "kept")
    assert {s.settings.name for s in scenarios} == {first.name, second.name}
    asked = {s.settings.name: s.settings.n_permutations for s in scenarios}
    assert asked == {first.name: 20, second.name: 0}
    table = pd.read_csv(tmp_path / "kept" / "compare.csv").set_index(["band", "gene"])
    shown = first.table.set_index(["band", "gene"])["effect"]
    np.testing.assert_allclose(table[first.name], shown[table.index])
    panel.scenarios.save_all(tmp_path / "kept")
    assert isinstance(errors.pop(), InputError)  # never over a folder unasked


def test_the_dose_response_is_drawn_when_its_page_is_opened(panel, until, few_draws):
    run(panel, until)
    effect = panel.effect.effect
    assert effect.doses is None
    panel.effect.tabs.setCurrentWidget(panel.effect.dose)
    until(lambda: effect.doses is not None and not panel.context.jobs.busy)
    dose = panel.effect.dose
    assert dose.x[0] == 0
    assert dose.y[0] == 0
    gene = panel.context.painter.view_state.gene
    at_one = effect.result.effect[:, effect.result.genes.index(gene)].mean(dtype=float)
    assert dose.y[list(dose.x).index(1.0)] == pytest.approx(at_one, abs=1e-6)


def test_a_dose_response_that_was_cancelled_can_be_asked_for_again(panel, qtbot, until):
    run(panel, until, tested=False)
    effect, tabs = panel.effect.effect, panel.effect.tabs
    tabs.setCurrentWidget(panel.effect.dose)
    assert panel.at_work
    panel.stop()
    until(lambda: not panel.context.jobs.busy)
    assert "Choose its page again" in panel.message.text()
    qtbot.wait(100)
    assert not panel.context.jobs.busy  # it does not begin again by itself
    assert effect.doses is None
    tabs.setCurrentWidget(panel.effect.volcano)
    tabs.setCurrentWidget(panel.effect.dose)
    until(lambda: effect.doses is not None and not panel.context.jobs.busy)


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


def test_an_edit_without_effect_is_explained_in_a_dialog(panel, until, errors):
    panel.options.strength.setValue(0.0)
    panel.start()
    until(lambda: bool(errors) and not panel.context.jobs.busy)
    assert isinstance(errors[0], InputError)
    assert "Raise the strength" in errors[0].remedy
    assert panel.scenarios.effects == []


def test_restricted_and_structural_edits_reach_the_engine(panel, until):
    options = panel.options
    options.column_box.setCurrentText("cell_type")
    options.refresh()
    options.label_box.setCurrentIndex(1)
    options.fate.setCurrentIndex(1)
    label = options.only
    run(panel, until, tested=False)
    effect = panel.effect.effect
    types = panel.context.scene.active.obs_values("cell_type").astype(str).to_numpy()
    assert set(types[effect.result.edited.cells]) == {label.name}
    assert effect.result.request.replace_by is not None
    options.fate.setCurrentText("Are removed")
    options.readout.setCurrentText("Generated again")
    run(panel, until)
    effect = panel.effect.effect
    assert effect.result.request.remove
    assert np.isnan(effect.values("perturbed", effect.result.genes[0])[effect.n_around :]).all()
    assert effect.tested is None


def test_edits_come_from_a_table(panel, errors, tmp_path):
    genes = panel.context.scene.active.section.genes
    (tmp_path / "de.csv").write_text(f"gene,log2fc\n{genes[1]},1\n{genes[4]},-1\nNoSuch,2\n")
    panel.edits.load(tmp_path / "de.csv")
    assert panel.edits.edits == (
        Edit(genes[1], "multiply", 2.0),
        Edit(genes[4], "multiply", 0.5),
    )
    assert "NoSuch" in errors[0].cause
    panel.edits.table.item(0, 1).setText("shift by")
    panel.edits.table.item(0, 2).setText("-1,5")
    assert panel.edits.edits[0] == Edit(genes[1], "shift", -1.5)
    panel.edits.table.item(0, 2).setText("many")
    panel.start()
    assert "no number" in errors[-1].cause
    panel.edits.table.selectRow(0)
    panel.edits.remove_selected()
    assert panel.edits.genes == [genes[4]]


def test_copy_as_python_gives_the_same_numbers(panel, until, tmp_path, monkeypatch):
    panel.options.strength.setValue(1.5)
    run(panel, until, tested=False)
    panel.effect.copy()
    script = QApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(compile(script, "copied", "exec"), scope)
    result = panel.effect.effect.result
    np.testing.assert_array_equal(scope["result"].perturbed, result.perturbed)
    np.testing.assert_array_equal(scope["result"].control, result.control)
    assert (tmp_path / "perturbed.h5ad").exists()


def test_a_closed_section_takes_its_scenarios_along(panel, viewer, until):
    run(panel, until, tested=False)
    viewer.layers.remove(panel.context.scene.active_layer)
    assert panel.scenarios.effects == []
    assert not list(panel.context.scene.effects())


def test_a_click_shows_what_drove_a_cell(panel, viewer, qtbot, until):
    press(qtbot, panel.influence.toggle)
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
    types = panel.context.scene.active.obs_values("cell_type").astype(str)
    assert panel.influence.text.text().startswith(f"{types.iloc[drove.cell]} (")
    first = drove.neighbours[order[-1]]
    assert f"most have {types.iloc[first]} (" in panel.influence.text.text()
    press(qtbot, panel.influence.toggle)
    assert "what drove the cell" not in viewer.layers


def test_a_gene_is_found_by_its_symbol(panel, opened_home, qtbot):
    opened = panel.context.scene.active
    gene = opened.section.genes[4]
    opened.adata.var["gene_symbol"] = [f"Sym{i}x" for i in range(opened.adata.n_vars)]
    color = opened_home.color_panel
    for refreshed in (panel.edits, color):
        refreshed.refresh()
    line = panel.edits.gene.lineEdit()
    qtbot.keyClicks(line, "sym4x")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert panel.edits.genes[-1] == gene
    color.gene.picked.emit(f"Sym4x ({gene})")
    assert panel.context.painter.view_state.gene == gene
    assert color.gene.currentText() == f"Sym4x ({gene})"


def test_what_is_typed_wrong_is_told_at_once(panel, qtbot):
    table = panel.edits
    known = table.genes[0]
    assert table.message.isHidden()
    line = table.gene.lineEdit()
    qtbot.keyClicks(line, f"{known}xyz")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert not table.message.isHidden()
    assert f"no gene '{known}xyz' (nearest: " in table.message.text()
    assert table.genes == [known]
    table.add(panel.context.scene.active.section.genes[1])
    assert table.message.isHidden()
    table.table.item(0, 2).setText("abc")
    assert f"The value of {known} is 'abc', which is no number." in table.message.text()
    table.table.item(0, 2).setText("2,5")
    assert table.message.isHidden()
    assert table.edits[0].value == 2.5


def test_what_drives_a_cell_is_asked_with_the_seed_of_the_click(panel, until, monkeypatch):
    from napari_gest.tasks.perturbation import influence

    seeds, may_go_on, whole = [], threading.Event(), influence.InfluenceRequest
    load = panel.context.registry.load

    def slow(name):
        assert may_go_on.wait(60)
        return load(name)

    def request(*given, seed, **more):
        seeds.append(seed)
        return whole(*given, seed=seed, **more)

    monkeypatch.setattr(panel.context.registry, "load", slow)
    monkeypatch.setattr(influence, "InfluenceRequest", request)
    panel.influence.toggle.setChecked(True)
    panel.context.choices.seed = 3
    panel.influence.ask(7)
    panel.context.choices.seed = 4  # while it loads the model
    may_go_on.set()
    until(lambda: panel.influence.drove is not None and not panel.context.jobs.busy)
    assert seeds == [3]
    # What was read of the tissue goes when the section does.
    assert panel.influence._around.section is panel.context.scene.active.section
    panel.context.viewer.layers.remove(panel.context.scene.active_layer)
    assert panel.influence._around is None


def test_a_saved_scenario_runs_again_to_the_same_numbers(panel, until, errors, tmp_path):
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.perturbation.scenario import Scenario
    from napari_gest.tasks.progress import finish

    panel.options.strength.setValue(1.5)
    panel.options.column_box.setCurrentText("cell_type")
    panel.options.refresh()
    run(panel, until, tested=False)
    effect, opened = panel.effect.effect, panel.context.scene.active
    panel.effect.save_scenario(tmp_path / "kept")
    scenario = Scenario.read(tmp_path / "kept")
    model = GeST.load(scenario.settings.model)
    again = finish(scenario.request(opened.adata, opened.section, model).run())
    np.testing.assert_array_equal(again.perturbed, effect.result.perturbed)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "kept" / "deg.csv")[["gene", "effect"]],
        again.effects()[["gene", "effect"]],
    )
    panel.effect.save_scenario(tmp_path / "kept")
    assert isinstance(errors.pop(), InputError)  # never over a folder

    # The step takes it over too.
    inside = panel.region.cells()
    panel.region.clear_all()
    panel.edits.set_edits(())
    panel.options.choose(None, None, False, 1.0, "Generated again")
    panel.load(tmp_path / "kept")
    np.testing.assert_array_equal(panel.region.cells(), inside)
    run(panel, until, tested=False)
    np.testing.assert_array_equal(panel.effect.effect.result.perturbed, effect.result.perturbed)
    panel.load(tmp_path)
    assert "no scenario" in errors.pop().cause
