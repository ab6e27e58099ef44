"""The list of runs: names typed in it, and what can be done with cells of a file."""

from __future__ import annotations

import pytest
from drawing import draw_region
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_gest.app.actions import AddRun, CloseSections, RenameRun
from napari_gest.app.from_file import KEEPS, WHY_NOT, is_from_file
from napari_gest.app.runs.base import RunEntry

pytestmark = pytest.mark.gui


@pytest.fixture
def generated(opened_home, until):
    """The dock with one run of generation, its step unfolded."""
    opened_home.steps[8].set_open(True)
    draw_region(opened_home)
    opened_home.run_panel.start()
    until(lambda: len(opened_home.context.state.runs) == 1 and not opened_home.context.jobs.busy)
    return opened_home


def editor_of(table) -> QLineEdit:
    """Return the field in which a name is typed."""
    return next(one for one in table.findChildren(QLineEdit) if one.isVisible())


def test_a_name_that_is_typed_goes_to_its_run_though_another_ends(generated, qtbot):
    panel, context = generated.runs_panel, generated.context
    (first,) = context.state.listed()
    press(qtbot, panel.rename_button)
    field = editor_of(panel.table)
    field.setText("mi")
    other = RunEntry("run-9", "another", first.run, first.outcome)
    context.do(AddRun.of(other))
    assert editor_of(panel.table) is field
    assert field.text() == "mi"
    qtbot.keyClicks(field, "ne")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: context.state.entry(first.id).name == "mine")
    assert context.state.entry("run-9").name == "another"
    qtbot.waitUntil(lambda: panel.table.rowCount() == 2)
    assert [panel.table.item(row, 0).text() for row in range(2)] == ["another", "mine"]
    context.do(RenameRun(id="run-9", name="later"))  # nothing is typed any more
    assert panel.table.item(0, 0).text() == "later"


def test_a_name_for_a_run_that_is_gone_is_dropped(generated, qtbot, errors):
    panel, context = generated.runs_panel, generated.context
    press(qtbot, panel.rename_button)
    field = editor_of(panel.table)
    context.do(CloseSections(labels=("tissue",)))
    field.setText("mine")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.table.rowCount() == 0)
    assert errors == []


def test_cells_of_a_file_give_no_code_and_stay_in_it(generated, until, tmp_path, errors):
    context, result, panel = generated.context, generated.run_panel.result, generated.runs_panel
    result.keep()
    result.save(tmp_path / "out.h5ad")
    until(lambda: (tmp_path / "out.h5ad").exists() and not context.jobs.busy)
    context.do(CloseSections(labels=("tissue",)))
    generated.open_panel.open([tmp_path / "out.h5ad"])
    until(lambda: context.opened is not None and not context.jobs.busy)
    (entry,) = context.state.listed()
    assert is_from_file(entry)
    panel.table.selectRow(0)
    for button, why_not in (
        (panel.copy_button, WHY_NOT),
        (panel.delete_button, KEEPS),
        (result.discard_button, KEEPS),
    ):
        assert not button.isEnabled()
        assert button.toolTip() == why_not
    panel.copy()
    assert WHY_NOT in str(errors.pop())
    panel.delete()
    assert list(context.state.listed()) == [entry]
