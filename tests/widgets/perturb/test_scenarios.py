"""Scenarios: named, compared, saved, thrown away and brought back, and read again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from perturbing import run
from qtpy.QtWidgets import QFileDialog

from napari_gest import keys
from napari_gest.app.actions import SetEdits
from napari_gest.app.state import EditChoices
from napari_gest.errors import InputError
from napari_gest.tasks.perturbation.scenario import read_scenarios

pytestmark = pytest.mark.gui


def _two(panel, until, tested: bool = False):
    """Return two scenarios, the second of a knock-out."""
    run(panel, until, tested)
    panel.edits.preset("Knock out")
    run(panel, until, tested)
    return panel.scenarios.entries


def test_scenarios_are_named_and_compared(panel, until, errors):
    context, names = panel.context, panel.scenarios.list
    first, second = _two(panel, until)
    assert panel.effect.entry.id == second.id
    assert first.name != second.name
    names.item(0).setText("twice as much")
    assert context.state.entry(first.id).name == "twice as much"
    names.item(1).setText("twice as much")
    assert "already" in errors.pop().cause
    assert names.item(1).text() == second.name
    context.journal.undo()
    assert names.item(0).text() == first.name
    context.journal.redo()
    names.item(1).setSelected(True)
    names.item(0).setSelected(True)
    assert context.state.shown["perturbation"] == (second.id, first.id)
    panel.scenarios.select([first.id, second.id])
    (_, left), (_, right) = context.scene.effects()
    assert {left.name, right.name} == {"twice as much", second.name}
    left, right = (left, right) if left.name == "twice as much" else (right, left)
    assert right.extent.world[0, 1] > left.extent.world[1, 1]
    # One scale for both, so that they can be compared.
    gene = context.state.view.gene
    scale = context.painter.legend.colors
    for effect, layer in context.scene.effects():
        np.testing.assert_allclose(
            layer.face_color, scale.rgba(effect.values("delta", gene)), atol=1e-6
        )
    assert "correlate" in panel.scenarios.help.text()
    assert "Left: twice as much." in panel.scenarios.help.text()


def test_scenarios_thrown_away_come_back(panel, until):
    context = panel.context
    first, second = _two(panel, until)
    panel.effect.keep()
    perturbed = context.opened.adata.layers[keys.PERTURBED].copy()
    panel.scenarios.select([first.id, second.id])
    panel.scenarios.remove_selected()
    assert panel.scenarios.entries == []
    assert panel.scenarios.isHidden()
    assert not list(context.scene.effects())
    assert panel.effect.isHidden()
    assert context.state.view.view == "measured"
    assert keys.PERTURBED not in context.opened.adata.layers
    context.journal.undo()
    context.journal.undo()
    assert [e.id for e in panel.scenarios.entries] == [first.id, second.id]
    assert (context.opened.adata.layers[keys.PERTURBED] != perturbed).nnz == 0
    assert list(context.scene.effects())


def test_keeping_one_scenario_leaves_the_others(panel, until):
    first, second = _two(panel, until)
    panel.scenarios.select([first.id])
    panel.effect.keep()
    assert panel.context.state.kept == (first.id,)
    assert not panel.scenarios.list.item(0).icon().isNull()
    assert panel.scenarios.list.item(1).icon().isNull()
    panel.scenarios.select([second.id])
    panel.effect.keep()
    assert panel.context.state.kept == (first.id, second.id)
    assert [e.id for e in panel.scenarios.entries] == [first.id, second.id]


def test_when_none_is_selected_the_tissue_is_shown(panel, until):
    run(panel, until, tested=False)
    panel.scenarios.list.clearSelection()
    assert panel.context.state.shown["perturbation"] == ()
    assert panel.effect.isHidden()
    assert panel.context.state.view.view == "measured"
    panel.scenarios.list.item(0).setSelected(True)
    assert not panel.effect.isHidden()
    assert panel.context.state.view.view == "delta"


def test_all_scenarios_go_into_one_folder(panel, until, few_draws, errors, tmp_path):
    run(panel, until)
    panel.edits.preset("Knock out")
    run(panel, until, tested=False)
    first, second = panel.scenarios.entries
    panel.scenarios.save_all(tmp_path / "kept")
    assert "2 scenarios" in panel.context.job_bar.message.text()
    scenarios = read_scenarios(tmp_path / "kept")
    assert {s.settings.name for s in scenarios} == {first.name, second.name}
    asked = {s.settings.name: s.settings.n_permutations for s in scenarios}
    assert asked == {first.name: 20, second.name: 0}
    table = pd.read_csv(tmp_path / "kept" / "compare.csv").set_index(["band", "gene"])
    shown = first.outcome.table.set_index(["band", "gene"])["effect"]
    np.testing.assert_allclose(table[first.name], shown[table.index])
    panel.scenarios.save_all(tmp_path / "kept")
    assert isinstance(errors.pop(), InputError)  # never over a folder unasked


def test_the_name_of_a_folder_is_typed(panel, until, errors, tmp_path, monkeypatch):
    run(panel, until, tested=False)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    typed, proposed = [foreign, tmp_path / "other"], []

    def ask(parent, title, start, kinds):
        proposed.append(start)
        return str(typed[0]), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    panel.effect._choose_folder()
    assert "exists" in errors.pop().cause
    assert (foreign / "thesis.tex").read_text() == "years of work"
    typed.pop(0)
    panel.effect._choose_folder()  # another name does it
    assert len(read_scenarios(tmp_path / "other")) == 1
    assert panel.context.opened.label in proposed[0]
    typed[0] = tmp_path / "all"
    panel.scenarios._choose_folder()
    assert len(read_scenarios(tmp_path / "all")) == 1


def test_a_closed_section_takes_its_scenarios_along(panel, viewer, until):
    run(panel, until, tested=False)
    viewer.layers.remove(panel.context.scene.active_layer)
    assert panel.scenarios.entries == []
    assert not list(panel.context.scene.effects())


def test_a_saved_scenario_runs_again_to_the_same_numbers(panel, until, errors, tmp_path):
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.perturbation.scenario import Scenario
    from napari_gest.tasks.progress import finish

    context = panel.context
    panel.options.strength.setValue(1.5)
    panel.options.column_box.textActivated.emit("cell_type")
    run(panel, until, tested=False)
    result, opened, asked = panel.effect.effect.result, context.opened, context.state.edits
    panel.effect.save_scenario(tmp_path / "kept")
    scenario = Scenario.read(tmp_path / "kept")
    model = GeST.load(scenario.settings.model)
    again = finish(scenario.request(opened.adata, opened.section, model).run())
    np.testing.assert_array_equal(again.perturbed, result.perturbed)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "kept" / "deg.csv")[["gene", "effect"]],
        again.effects()[["gene", "effect"]],
    )
    panel.effect.save_scenario(tmp_path / "kept")
    assert isinstance(errors.pop(), InputError)  # never over a folder

    # The step takes it over too; undo brings back what was there.
    inside = panel.region.cells()
    panel.region.clear_all()
    context.do(SetEdits(edits=EditChoices(readout="Generated again")))
    panel.load(tmp_path / "kept")
    np.testing.assert_array_equal(panel.region.cells(), inside)
    assert (context.state.edits.genes, context.state.edits.only) == (asked.genes, asked.only)
    run(panel, until, tested=False)
    np.testing.assert_array_equal(panel.effect.effect.result.perturbed, result.perturbed)
    before = context.state
    panel.load(tmp_path)
    assert "no scenario" in errors.pop().cause
    assert context.state == before
