"""Niches as a user finds, changes and keeps them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_gest import keys
from napari_gest.app.actions import ChangeView, SetShapes
from napari_gest.canvas.shapes import BOUNDARIES, role_of
from napari_gest.errors import InputError
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tissue.io import read_tissue, write_tissue

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(opened_home, qtbot):
    """The panel, unfolded."""
    opened_home.steps[6].set_open(True)
    return opened_home.niches_panel


@pytest.fixture
def preview(panel, qtbot, until):
    """The panel once there is something to see."""
    press(qtbot, panel.find)
    until(lambda: panel.outcome is not None and not panel.context.jobs.busy)
    return panel


@pytest.fixture
def found(preview, until):
    """The panel after niches were found."""
    until(lambda: not preview.outcome.is_preview)
    return preview


def of_run(panel) -> tuple[str, str] | None:
    """What the canvas shows of a run."""
    return panel.context.state.view.of_run


def test_an_empty_step_is_folded_and_says_what_to_do(home):
    assert not home.steps[6].is_open
    home.steps[6].set_open(True)
    assert "step 1" in home.niches_panel.find.toolTip()
    assert not home.niches_panel.result.isVisible()


def test_the_whole_flow(found, qtbot, until, viewer):
    context, adata = found.context, found.context.state.opened.adata
    measured = adata.X.copy()
    cells = context.scene.active_layer
    assert found.niches.n_niches == 8
    assert found.legend.table.rowCount() == 8
    assert found.legend.table.item(0, 1).text() == f"{np.bincount(found.niches.labels)[0]:,}"
    np.testing.assert_allclose(cells.face_color, context.painter.legend.colors.rgba(), atol=1e-6)
    assert keys.NICHE not in adata.obs

    # The slider recolours; no job is needed.
    embedded = found.outcome.search.embedded
    found.number.setValue(3)
    until(lambda: found.niches.n_niches == 3)
    assert found.legend.table.rowCount() == 3
    assert len(np.unique(cells.face_color, axis=0)) == 3
    assert found.outcome.search.embedded is embedded
    assert not context.jobs.busy
    until(lambda: not found.outcome.is_preview)

    # Rename in the table, recolour, merge, and take the merging back.
    found.legend.table.item(0, 0).setText("rim")
    assert found.niches.names[0] == "rim"
    found.legend.recolor("rim", "#123456")
    found.legend.table.select(["rim", "niche 3"])
    press(qtbot, found.legend.merge_button)
    assert found.niches.names == ("rim", "niche 2")
    found.context.journal.undo()
    assert found.niches.names == ("rim", "niche 2", "niche 3")
    assert found.niches.colors[0] == "#123456"

    # Elsewhere on the slider they are as they were; back here, they are as changed.
    found.number.setValue(4)
    until(lambda: found.niches.n_niches == 4 and not found.outcome.is_preview)
    assert "rim" not in found.niches.names
    found.number.setValue(3)
    until(lambda: found.niches.n_niches == 3)
    assert found.niches.names[0] == "rim"

    # Solo shows one alone, and all again.
    found.legend.table.select(["rim"])
    press(qtbot, found.legend.solo_button)
    alpha = cells.face_color[:, 3]
    np.testing.assert_array_equal(alpha == 1, found.niches.labels == 0)
    press(qtbot, found.legend.solo_button)
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
    context.do(ChangeView.of(column=keys.NICHE))
    np.testing.assert_allclose(cells.face_color, painted, atol=1e-6)
    assert found.show_button.isVisible()
    press(qtbot, found.show_button)
    assert of_run(found) is not None


def test_the_niches_themselves_take_the_place_of_their_preview(
    preview, qtbot, until, tmp_path, monkeypatch
):
    """They are those of the public function; until then nothing is kept or changed."""
    context, adata = preview.context, preview.context.state.opened.adata
    assert preview.outcome.is_preview
    assert "Preview" in preview.final.state.text()
    assert not preview.keep_button.isEnabled()
    assert "preview" in preview.keep_button.toolTip()
    shown = preview.niches
    preview.keep()
    preview.legend.rename("niche 1", "rim")
    assert preview.niches is shown
    assert keys.NICHE not in adata.obs
    until(lambda: not preview.outcome.is_preview)
    assert "--n-niches 8" in preview.final.state.text()
    section = context.state.opened.section
    model = context.registry.load(context.model.name)
    expected = cluster_niches(embed_niches(section, model), 8)
    np.testing.assert_array_equal(preview.niches.labels, expected.labels)
    assert preview.niches.names == expected.names
    # What most cells share has kept its colour, and that is what is on the canvas.
    assert preview.niches.colors == expected.colored_like(shown).colors
    cells = context.scene.active_layer
    np.testing.assert_allclose(cells.face_color, context.painter.legend.colors.rgba(), atol=1e-6)
    press(qtbot, preview.keep_button)
    names = np.array(expected.names)[expected.labels]
    assert adata.obs[keys.NICHE].iloc[section.rows].tolist() == names.tolist()
    preview.copy()
    made: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(compile(QApplication.clipboard().text(), "copied", "exec"), made)
    assert made["niches"].colors == preview.niches.colors
    np.testing.assert_array_equal(made["niches"].labels, expected.labels)


def test_only_the_niches_of_the_last_number_are_found(preview, until):
    for n_niches in (9, 5, 4):
        preview.ask("number", n_niches)
    until(lambda: not preview.outcome.is_preview)
    assert preview.niches.n_niches == 4
    assert [found[0].niches.settings["method"] for found in preview.outcome.edits.values()] == [
        *["tree"] * 3,
        "mixture",
    ]


def test_niches_come_without_taking_the_canvas_from_a_gene(preview, until):
    gene = preview.context.state.opened.section.genes[0]
    preview.context.do(ChangeView.of(gene=gene))
    until(lambda: not preview.outcome.is_preview)
    assert preview.context.state.view.gene == gene
    assert preview.show_button.isVisible()


def test_undo_is_seen_at_once(found, opened_home, qtbot):
    cells = found.context.scene.active_layer
    before = cells.face_color.copy()
    found.legend.recolor("niche 1", "#123456")
    assert not np.allclose(cells.face_color, before)
    press(qtbot, opened_home.undo_button)
    np.testing.assert_allclose(cells.face_color, before)
    press(qtbot, opened_home.redo_button)
    assert found.niches.colors[0] == "#123456"


def test_discarding_takes_niches_out_of_the_tissue_and_undo_brings_them_back(found, qtbot):
    adata = found.context.state.opened.adata
    press(qtbot, found.keep_button)
    kept = found.niches
    press(qtbot, found.discard_button)
    assert keys.NICHE not in adata.obs
    assert found.outcome is None
    assert of_run(found) is None
    assert found.help.isVisible()
    found.context.journal.undo()
    assert found.niches is kept
    assert of_run(found) is not None
    assert adata.obs[keys.NICHE].notna().all()


def test_one_action_refreshes_once_and_what_it_does_not_show_not_at_all(found, opened_home):
    before = found.n_refreshed
    found.legend.rename("niche 1", "rim")
    assert found.n_refreshed == before + 1
    opened_home.context.do(SetShapes(role="unseen", shapes=()))
    assert found.n_refreshed == before + 1


def test_area_and_stability_are_in_the_legend(found, until):
    heads = [found.legend.table.horizontalHeaderItem(i).text() for i in range(4)]
    assert heads == ["Niche", "Cells", "mm²", "Stable"]
    until(lambda: found.outcome.stability_shown is not None)
    area = found.niches.summary()["area_um2"] / 1e6
    assert found.legend.table.item(1, 2).text() == f"{area.iloc[1]:.2f}"
    expected = cluster_niches(found.outcome.search.embedded, 8, repeats=2).stability
    np.testing.assert_allclose(found.outcome.stability_shown, expected)
    assert found.legend.table.item(0, 3).text() == f"{expected[0]:.2f}"
    # Merged niches are others.
    found.legend.table.select(["niche 1", "niche 2"])
    found.legend.merge()
    assert found.legend.table.item(0, 3).text() == "–"
    found.context.journal.undo()
    assert found.legend.table.item(0, 3).text() == f"{expected[0]:.2f}"
    assert found.final.state.text().startswith("Final. On the command line: --n-niches")


def test_the_table_and_the_tissue_are_saved(found, qtbot, until, tmp_path, errors):
    until(lambda: found.outcome.stability_shown is not None)
    found.legend.rename("niche 2", "rim")
    found.save_table(tmp_path / "niches.csv")
    until(lambda: not found.context.jobs.busy)
    table = pd.read_csv(tmp_path / "niches.csv", index_col="niche")
    assert list(table.index) == list(found.niches.names)
    np.testing.assert_allclose(table["stability"], found.outcome.stability_shown)
    assert table.filter(like="share of ").shape[1] > 1
    assert table["markers"].notna().all()
    found.save_table(tmp_path / "niches.csv")
    until(lambda: bool(errors))
    assert isinstance(errors.pop(), InputError)
    until(lambda: not found.context.jobs.busy)
    assert not found.tissue_action.isEnabled()
    press(qtbot, found.keep_button)
    assert found.tissue_action.isEnabled()
    found.save_tissue(tmp_path / "kept.h5ad")
    until(lambda: not found.context.jobs.busy)
    assert "rim" in list(read_tissue(tmp_path / "kept.h5ad").obs[keys.NICHE].cat.categories)


def test_two_niches_cannot_have_one_name(found, errors):
    names = found.niches.names
    found.legend.table.item(0, 0).setText(names[1])
    assert isinstance(errors.pop(), InputError)
    assert found.niches.names == names
    assert found.legend.table.item(0, 0).text() == names[0]


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
    until(lambda: markers.table.rowCount() > 0)
    expected = found.niches.markers()
    assert markers.table.item(0, 0).text() == expected["gene"].iloc[0]
    # Other niches, other markers.
    found.number.setValue(2)
    until(lambda: found.niches.n_niches == 2 and not found.outcome.is_preview)
    until(lambda: markers.table.rowCount() and markers.box.count() == 2)
    assert markers.box.count() == 2
    gene = markers.table.item(0, 0).text()
    markers.table.cellDoubleClicked.emit(0, 0)
    assert found.context.state.view.gene == gene


def test_boundaries_are_drawn_once(found, qtbot, until, viewer):
    for n_niches in (2, 3):
        found.ask("number", n_niches)
        until(lambda: not found.outcome.is_preview)
        press(qtbot, found.boundary_button)
        until(lambda: not found.context.jobs.busy)
    drawn = [layer for layer in viewer.layers if role_of(layer) == BOUNDARIES]
    assert len(drawn) == 1
    assert set(drawn[0].features["niche"]) <= set(found.niches.names)
    assert viewer.layers.selection.active is found.context.scene.active_layer


def test_cancelling_changes_nothing(panel, qtbot, until):
    press(qtbot, panel.find)
    press(qtbot, panel.context.job_bar.cancel)
    until(lambda: not panel.context.jobs.busy)
    assert panel.outcome is None
    assert "Cancelled" in panel.context.job_bar.message.text()
    assert of_run(panel) is None
    assert panel.find.isEnabled()


def test_a_resolution_finds_its_own_number_of_niches(found, qtbot, until):
    embedded = found.outcome.search.embedded
    press(qtbot, found.by.option("resolution"))
    assert found.resolution.isVisible()
    assert not found.number.isVisible()
    found.resolution.setValue(2.0)
    press(qtbot, found.cluster_button)
    until(lambda: not found.context.jobs.busy and found.niches.settings["method"] == "leiden")
    assert found.niches.settings["resolution"] == 2.0
    assert found.outcome.search.embedded is embedded
    assert found.legend.table.rowCount() == found.niches.n_niches
    found.legend.rename(found.niches.names[0], "rim")
    found.copy()
    script = QApplication.clipboard().text()
    assert "method='leiden', resolution=2.0" in script
    assert "cluster_niches" in script
    # Two niches are not those of resolution 2, and both stay as they were changed.
    press(qtbot, found.by.option("number"))
    found.ask("number", 2)
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


def test_copy_as_python_holds_what_was_changed(found, until):
    found.ask("number", 3)
    until(lambda: not found.outcome.is_preview)
    found.legend.rename("niche 2", "rim")
    found.copy()
    script = QApplication.clipboard().text()
    assert "cluster_niches(embedded, n_niches=3, seed=0)" in script
    assert "renamed({'niche 2': 'rim'})" in script
    compile(script, "copied", "exec")


def test_generated_cells_get_niches_beside_measured_ones(found, opened_home, qtbot, until):
    result = opened_home.run_panel.result
    opened_home.region_panel._pick_source("Column: middle")
    opened_home.run_panel.start()
    until(lambda: result.entry is not None and not found.context.jobs.busy)
    entry, made = result.entry, result.entry.outcome.cells
    press(qtbot, found.find)
    until(lambda: bool(found.outcome.search.generated) and not found.context.jobs.busy)
    assert found.legend.table.columnCount() == 5
    shown = [
        int(found.legend.table.item(row, 2).text()) for row in range(found.legend.table.rowCount())
    ]
    assert sum(shown) == len(made.cells)
    assert f"of {len(made.cells):,} generated cells" in found.facts.text()
    layer = found.context.scene.generated_layer(entry.id)
    assert layer.visible
    own = found.context.painter.preview.generated[made.result]
    np.testing.assert_allclose(layer.face_color, own.rgba(), atol=1e-6)


@pytest.fixture
def holed(home, tissue, until, tmp_path):
    """The dock with tissue that has a hole, and a region drawn in it."""
    alone = tissue[tissue.obs["section"] == "section_1"].copy()
    off = alone.obsm["spatial"] - alone.obsm["spatial"].mean(axis=0)
    half = 0.11 * np.ptp(off[:, 0])
    alone.obs["middle"] = (np.abs(off) < 1.5 * half).all(axis=1)
    write_tissue(alone[(np.abs(off) >= half).any(axis=1)].copy(), tmp_path / "hole.h5ad")
    home.open_panel.open([tmp_path / "hole.h5ad"])
    until(lambda: home.context.state.opened is not None and not home.context.jobs.busy)
    middle = alone.obsm["spatial"].mean(axis=0)[::-1]
    corners = middle + 0.8 * half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom").add([corners], shape_type="polygon")
    home.steps[6].set_open(True)
    return home


@pytest.mark.parametrize("cells", ["new", "measured"])
@pytest.mark.parametrize("order", ["niches first", "cells first", "generated later"])
def test_what_is_saved_has_the_niches_of_generated_cells(
    holed, qtbot, until, tmp_path, cells, order
):
    panel, context, result = holed.niches_panel, holed.context, holed.run_panel.result
    opened = context.state.opened
    if cells == "measured":
        holed.region_panel._pick_source("Column: middle")

    def generate() -> None:
        holed.run_panel.start()
        until(lambda: result.entry is not None and not context.jobs.busy)

    def find() -> None:
        press(qtbot, panel.find)
        until(lambda: panel.outcome is not None and not panel.outcome.is_preview)

    if order == "generated later":
        find()
        press(qtbot, panel.keep_button)
        generate()
        press(qtbot, result.keep_button)
        until(lambda: bool(panel.outcome.search.generated) and not context.jobs.busy)
    else:
        generate()
        find()
        keep = [panel.keep_button, result.keep_button]
        for button in keep if order == "niches first" else keep[::-1]:
            press(qtbot, button)
    niches, (compared,) = panel.niches, panel.outcome.search.generated
    measured = np.array(niches.names)[niches.labels].tolist()
    assert opened.adata.obs[keys.NICHE].tolist() == measured
    result.save(tmp_path / "out.h5ad")
    until(lambda: not context.jobs.busy)
    saved = read_tissue(tmp_path / "out.h5ad")
    rows, own = compared.rows_in(saved), saved.obs[keys.GENERATED_NICHE]
    names = np.array(niches.names)[compared.labels(niches)].tolist()
    assert own.iloc[rows].tolist() == names
    assert own.notna().tolist() == saved.obs[keys.GENERATED].tolist()
    # Measured cells keep theirs; a new cell has no other.
    assert saved.obs[keys.NICHE].iloc[: len(measured)].tolist() == measured
    if cells == "new":
        assert len(saved) == len(measured) + len(names)
        assert saved.obs[keys.NICHE].iloc[rows].tolist() == names
    else:
        assert len(saved) == len(measured)


def test_other_niches_kept_later_are_those_of_generated_cells_too(holed, qtbot, until):
    panel, context, result = holed.niches_panel, holed.context, holed.run_panel.result
    holed.run_panel.start()
    until(lambda: result.entry is not None and not context.jobs.busy)
    press(qtbot, result.keep_button)
    press(qtbot, panel.find)
    until(lambda: panel.outcome is not None and not panel.outcome.is_preview)
    press(qtbot, panel.keep_button)
    panel.ask("number", 2)
    until(lambda: not panel.outcome.is_preview)
    press(qtbot, panel.keep_button)
    saved = context.state.opened.export()
    assert list(saved.obs[keys.NICHE].cat.categories) == ["niche 1", "niche 2"]
    assert saved.obs[keys.NICHE].notna().all()
    assert list(saved.obs[keys.GENERATED_NICHE].cat.categories) == ["niche 1", "niche 2"]


def test_generated_cells_that_are_not_kept_leave_no_niches(holed, qtbot, until):
    panel, context, result = holed.niches_panel, holed.context, holed.run_panel.result
    holed.region_panel._pick_source("Column: middle")
    holed.run_panel.start()
    until(lambda: result.entry is not None and not context.jobs.busy)
    press(qtbot, panel.find)
    until(lambda: panel.outcome is not None and not panel.outcome.is_preview)
    press(qtbot, panel.keep_button)
    press(qtbot, result.discard_button)
    assert keys.GENERATED_NICHE not in context.state.opened.export().obs


def test_closing_the_section_forgets_its_niches(found, viewer):
    viewer.layers.remove(found.context.scene.active_layer)
    assert found.outcome is None
    assert of_run(found) is None
    assert not found.result.isVisible()


def test_a_name_that_is_typed_stays_when_the_list_changes(found, qtbot, until):
    table = found.legend.table
    found.ask("number", 3)
    until(lambda: not found.outcome.is_preview)
    table.editItem(table.item(0, 0))
    field = next(one for one in table.findChildren(QLineEdit) if one.isVisible())
    field.setText("mi")
    shown = table.item(0, 0)
    found.legend.recolor(found.niches.names[1], "#123456")
    assert table.item(0, 0) is shown
    qtbot.keyClicks(field, "ne")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: found.niches.names[0] == "mine")
    qtbot.waitUntil(lambda: table.item(0, 0) is not shown)
    assert table.item(0, 0).text() == "mine"
