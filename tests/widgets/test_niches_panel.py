"""Niches as a user finds, changes and keeps them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.viewer.shapes import BOUNDARIES, role_of

pytestmark = pytest.mark.gui


def press(qtbot, button) -> None:
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def panel(opened_home, qtbot):
    """The panel, unfolded."""
    opened_home.steps[6].set_open(True)
    return opened_home.niches_panel


@pytest.fixture
def found(panel, qtbot, until):
    """The panel after niches were found."""
    press(qtbot, panel.find)
    until(lambda: panel.found is not None and not panel.context.jobs.busy)
    return panel


def test_an_empty_step_is_folded_and_says_what_to_do(home):
    assert not home.steps[6].is_open
    home.steps[6].set_open(True)
    assert "Open tissue" in home.niches_panel.job.message.text()
    assert "step 1" in home.niches_panel.find.toolTip()
    assert not home.niches_panel.result.isVisible()


def test_the_whole_flow(found, qtbot, until, viewer):
    context, adata = found.context, found.context.scene.active.adata
    measured = adata.X.copy()
    cells = context.scene.active_layer
    assert found.niches.n_niches == 8
    assert found.table.rowCount() == 8
    assert found.table.item(0, 1).text() == f"{np.bincount(found.niches.labels)[0]:,}"
    np.testing.assert_allclose(cells.face_color, context.painter.legend.colors.rgba(), atol=1e-6)
    assert keys.NICHE not in adata.obs

    # The slider recolours; no job is needed.
    embedded = found.found.embedded
    found.number.setValue(3)
    until(lambda: found.niches.n_niches == 3)
    assert found.table.rowCount() == 3
    assert len(np.unique(cells.face_color, axis=0)) == 3
    assert found.found.embedded is embedded
    assert not context.jobs.busy

    # Rename in the table, recolour, merge, and take the merging back.
    found.table.item(0, 0).setText("rim")
    assert found.niches.names[0] == "rim"
    found.recolor("rim", "#123456")
    found.table.select(["rim", "niche 3"])
    press(qtbot, found.merge_button)
    assert found.niches.names == ("rim", "niche 2")
    press(qtbot, found.undo_button)
    assert found.niches.names == ("rim", "niche 2", "niche 3")
    assert found.niches.colors[0] == "#123456"

    # Elsewhere on the slider they are as they were; back here, they are as changed.
    found.number.setValue(4)
    until(lambda: found.niches.n_niches == 4)
    assert "rim" not in found.niches.names
    found.number.setValue(3)
    until(lambda: found.niches.n_niches == 3)
    assert found.niches.names[0] == "rim"

    # Solo shows one alone, and all again.
    found.table.select(["rim"])
    press(qtbot, found.solo_button)
    alpha = cells.face_color[:, 3]
    np.testing.assert_array_equal(alpha == 1, found.niches.labels == 0)
    press(qtbot, found.solo_button)
    assert (cells.face_color[:, 3] == 1).all()

    # Keep.
    press(qtbot, found.keep_button)
    assert list(adata.obs[keys.NICHE].cat.categories) == list(found.niches.names)
    assert adata.uns[keys.NICHE_COLORS] == list(found.niches.colors)
    assert adata.obsm[keys.NICHE_EMBEDDING].shape[0] == adata.n_obs
    assert (measured != adata.X).nnz == 0
    assert not found.keep_button.isEnabled()

    # Kept niches are a column like any other, in the same colours.
    painted = cells.face_color.copy()
    found.context.painter.show(column=keys.NICHE)
    np.testing.assert_allclose(cells.face_color, painted, atol=1e-6)
    assert found.show_button.isVisible()
    press(qtbot, found.show_button)
    assert found.context.painter.look.preview is not None


def test_two_niches_cannot_have_one_name(found, errors):
    names = found.niches.names
    found.table.item(0, 0).setText(names[1])
    assert isinstance(errors.pop(), InputError)
    assert found.niches.names == names
    assert found.table.item(0, 0).text() == names[0]


def test_composition_and_markers(found, qtbot, until):
    press(qtbot, found.pages.option("composition"))
    table = found.composition.bars.table
    assert found.composition.box.currentText() == "cell_type"
    np.testing.assert_allclose(table.sum(axis=1), 1)
    said = found.composition.bars.share_at(found.composition.bars.width() - 0.001, 2)
    assert said.startswith("niche 1: ")
    assert said.endswith(str(table.columns[np.flatnonzero(table.iloc[0])[-1]]))
    press(qtbot, found.pages.option("markers"))
    markers = found.markers
    until(lambda: markers.table.rowCount() > 0 and not found.context.jobs.busy)
    expected = found.niches.markers()
    assert markers.table.item(0, 0).text() == expected["gene"].iloc[0]
    # Other niches, other markers.
    found.number.setValue(2)
    until(lambda: found.niches.n_niches == 2)
    until(lambda: markers._made_for is found.niches and not found.context.jobs.busy)
    assert markers.box.count() == 2
    gene = markers.table.item(0, 0).text()
    markers.table.cellDoubleClicked.emit(0, 0)
    assert found.context.painter.look.gene == gene


def test_boundaries_are_drawn_once(found, qtbot, until, viewer):
    for n_niches in (2, 3):
        found.cut(n_niches)
        press(qtbot, found.boundary_button)
        until(lambda: not found.context.jobs.busy)
    drawn = [layer for layer in viewer.layers if role_of(layer) == BOUNDARIES]
    assert len(drawn) == 1
    assert set(drawn[0].features["niche"]) <= set(found.niches.names)
    assert viewer.layers.selection.active is found.context.scene.active_layer


def test_cancelling_changes_nothing(panel, qtbot, until):
    press(qtbot, panel.find)
    press(qtbot, panel.job.cancel)
    until(lambda: not panel.context.jobs.busy)
    assert panel.found is None
    assert "Cancelled" in panel.job.message.text()
    assert panel.context.painter.look.preview is None
    assert panel.find.isEnabled()


def test_a_resolution_finds_its_own_number_of_niches(found, qtbot, until):
    embedded = found.found.embedded
    press(qtbot, found.by.option("resolution"))
    assert found.resolution.isVisible()
    assert not found.number.isVisible()
    found.resolution.setValue(2.0)
    press(qtbot, found.cluster_button)
    until(lambda: not found.context.jobs.busy and found.niches.settings["method"] == "leiden")
    assert found.niches.settings["resolution"] == 2.0
    assert found.found.embedded is embedded
    assert found.table.rowCount() == found.niches.n_niches
    found.rename(found.niches.names[0], "rim")
    found.copy()
    script = QApplication.clipboard().text()
    assert "method='leiden', resolution=2.0" in script
    assert "cluster_niches" in script
    # Two niches are not those of resolution 2, and both stay as they were changed.
    press(qtbot, found.by.option("number"))
    found.cut(2)
    assert found.niches.n_niches == 2
    assert "rim" not in found.niches.names
    found.cluster(2.0)
    assert found.niches.names[0] == "rim"


def test_without_the_extra_a_resolution_says_what_to_install(found, qtbot, errors, monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    before = found.niches
    press(qtbot, found.by.option("resolution"))
    press(qtbot, found.cluster_button)
    assert "napari-gest[leiden]" in errors.pop().remedy
    assert found.niches is before


def test_copy_as_python_holds_what_was_changed(found):
    found.cut(3)
    found.rename("niche 2", "rim")
    found.copy()
    script = QApplication.clipboard().text()
    assert "tree.cut(3)" in script
    assert "renamed({'niche 2': 'rim'})" in script
    compile(script, "copied", "exec")


def test_generated_cells_get_niches_beside_measured_ones(found, opened_home, qtbot, until):
    opened_home.region_panel._pick_source("Column: middle")
    opened_home.run_panel.start()
    until(lambda: opened_home.run_panel.result.trial is not None and not found.context.jobs.busy)
    trial = opened_home.run_panel.result.trial
    press(qtbot, found.find)
    until(lambda: bool(found.found.generated) and not found.context.jobs.busy)
    assert found.table.columnCount() == 3
    shown = [int(found.table.item(row, 2).text()) for row in range(found.table.rowCount())]
    assert sum(shown) == len(trial.cells)
    assert f"of {len(trial.cells):,} generated cells" in found.generated.text()
    layer = found.context.scene.layer_of(trial)
    assert layer.visible
    own = found.found.preview(found.niches).generated[trial.result]
    np.testing.assert_allclose(layer.face_color, own.rgba(), atol=1e-6)


def test_closing_the_section_forgets_its_niches(found, viewer):
    viewer.layers.remove(found.context.scene.active_layer)
    assert found.found is None
    assert found.context.painter.look.preview is None
    assert not found.result.isVisible()
