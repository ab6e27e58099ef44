"""Labels as a user trains, looks at and keeps them."""

from __future__ import annotations

import numpy as np
import pytest
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_gest import keys
from napari_gest.app.actions import ChangeView, SetShapes
from napari_gest.app.colors import Categories, Scale
from napari_gest.canvas.region_layers import NAMED
from napari_gest.tissue.io import write_tissue

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(opened_home):
    """The panel, unfolded."""
    opened_home.steps[7].set_open(True)
    return opened_home.labels_panel


def draw(panel, qtbot, name: str, share: float) -> None:
    """Draw a square at a share of the section's width, as a user would after typing its name."""
    panel.names.name.clear()
    qtbot.keyClicks(panel.names.name, name)
    press(qtbot, panel.names.tools.option("add_rectangle"))
    coords = panel.context.state.opened.section.coords_um[:, ::-1]
    low, high = coords.min(0), coords.max(0)
    middle, half = low + (high - low) * [0.5, share], 0.15 * (high - low)
    corners = middle + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    layer = panel.context.scene.regions.layer(NAMED)
    layer.mode = "pan_zoom"
    layer.selected_data = set()
    layer.add([corners], shape_type="rectangle")


def tick(panel, label: str, on: bool = True) -> None:
    """Tick a section to learn from, or take its tick away."""
    (item,) = panel.from_sections.findItems(label, Qt.MatchFlag.MatchExactly)
    item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def test_an_empty_step_is_folded_and_says_what_to_do(home):
    assert not home.steps[7].is_open
    home.steps[7].set_open(True)
    assert "step 1" in home.labels_panel.run.toolTip()


def test_from_a_column(panel, qtbot, until):
    context, adata = panel.context, panel.context.state.opened.adata
    assert panel.source.currentText() == "Column: region"
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not context.jobs.busy)
    legend = context.painter.legend.colors
    assert isinstance(legend, Categories)
    assert set(legend.names) == set(adata.obs["region"].astype(str))
    assert "no test" in panel.facts.text()
    assert panel.legend.swatches.isVisible()
    press(qtbot, panel.views.option("confidence"))
    assert isinstance(context.painter.legend.colors, Scale)
    assert panel.legend.bar.isVisible()
    assert keys.LABEL not in adata.obs
    press(qtbot, panel.keep_button)
    np.testing.assert_array_equal(adata.obs[keys.LABEL].astype(str), panel.labelled.annotated.names)
    np.testing.assert_allclose(
        adata.obs[keys.LABEL_CONFIDENCE], panel.labelled.annotated.confidence
    )
    assert not panel.keep_button.isEnabled()


def test_from_drawn_regions(panel, opened_home, qtbot, until):
    panel._pick_source("Regions I draw and name")
    assert "Draw" in panel.run.toolTip()
    assert not panel.names.tools.option("add_rectangle").isEnabled()
    draw(panel, qtbot, "left", 0.2)
    until(lambda: panel.names.drawn.text().startswith("left: "))
    assert not panel.run.isEnabled()
    assert "two names" in panel.run.toolTip()
    draw(panel, qtbot, "right", 0.8)
    until(lambda: "right: " in panel.names.drawn.text())
    assert list(panel.context.scene.regions.layer(NAMED).features["name"]) == ["left", "right"]
    assert not opened_home.region_panel.is_ready  # they are not regions to generate
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not panel.context.jobs.busy)
    made = panel.labelled.annotated
    assert made.classes == ("left", "right")
    x = panel.context.state.opened.section.coords_um[:, 0]
    assert np.median(x[made.labels == 0]) < np.median(x[made.labels == 1])
    outlines = panel.context.scene.regions.layer(NAMED)
    legend = panel.context.painter.legend.colors
    for name, color in zip(outlines.features["name"], outlines.edge_color, strict=True):
        np.testing.assert_allclose(color, legend.colors[legend.names.index(name)], atol=1e-4)
    panel.copy()
    assert "'left'" in QApplication.clipboard().text()
    press(qtbot, panel.names.clear)
    until(lambda: panel.names.count == 0)


def test_a_selected_region_is_renamed(panel, qtbot, until):
    panel._pick_source("Regions I draw and name")
    draw(panel, qtbot, "left", 0.2)
    draw(panel, qtbot, "right", 0.8)
    layer = panel.context.scene.regions.layer(NAMED)
    layer.selected_data = {0}  # as after drawing: what is typed is for the next one
    panel.names.name.setText("other")
    assert list(layer.features["name"]) == ["left", "right"]
    layer.mode = "select"
    layer.selected_data = {0}
    panel.names.name.setText("rim")
    panel.names.name.editingFinished.emit()
    assert list(layer.features["name"]) == ["rim", "right"]
    assert not np.allclose(layer.edge_color[0], layer.edge_color[1])


@pytest.fixture
def two(home, tissue, until, tmp_path):
    """The panel of a dock with two sections open, the second in use."""
    write_tissue(tissue, tmp_path / "two.h5ad")
    for name in ("section_1", "section_2"):
        home.open_panel.open([tmp_path / "two.h5ad"], section=name)
        until(lambda name=name: name in home.context.state.sections
              and not home.context.jobs.busy)  # fmt: skip
    home.steps[7].set_open(True)
    return home.labels_panel


def test_to_another_section(two, home, qtbot, until):
    panel = two
    assert panel.from_sections.isVisible()
    tick(panel, "section_1")
    tick(panel, "section_2", on=False)
    panel.to_section.textActivated.emit("section_2")
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not home.context.jobs.busy)
    assert "Macro-F1" in panel.facts.text()
    assert home.context.state.active == "section_2"
    other = home.context.scene.cells()["section_1"]
    assert len(np.unique(other.face_color, axis=0)) == 1  # nothing is said of it


def test_from_several_sections(two, home, qtbot, until):
    panel, context = two, home.context
    tick(panel, "section_1")
    tick(panel, "section_2")
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not context.jobs.busy)
    assert [one.label for one in panel.labelled.run.sources] == ["section_1", "section_2"]
    assert len(panel.labelled.model.head.settings["sections"]) == 2
    for label in ("section_1", "section_2"):  # one at least stays ticked
        tick(panel, label, on=False)
    assert len(panel.from_sections.chosen) == 1


def test_labels_have_the_colours_of_the_outlines(panel, qtbot, until):
    panel._pick_source("Regions I draw and name")
    draw(panel, qtbot, "west", 0.2)  # named first, last in the alphabet
    draw(panel, qtbot, "east", 0.8)
    outline = dict(zip(("west", "east"),
                       panel.context.scene.regions.layer(NAMED).edge_color.copy(),
                       strict=True))  # fmt: skip
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not panel.context.jobs.busy)
    legend = panel.context.painter.legend.colors
    for name, color in zip(legend.names, legend.colors, strict=True):
        np.testing.assert_allclose(color, outline[name], atol=1e-6)
    press(qtbot, panel.keep_button)
    panel.context.do(ChangeView.of(column=keys.LABEL))
    legend = panel.context.painter.legend.colors
    for name, color in zip(legend.names, legend.colors, strict=True):
        np.testing.assert_allclose(color, outline[name], atol=0.01)
    panel.names.clear_regions()
    assert "changed" in panel.facts.text()


def test_a_saved_model_labels_without_training(panel, opened_home, qtbot, until, tmp_path):
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not panel.context.jobs.busy)
    names = panel.labelled.annotated.names
    panel.save_model(tmp_path / "labelled-model")
    until(lambda: "labelled-model" in panel.context.registry.models and not panel.context.jobs.busy)
    saved = panel.context.registry.load("labelled-model")
    assert saved.card["start"] == panel.labelled.model.name != saved.name
    opened_home.model_panel.choose("labelled-model")
    assert panel.source.itemText(0) == "What the model has learned"
    panel._pick_source("What the model has learned")
    assert panel.run.text() == "Label"
    press(qtbot, panel.run)
    until(lambda: not panel.labelled.run.sources and not panel.context.jobs.busy)
    np.testing.assert_array_equal(panel.labelled.annotated.names, names)
    assert not panel.save_button.isEnabled()


def test_a_region_without_a_name_is_refused(panel, qtbot):
    panel._pick_source("Regions I draw and name")
    draw(panel, qtbot, "left", 0.2)
    (shape,) = panel.names.shapes
    nameless = shape.model_copy(update={"name": ""})
    panel.context.do(SetShapes(role="named", shapes=(nameless,)))
    assert "no name" in panel.names.drawn.text()
    assert not panel.run.isEnabled()
    assert "no name" in panel.run.toolTip()
    panel.start()
    assert not panel.context.jobs.busy


def test_closing_the_section_forgets_its_labels(panel, qtbot, until, viewer):
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not panel.context.jobs.busy)
    viewer.layers.remove(panel.context.scene.active_layer)
    assert panel.labelled is None
    assert panel.context.state.view.of_run is None
