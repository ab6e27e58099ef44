"""Names that look like HTML are shown as they are."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.widgets.common.controls import allow, button, note, tooltip
from napari_gest.widgets.common.errors import show_error
from napari_gest.widgets.common.step import Step

pytestmark = pytest.mark.gui
NAME = "<img src='file:///etc/passwd'><b>bold</b> & <br>"
ESCAPED = "&lt;b&gt;bold&lt;/b&gt;"


def shows_text(label: QLabel) -> bool:
    return label.textFormat() == Qt.TextFormat.PlainText or not Qt.mightBeRichText(label.text())


def test_labels_and_tooltips_show_names_as_they_are(qtbot):
    step = Step(1, "Tissue", QWidget())
    step.set_state("done", NAME)
    made = button("Run", lambda: None, NAME)
    label = note(NAME)
    for widget in (step, made, label):
        qtbot.addWidget(widget)
    assert all(shows_text(one) for one in [label, *step.findChildren(QLabel)])
    assert label.text() == NAME
    tips = [made.toolTip(), *(one.toolTip() for one in step.findChildren(QLabel))]
    allow(made, NAME)
    for tip in [made.toolTip(), *filter(None, tips)]:
        assert ESCAPED in tip
        assert "<b>" not in tip
    assert tooltip("Genes & cells") == "Genes & cells"


def test_an_error_shows_names_as_they_are(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    for error in (InputError(f"No gene {NAME}.", f"Correct {NAME}."), RuntimeError(NAME)):
        box = show_error(parent, error)
        shown = [one for one in box.findChildren(QLabel) if "bold" in one.text()]
        assert shown
        assert all(one.textFormat() == Qt.TextFormat.PlainText for one in shown)
        box.close()


def test_tissue_with_such_names_is_shown_as_text(home, tissue_file, until, tmp_path):
    adata = read_tissue(tissue_file)
    adata.obs["section"] = NAME.replace("/", "|")
    regions = adata.obs["region"].cat.categories
    adata.obs["region"] = adata.obs["region"].cat.rename_categories(
        {regions[0]: NAME.replace("/", "|")}
    )
    write_tissue(adata, tmp_path / "html.h5ad")
    home.open_panel.open([tmp_path / "html.h5ad"])
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    home.color_panel.show_column("region")
    assert all(shows_text(label) for label in home.findChildren(QLabel) if "bold" in label.text())
    table = home.color_panel.legend.swatches
    items = [table.item(row, 0) for row in range(table.rowCount())]
    (item,) = [one for one in items if "bold" in one.text()]
    assert "<b>" not in item.toolTip()
    tips = [one.toolTip() for one in home.findChildren(QWidget) if "bold" in one.toolTip()]
    assert all("<b>" not in tip for tip in tips)
