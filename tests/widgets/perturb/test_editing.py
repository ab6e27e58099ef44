"""What is edited: the region, genes and their changes, and further settings."""

from __future__ import annotations

import numpy as np
import pytest
from mouse import drag, press
from perturbing import run
from qtpy.QtCore import Qt

from napari_gest.app.actions import ChangeView, SetEdits
from napari_gest.app.state import EditChoices, Label
from napari_gest.errors import InputError
from napari_gest.tissue.edits import Edit

pytestmark = pytest.mark.gui


@pytest.fixture
def seen(panel, opened_home):
    """The step unfolded."""
    opened_home.steps[5].set_open(True)
    return panel


def test_the_brush_adds_and_removes_cells(seen, viewer, qtbot):
    panel, context = seen, seen.context
    section = context.opened.section
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
    assert [stroke.mode for stroke in context.state.strokes] == ["add", "remove"]
    assert "2 brushed" in panel.region.count.text()
    np.testing.assert_allclose(context.scene.marked().data, section.coords_um[fewer][:, ::-1])
    # What was brushed is part of the outline, which holds the same cells.
    np.testing.assert_array_equal(panel.region.roi().contains(section.coords_um), fewer)
    # Each stroke is one step of undo, and so is clearing both shapes and strokes.
    context.journal.undo()
    np.testing.assert_array_equal(panel.region.cells(), more)
    assert len(context.scene.marked().data) == more.sum()
    press(qtbot, panel.region.clear)
    assert not panel.region.cells().any()
    assert not panel.region.is_ready
    assert not len(context.scene.regions.layer("edited").data)
    context.journal.undo()
    np.testing.assert_array_equal(panel.region.cells(), more)


def test_a_stroke_is_one_action_when_the_button_is_released(seen, viewer, qtbot, monkeypatch):
    panel, context = seen, seen.context
    n_before, rings = panel.region.cells().sum(), []
    shown = context.scene.mark
    monkeypatch.setattr(context.scene, "mark", lambda c: (rings.append(len(c)), shown(c))[1])
    changes = []
    context.session.changed.connect(changes.append)
    press(qtbot, panel.region.brushes.option("add"))
    drag(qtbot, viewer, (0.5, 0.5), (0.8, 0.5))
    assert [c for c in changes if "strokes" in c] == [frozenset({"strokes"})]
    assert len(set(rings)) > 2  # rings follow the brush
    assert max(rings) == panel.region.cells().sum() > n_before


def test_the_brush_is_put_aside_when_another_layer_is_selected(seen, viewer, qtbot):
    panel = seen
    press(qtbot, panel.region.brushes.option("add"))
    assert panel.region.brush.mode == "add"
    viewer.layers.selection.active = panel.context.scene.active_layer
    assert panel.region.brush.mode is None
    assert not panel.region.brushes.option("add").isChecked()
    assert panel.context.scene.marked().mouse_pan


def test_rings_that_were_hidden_stay_hidden_until_they_are_needed(seen, qtbot):
    panel, context = seen, seen.context
    rings = context.scene.marked()
    assert rings.visible
    rings.visible = False
    context.do(ChangeView.of(gene=panel.context.opened.section.genes[3]))
    panel.edits.preset("Halve")
    assert not rings.visible
    press(qtbot, panel.region.brushes.option("add"))
    assert rings.visible


def test_edits_come_from_a_table(panel, errors, tmp_path):
    context = panel.context
    genes, table = context.opened.section.genes, panel.edits.table
    (tmp_path / "de.csv").write_text(f"gene,log2fc\n{genes[1]},1\n{genes[4]},-1\nNoSuch,2\n")
    panel.edits.load(tmp_path / "de.csv")
    down = Edit(genes[4], "multiply", 0.5)
    assert context.state.edits.genes == (Edit(genes[1], "multiply", 2.0), down)
    assert "NoSuch" in errors.pop().cause
    table.item(0, 1).setText("shift by")
    table.item(0, 2).setText("-1,5")
    assert context.state.edits.genes == (Edit(genes[1], "shift", -1.5), down)
    context.journal.undo()
    assert context.state.edits.genes[0] == Edit(genes[1], "shift", 2.0)
    assert table.item(0, 2).text() == "2"
    table.selectRow(0)
    panel.edits.remove_selected()
    assert context.state.edits.genes == (down,)
    assert not table.selectedItems()


def test_a_value_that_is_no_number_is_reported_and_the_table_shows_the_edits(panel, errors):
    context, table = panel.context, panel.edits.table
    before = context.state.edits
    for text, cause in (("abc", "no number"), ("-1", "from 0 to"), ("nan", "no value")):
        table.item(0, 2).setText(text)
        error = errors.pop()
        assert isinstance(error, InputError)
        assert cause in str(error), error
        assert context.state.edits == before
        assert table.item(0, 2).text() == "2"
    table.item(0, 1).setText("knock out")
    assert table.item(0, 2).text() == ""
    assert not table.item(0, 2).flags() & Qt.ItemFlag.ItemIsEditable


def test_a_number_keeps_digits_that_the_table_does_not_show(panel):
    context, gene = panel.context, panel.edits.genes[0]
    panel.edits.set_edits((Edit(gene, "multiply", 1 / 3),))
    assert panel.edits.table.item(0, 2).text() == "0.333333"
    panel.edits.table.item(0, 1).setText("set to")
    assert context.state.edits.genes == (Edit(gene, "set", 1 / 3),)


def test_a_gene_that_is_unknown_is_named(seen, qtbot, errors):
    panel, before = seen, seen.context.state.edits
    box = panel.edits.gene.lineEdit()
    qtbot.keyClicks(box, "NoSuchGene")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert "NoSuchGene" in errors.pop().cause
    assert panel.context.state.edits == before


def test_the_strength_is_one_action_when_the_slider_rests(panel, qtbot):
    context, sent = panel.context, []
    context.session.changed.connect(sent.append)
    for value in (1.1, 1.3, 1.6, 2.0):
        panel.options.strength.setValue(value)
    assert not sent
    qtbot.waitUntil(lambda: bool(sent))
    assert sent == [frozenset({"edits"})]
    assert context.state.edits.strength == 2.0
    context.journal.undo()
    assert panel.options.strength.value() == 1.0


def test_settings_are_those_of_the_state(panel):
    options, context = panel.options, panel.context
    options.column_box.textActivated.emit("cell_type")
    first = context.opened.names("cell_type")[0]
    assert context.state.edits.only == Label("cell_type", first)
    assert options.label_box.currentText() == first
    options.fate.textActivated.emit(options.fate.itemText(1))
    assert context.state.edits.become == Label("cell_type", first)
    options.fate.textActivated.emit("Are removed")
    assert context.state.edits.remove
    assert context.state.edits.become is None
    context.journal.undo()
    assert options.fate.currentText() == f"Become: {first}"
    options.column_box.textActivated.emit(options.column_box.itemText(0))
    assert context.state.edits.only is None
    assert options.label_box.isHidden()


def test_labels_that_a_section_lacks_are_shown_and_named(panel):
    lost = Label("cell_type", "of another section")
    edits = EditChoices(panel.context.state.edits.genes, only=lost, become=lost, strength=5.0)
    panel.context.do(SetEdits(edits=edits))
    assert panel.options.label_box.currentText() == lost.name
    assert lost.name in panel.options.fate.currentText()
    assert panel.options.strength.value() == 5.0
    assert lost.name in panel.run.toolTip()
    assert not panel.run.isEnabled()


def test_an_edit_without_effect_is_explained_in_a_dialog(panel, until, errors):
    panel.options.strength.setValue(0.0)
    panel.start()
    until(lambda: bool(errors) and not panel.context.jobs.busy)
    assert isinstance(errors[0], InputError)
    assert "Raise the strength" in errors[0].remedy
    assert panel.scenarios.entries == []


def test_restricted_and_structural_edits_reach_the_engine(panel, until):
    options, context = panel.options, panel.context
    options.column_box.textActivated.emit("cell_type")
    options.label_box.textActivated.emit(options.label_box.itemText(1))
    options.fate.textActivated.emit(options.fate.itemText(1))
    label = context.state.edits.only
    run(panel, until, tested=False)
    effect = panel.effect.effect
    types = context.opened.obs_values("cell_type").astype(str).to_numpy()
    assert set(types[effect.result.edited.cells]) == {label.name}
    assert effect.result.request.replace_by is not None
    options.fate.textActivated.emit("Are removed")
    options.readout.textActivated.emit("Generated again")
    run(panel, until)
    effect = panel.effect.effect
    assert effect.result.request.remove
    assert np.isnan(effect.values("perturbed", effect.result.genes[0])[effect.n_around :]).all()
    assert effect.tested is None
    assert "no null" in panel.effect.test.toolTip()
