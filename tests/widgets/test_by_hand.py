"""What a user does by hand in a real window: layers moved and deleted, and the keys of undo.

``tests/canvas/test_scene.py`` has the rest, on a viewer without a window.
"""

from __future__ import annotations

import numpy as np
import pytest
from mouse import drag, press, type_key
from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_gest.app.actions import OpenSections
from napari_gest.app.opened import open_sections

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("short_field")]

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def two(home, tissue):
    """The dock with two sections side by side."""
    context = home.context
    assert context.do(OpenSections.of(open_sections(tissue), context.state, context.registry))
    return home


def draw(home, label: str, share: float = 0.2) -> Layer:
    """Draw a square in the middle of a section."""
    extent = home.context.scene.cells()[label].extent.world
    half = share * np.ptp(extent[:, 1]) / 2
    square = extent.mean(axis=0) + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    layer = home.context.scene.draw("pan_zoom")
    layer.add([square], shape_type="polygon")
    return layer


def press_on_canvas(home, qtbot, key: Qt.Key, modifier) -> None:
    """Press keys with the canvas focused."""
    type_key(qtbot, home.context.viewer.window._qt_viewer.canvas.native, key, modifier)


def test_a_region_on_each_of_two_sections_and_back(two, viewer, qtbot, until):
    context = two.context
    region = draw(two, "section_2")
    assert context.opened.label == "section_2"
    assert two.open_panel.sections.currentText() == "section_2"
    assert "inside" in two.region_panel.count.text()
    draw(two, "section_1")
    assert context.opened.label == "section_1"
    both = context.state.shapes
    two.run_panel.start()
    until(lambda: two.run_panel.result.entry is not None and not context.jobs.busy)
    entry = two.run_panel.result.entry
    assert [s.label for s in entry.run.snapshots] == ["section_1"]
    region.selected_data = {0}
    region.remove_selected()  # that of the other section
    assert "changed" not in two.run_panel.result.agreement.text()
    viewer.layers.remove(region)
    assert context.state.shapes == ()
    assert "The region was changed since." in two.run_panel.result.agreement.text()
    context.undo()
    context.undo()
    assert context.state.shapes == both
    assert len(context.scene.regions.layer("unseen").data) == 2
    assert "changed" not in two.run_panel.result.agreement.text()


def test_undo_with_the_canvas_focused(opened_home, viewer, qtbot):
    context = opened_home.context
    press(qtbot, opened_home.region_panel.tools.option("add_rectangle"))
    drag(qtbot, viewer, (0.42, 0.42), (0.6, 0.6))
    region = viewer.layers.selection.active
    assert len(context.state.shapes) == len(region.data) == 1
    press_on_canvas(opened_home, qtbot, Qt.Key.Key_Z, CTRL)
    assert context.state.shapes == ()
    assert len(region.data) == 0
    press_on_canvas(opened_home, qtbot, Qt.Key.Key_Z, CTRL | SHIFT)
    assert len(context.state.shapes) == len(region.data) == 1
    viewer.layers.selection.active = context.scene.active_layer  # another layer of ours
    press_on_canvas(opened_home, qtbot, Qt.Key.Key_Z, CTRL)
    assert context.state.shapes == ()


def test_undo_on_a_layer_of_somebody_else_is_naparis(opened_home, viewer, qtbot):
    context = opened_home.context
    draw(opened_home, "tissue")
    labels = viewer.add_labels(np.zeros((20, 20), int))
    labels.paint((5, 5), 1)
    assert labels.data.any()
    press_on_canvas(opened_home, qtbot, Qt.Key.Key_Z, CTRL)
    assert not labels.data.any()
    assert len(context.state.shapes) == 1


def test_undo_in_the_dock(opened_home, qtbot):
    context = opened_home.context
    draw(opened_home, "tissue")
    type_key(qtbot, opened_home.region_panel.clear, Qt.Key.Key_Z, CTRL)
    assert context.state.shapes == ()
    assert "region" in opened_home.redo_button.toolTip()
    assert not opened_home.undo_button.isEnabled()
    tool = opened_home.region_panel.tools.option("add_polygon")
    type_key(qtbot, tool, Qt.Key.Key_Z, CTRL | SHIFT)
    assert len(context.state.shapes) == 1
    press(qtbot, opened_home.undo_button)
    assert context.state.shapes == ()
    press(qtbot, opened_home.redo_button)
    assert len(context.state.shapes) == 1


def test_keys_are_naparis_again_when_the_dock_is_closed(opened_home, viewer, qtbot):
    context = opened_home.context
    draw(opened_home, "tissue")
    viewer.window.remove_dock_widget(opened_home)
    press_on_canvas(opened_home, qtbot, Qt.Key.Key_Z, CTRL)
    assert len(context.state.shapes) == 1


def test_generated_cells_that_are_deleted_can_come_back(opened_home, viewer, until):
    context, result = opened_home.context, opened_home.run_panel.result
    draw(opened_home, "tissue")
    opened_home.run_panel.start()
    until(lambda: result.entry is not None and not context.jobs.busy)
    entry = result.entry
    result.keep()
    kept = set(context.opened.adata.obs)
    viewer.layers.remove(context.scene.generated_layer(entry.id))
    assert result.entry is None
    assert set(context.opened.adata.obs) < kept
    assert context.painter.view_state.view == "measured"
    context.undo()
    assert result.entry.id == entry.id
    assert set(context.opened.adata.obs) == kept
    assert context.scene.generated_layer(entry.id).visible


def test_a_new_run_is_selected_on_the_list_and_the_user_may_choose_others(opened_home, until):
    context, runs = opened_home.context, opened_home.runs_panel
    draw(opened_home, "tissue")
    for n in (1, 2):
        opened_home.run_panel.start()
        until(lambda n=n: len(context.state.runs) == n and not context.jobs.busy)
    assert [entry.id for entry in runs.chosen] == [context.state.runs[-1].id]
    runs.table.selectAll()
    assert len(runs.chosen) == 2
    runs.delete()
    assert list(context.state.listed()) == []
    context.undo()
    context.undo()
    assert len(list(context.state.listed())) == 2
