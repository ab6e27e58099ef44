"""The table of runs keeps its columns in sight."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QTableWidgetItem

pytestmark = pytest.mark.gui


def test_a_long_name_leaves_room_for_what_became_of_the_run(opened_home):
    panel = opened_home.runs_panel
    header = panel.table.horizontalHeader()
    panel.table.setRowCount(1)
    panel.table.setItem(0, 0, QTableWidgetItem("drawn regions on a_section_of_a_long_name_" * 3))
    header.resizeSections(header.ResizeMode.ResizeToContents)
    assert header.sectionSize(0) <= 150
