"""Panels one by one, in a real viewer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QStyle, QStyleOptionComboBox

from napari_gest.app.actions import Choose
from napari_gest.app.colors import Categories, Scale
from napari_gest.app.obs_columns import columns, masks
from napari_gest.tissue.io import write_tissue
from napari_gest.widgets.color.legend import ticks
from napari_gest.widgets.open.open_panel import SectionDialog

pytestmark = pytest.mark.gui


def test_ticking_a_category_off_hides_its_cells(opened_home):
    panel = opened_home.color_panel
    panel.show_column("region")
    legend = opened_home.context.painter.legend.colors
    assert isinstance(legend, Categories)
    table = panel.legend.swatches
    names = [table.item(row, 0).text() for row in range(table.rowCount())]
    counts = [table.item(row, 1).text() for row in range(table.rowCount())]
    assert dict(zip(names, counts, strict=True)) == {
        name: f"{count:,}" for name, count in zip(legend.names, legend.counts, strict=True) if count
    }
    table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    opened = opened_home.context.scene.active
    hidden = (opened.obs_values("region").astype(str) == names[0]).to_numpy()
    alpha = opened_home.context.scene.active_layer.face_color[:, 3]
    assert (alpha[hidden] == 0).all()
    assert (alpha[~hidden] == 1).all()
    table.item(0, 0).setCheckState(Qt.CheckState.Checked)
    assert (opened_home.context.scene.active_layer.face_color[:, 3] == 1).all()


def test_limits_follow_the_slider_and_auto_undoes_it(opened_home, until):
    panel, painter = opened_home.color_panel, opened_home.context.painter
    panel.show_gene(opened_home.context.scene.active.section.genes[0])
    automatic = painter.legend.colors
    assert isinstance(automatic, Scale)
    low, high = painter.legend.range
    panel.limits.setValue((low + 0.25 * (high - low), low + 0.5 * (high - low)))
    until(lambda: painter.view_state.value_limits is not None)
    assert painter.legend.colors.high == pytest.approx(low + 0.5 * (high - low), abs=0.02)
    panel.auto.click()
    assert painter.legend.colors == automatic


def test_a_numeric_column_has_a_colour_bar(opened_home):
    adata = opened_home.context.scene.active.adata
    adata.obs["depth"] = np.linspace(0, 7, adata.n_obs)
    opened_home.color_panel.refresh()
    opened_home.color_panel.show_column("depth")
    assert opened_home.color_panel.legend.bar.isVisible()
    assert not opened_home.color_panel.legend.swatches.isVisible()


def test_unknown_names_are_not_picked(opened_home):
    panel, painter = opened_home.color_panel, opened_home.context.painter
    panel.show_gene(opened_home.context.scene.active.section.genes[0])
    before = painter.view_state
    panel.gene._pick("no such gene")
    assert painter.view_state == before


def test_columns_and_masks_offered(opened_home):
    opened = opened_home.context.scene.active
    opened.adata.obs["name"] = opened.adata.obs_names  # as many names as cells
    opened.adata.obs["all"] = True
    assert "name" not in columns(opened)
    assert {"cell_type", "region", "middle"} <= set(columns(opened))
    assert masks(opened) == ["middle"]
    assert opened.telling_gene in opened.section.genes


def test_an_annotation_is_the_one_seen_before_or_else_of_types(opened_home, qtbot):
    panel, context = opened_home.color_panel, opened_home.context
    panel.show_gene(context.opened.section.genes[0])
    press(qtbot, panel.kind.option("column"))
    assert context.state.view.column == "cell_type"
    panel.show_column("region")
    panel.show_gene(context.opened.section.genes[0])
    press(qtbot, panel.kind.option("column"))
    assert context.state.view.column == "region"
    press(qtbot, panel.kind.option("gene"))
    assert context.state.view.gene == context.opened.section.genes[0]


def test_no_step_is_wider_than_the_dock(opened_home):
    bar = opened_home._scroll.verticalScrollBar().sizeHint().width()
    needed = opened_home._scroll.widget().minimumSizeHint().width()
    assert needed <= opened_home.minimumWidth() - bar


def test_the_usual_read_out_is_not_cut_off(opened_home, viewer):
    viewer.window._qt_window.resizeDocks(
        [opened_home.parentWidget()], [1], Qt.Orientation.Horizontal
    )
    box = opened_home.model_panel.modes
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    assert box.fontMetrics().horizontalAdvance(box.currentText()) <= field.width()


def test_a_file_with_several_sections_asks_which(home, tissue, until, tmp_path):
    write_tissue(tissue, tmp_path / "two.h5ad")
    home.open_panel.open([tmp_path / "two.h5ad"])
    until(lambda: bool(home.findChildren(SectionDialog)))
    (dialog,) = home.findChildren(SectionDialog)
    assert dialog.chosen() == [0]
    dialog._check(True)
    dialog.accept()
    until(lambda: len(home.context.session.sections) == 2 and not home.context.jobs.busy)
    assert home.open_panel.sections.isVisible()
    home.open_panel.sections.textActivated.emit("section_2")
    assert home.context.scene.active.label == "section_2"
    assert home.context.scene.viewer.layers.selection.active.name == "section_2"


def test_a_section_asked_for_is_opened_without_asking(home, tissue, errors, until, tmp_path):
    write_tissue(tissue, tmp_path / "two.h5ad")
    home.open_panel.open([tmp_path / "two.h5ad"], section="section_2")
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    assert list(home.context.session.sections) == ["section_2"]
    home.open_panel.open([tmp_path / "two.h5ad"], section="section_9")
    until(lambda: bool(errors) and not home.context.jobs.busy)
    assert "section_9" in str(errors.pop())


def test_the_model_that_fits_is_chosen_and_the_others_say_why_not(
    opened_home, tmp_path, model_folder
):
    panel = opened_home.model_panel
    assert opened_home.context.state.choices.model == "tiny"
    assert "30 of the model's 30 genes" in panel.fit.text()
    other = shutil.copytree(model_folder, tmp_path / "other")
    about = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(about | {"name": "other", "genes": ["X", "Y"]}))
    panel.add_folder(other)
    assert opened_home.context.state.choices.model == "other"
    assert "'tiny' fits" in panel.fit.text()
    assert "too few" in opened_home.run_panel.why_not() or "Draw" in opened_home.run_panel.why_not()
    panel.choose("tiny")
    assert "Draw" in opened_home.run_panel.why_not()


def test_a_model_that_was_missing_can_be_run_once_its_folder_is_added(
    opened_home, tmp_path, model_folder
):
    """As after a session whose model is elsewhere: the choice is the same, and means more."""
    context, run = opened_home.context, opened_home.run_panel
    context.do(Choose.of(mask_key="middle"))
    opened_home.model_panel.choose("missing")
    assert not run.run.isEnabled()
    found = shutil.copytree(model_folder, tmp_path / "missing")
    about = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps(about | {"name": "missing"}))
    opened_home.model_panel.add_folder(found)
    assert run.run.isEnabled()


def test_a_folder_without_a_model_is_reported(opened_home, errors, tmp_path):
    opened_home.model_panel.add_folder(tmp_path)
    assert "no model in" in str(errors.pop())


def test_a_broken_model_is_listed_greyed_with_the_reason(
    viewer, model_folder, errors, monkeypatch, tmp_path, qtbot
):
    """And does not keep the dock from opening."""
    from napari_gest.app import model_registry
    from napari_gest.widgets.dock import Home

    trained = tmp_path / "trained"
    shutil.copytree(model_folder, trained / "good")
    for name, text in (("deep", '{"card":' + "[" * 100_000), ("list", "[]"), ("empty", "")):
        broken = Path(shutil.copytree(model_folder, trained / name))
        (broken / "config.json").write_text(text)
    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "none")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", trained)
    home = Home(viewer)
    qtbot.addWidget(home)
    box = home.model_panel.models
    assert [box.itemText(i) for i in range(box.count())] == ["tiny", "deep", "empty", "list"]
    for place in (1, 2, 3):
        assert not box.model().item(place).isEnabled()
        assert "config.json" in box.itemData(place, Qt.ItemDataRole.ToolTipRole)
    assert box.model().item(0).isEnabled()
    shutil.copy(model_folder / "config.json", trained / "list" / "config.json")
    home.model_panel.add_folder(trained / "list")  # mended, and so no longer greyed
    assert "list" not in home.context.registry.broken
    assert errors == []
    home.detach()


def test_clear_removes_what_was_drawn(opened_home):
    context, clear = opened_home.context, opened_home.region_panel.clear
    region = context.scene.draw("pan_zoom")
    region.add([np.array([[0, 0], [0, 50], [50, 50]])], shape_type="polygon")
    assert clear.isEnabled()
    clear.click()
    assert len(region.data) == 0
    assert context.state.shapes == ()
    assert not clear.isEnabled()
    context.undo()
    assert len(region.data) == 1
    assert clear.isEnabled()


def test_steps_fold_and_show_what_was_chosen(opened_home):
    first = opened_home.steps[0]
    assert not first.is_open
    section = opened_home.context.opened.section
    assert first._summary.text().startswith(f"{section.n_obs:,} cells")  # whatever its name
    assert "tissue" in first._summary.toolTip()
    first._arrow.click()
    assert first.is_open


@pytest.mark.parametrize(("low", "high"), [(0, 7.74), (-6.28, 6.28), (0, 1e-3), (1000, 250000)])
def test_ticks_are_few_round_and_inside(low, high):
    made = ticks(low, high)
    assert made[0] == low
    assert made[-1] == high
    assert 2 <= len(made) <= 7
    assert made == sorted(made)
    assert ticks(3, 3) == [3]
    assert [f"{tick:.3g}" for tick in ticks(-0.0407, 0.0407)] == ["-0.0407", "0", "0.0407"]


def test_devices_are_a_choice_where_there_are_several(opened_home, monkeypatch):
    from napari_gest.widgets.model import model_panel

    panel, context = opened_home.model_panel, opened_home.context
    monkeypatch.setattr(model_panel, "devices_told", lambda: ("cpu",))
    panel.refresh()
    assert panel.devices.isHidden()
    monkeypatch.setattr(model_panel, "devices_told", lambda: ("cpu", "mps"))
    panel.refresh()
    assert not panel.devices.isHidden()
    assert [panel.devices.itemData(i) for i in range(3)] == ["auto", "cpu", "mps"]
    panel.devices.activated.emit(2)
    assert context.state.choices.device == "mps"
    # A session that chose a device that is not here can be told another.
    monkeypatch.setattr(model_panel, "devices_told", lambda: ("cpu",))
    panel.refresh()
    assert panel.devices.currentData() == "mps"
    assert not panel.devices.isHidden()
