"""Forms follow the signature they are built from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QWidget

from napari_gest.tissue.reading import FIELDS, Reading
from napari_gest.widgets.common.forms import Choice, Length, box, form, rows
from napari_gest.widgets.open.reading_panel import ReadingPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(qtbot):
    made = ReadingPanel()
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_a_parameter_that_is_added_gets_a_field(qtbot):
    @dataclass(frozen=True)
    class More(Reading):
        rotated: bool = True
        slide: str = "first"

    types = {"layer": Choice, "um_per_unit": Length}
    made = form(More, {name: {"widget_type": kind} for name, kind in types.items()})
    assert {field.name: field.value for field in made} == vars(More()) | {"layer": ""}
    assert isinstance(box(made["rotated"]), QCheckBox)
    shown = QWidget()
    qtbot.addWidget(shown)
    shown.setLayout(rows(made))
    assert {label.text() for label in shown.findChildren(QLabel)} >= {"slide", "um per unit"}


def test_an_option_of_no_parameter_is_refused(qtbot):
    with pytest.raises(ValueError, match="rotation"):
        form(Reading, {"rotation": {"label": "Rotation"}})


def test_each_parameter_of_a_reading_has_a_field_that_says_what_it_is(panel, qtbot):
    labels = [label.text() for label in panel.findChildren(QLabel)]
    for field in fields(Reading):
        made = box(panel.form[field.name])
        assert made.isVisible()
        assert made.accessibleName() == FIELDS[field.name]
        assert len(made.toolTip()) > len(made.accessibleName())
        told = made.text() if isinstance(made, QCheckBox) else labels
        assert FIELDS[field.name] in told
        panel.activateWindow()
        panel.focus(field.name)
        qtbot.waitUntil(made.hasFocus)


def test_each_change_is_told_and_said(panel, qtbot):
    for change in (
        {"spatial_key": "pixels"}, {"section_key": "slide"}, {"layer": "norm"},
        {"um_per_unit": 0.2125}, {"scale": "log1p"}, {"include_generated": True},
    ):  # fmt: skip
        wanted = replace(panel.reading, **change)
        with qtbot.waitSignal(panel.changed):
            panel.choose(wanted)
        assert panel.reading == wanted
    panel.choose(Reading())
    assert panel.layer.currentText() == "X"
    assert panel.reading == Reading()


def test_what_is_offered_leaves_what_is_typed(panel, qtbot, tissue):
    panel.spatial.setEditText("typed")
    with qtbot.assertNotEmitted(panel.changed):
        panel.offer([tissue, tissue])
    assert isinstance(panel.spatial, QComboBox)
    assert panel.reading.spatial_key == "typed"
    offered = [panel.section.itemText(i) for i in range(panel.section.count())]
    assert "section" in offered
    assert len(offered) == len(set(offered))
