"""The small pieces the panels are made of."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_gest.widgets.common import controls
from napari_gest.widgets.common.controls import Fold, Panel, SearchBox, combo, fill, folded, ranked

pytestmark = pytest.mark.gui

GENES = ["Arhgap36", "Sst", "Gad1", "Gabra1", "GAL", "Olfga<b>"]


def test_names_that_begin_with_what_is_typed_come_first():
    found = ["Gabra1", "Gad1", "GAL", "Arhgap36", "Olfga<b>"]
    genes = folded(GENES)
    assert ranked(genes, "ga") == ranked(genes, "GA") == found
    assert ranked(genes, "x") == []
    assert ranked(genes, "") == sorted(GENES, key=str.casefold)


@pytest.fixture
def box(qtbot):
    """A box of genes in a dark window."""
    window = QWidget()
    column = QVBoxLayout(window)
    made = SearchBox("Gene…")
    column.addWidget(made)
    qtbot.addWidget(window)
    made.addItems(GENES)
    window.setStyleSheet("QWidget { background-color: #262930; color: #f0f1f2; }")
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    made.lineEdit().setFocus()
    qtbot.waitUntil(made.lineEdit().hasFocus)
    made.lineEdit().clear()
    yield made
    window.close()


def pop_up(box):
    return box.lineEdit().completer().popup()


def test_the_pop_up_lists_them_in_that_order_and_in_the_colours_of_the_theme(box, qtbot):
    qtbot.keyClicks(box.lineEdit(), "ga")
    qtbot.waitUntil(pop_up(box).isVisible)
    model = pop_up(box).model()
    shown = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert shown == ranked(folded(GENES), "ga")
    picture = pop_up(box).viewport().grab().toImage()
    assert picture.pixelColor(picture.width() - 2, picture.height() - 2).lightness() < 70


def test_a_name_of_the_pop_up_is_picked(box, qtbot):
    told = []
    box.picked.connect(told.append)
    qtbot.keyClicks(box.lineEdit(), "ga")
    qtbot.waitUntil(pop_up(box).isVisible)
    for _ in range(2):
        qtbot.keyClick(pop_up(box), Qt.Key.Key_Down)
    qtbot.keyClick(pop_up(box), Qt.Key.Key_Return)
    assert set(told) == {"Gad1"}
    assert box.currentText() == "Gad1"
    assert box.currentIndex() == GENES.index("Gad1")


def test_return_picks_the_name_itself_or_else_the_first_found(box, qtbot):
    told = []
    box.picked.connect(told.append)
    for typed, picked in (("gad1", "Gad1"), ("ga", "Gabra1"), ("HGAP", "Arhgap36")):
        told.clear()
        box.lineEdit().setText(typed)
        qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)
        assert set(told) == {picked}
    told.clear()
    box.lineEdit().setText("nothing like it")
    qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    assert told == []


def test_names_can_be_replaced(box, qtbot):
    fill(box, ["Zfp1", "Azfp"], "Zfp1")
    box.lineEdit().clear()
    qtbot.keyClicks(box.lineEdit(), "zf")
    assert pop_up(box).model().index(0, 0).data() == "Zfp1"
    assert pop_up(box).model().rowCount() == 2


def test_a_combo_box_tells_what_its_user_chooses_and_not_what_a_program_sets(qtbot):
    told = []
    made = combo("Section", told.append)
    qtbot.addWidget(made)
    made.addItems(["a", "b"])
    made.setCurrentText("b")
    assert told == []
    made.textActivated.emit("b")
    assert told == ["b"]
    assert made.accessibleName() == "Section"


def test_what_is_folded_is_hidden_and_what_is_open_grows(qtbot):
    panel = Panel()
    panel.column.addWidget(QLabel("short"))
    fold, dock, inside = Fold("More", panel), QScrollArea(), QWidget()
    column = QVBoxLayout(inside)
    column.addWidget(fold)
    column.addStretch(1)
    dock.setWidget(inside)
    dock.setWidgetResizable(True)
    qtbot.addWidget(dock)
    dock.resize(300, 400)
    dock.show()
    qtbot.waitExposed(dock)
    assert panel.isHidden()
    folded = fold.height()
    qtbot.mouseClick(fold.toggleButton(), Qt.MouseButton.LeftButton)
    assert panel.isVisible()
    qtbot.waitUntil(lambda: fold.height() > folded)
    low = panel.height()
    tall = QLabel("tall")
    tall.setFixedHeight(200)
    panel.column.addWidget(tall)
    qtbot.waitUntil(lambda: panel.height() >= low + 200)
    tall.hide()
    qtbot.waitUntil(lambda: panel.height() <= low + 10)
    fold.set_open(False)
    assert panel.isHidden()
    qtbot.waitUntil(lambda: fold.height() == folded)
    qtbot.keyClick(fold.toggleButton(), Qt.Key.Key_Space)
    assert panel.isVisible()
    fold.set_open(True)  # already
    assert panel.isVisible()


def test_a_long_list_is_read_from_qt_no_more_once_it_was_filled(box, monkeypatch):
    fill(box, GENES, "Sst")
    monkeypatch.setattr(box, "itemText", None)
    added = []
    monkeypatch.setattr(box, "addItems", added.append)
    fill(box, list(GENES), "GAL")
    assert box.currentText() == "GAL"
    assert added == []
    assert box.names == GENES
    fill(box, GENES[:2], None)
    assert added == [GENES[:2]]


def test_names_are_folded_once_for_all_that_is_typed(box, qtbot, monkeypatch):
    fill(box, GENES, None)
    calls = []
    monkeypatch.setattr(controls, "folded", lambda names: calls.append(1) or folded(names))
    qtbot.keyClicks(box.lineEdit(), "gad")
    assert calls == [1]
    fill(box, GENES[:3], None)
    qtbot.keyClicks(box.lineEdit(), "1")
    assert calls == [1, 1]
