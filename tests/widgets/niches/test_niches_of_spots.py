"""Niches of spots, and columns that do not tell niches apart."""

from __future__ import annotations

import pandas as pd
import pytest
from mouse import press

from napari_gest.app.actions import ChangeView

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(opened_home, qtbot, until):
    """The panel with niches of what are said to be spots, and a column of one name."""
    opened = opened_home.context.state.opened
    vars(opened.section)["unit"] = "spot"  # as of cells on a wide lattice
    generated = pd.Categorical(["yes", "no"] * opened.adata.n_obs)[: opened.adata.n_obs]
    opened.adata.obs["gest_generated"] = generated
    opened.adata.obs["one_name"] = pd.Categorical(["whole"] * opened.adata.n_obs)
    opened_home.steps[6].set_open(True)
    made = opened_home.niches_panel
    press(qtbot, made.find)
    until(lambda: made.outcome is not None and not made.outcome.is_preview)
    return made


def test_spots_are_not_called_cells(panel, qtbot, until):
    table = panel.legend.table
    assert table.horizontalHeaderItem(1).text() == "Spots"
    tips = [table.horizontalHeaderItem(i).toolTip() for i in range(table.columnCount())]
    assert "Tissue nearest to its spots" in tips
    assert not any("cell" in tip for tip in tips)
    press(qtbot, panel.pages.option("markers"))
    until(lambda: panel.markers.table.rowCount() > 0)
    assert panel.markers.note.text().startswith("Against all other spots")
    context = panel.context
    context.do(ChangeView.of(gene=context.state.opened.section.genes[0]))
    until(lambda: "spots scaled to" in context.painter.legend.title)


def test_a_column_of_one_name_is_no_composition(panel, qtbot):
    press(qtbot, panel.pages.option("composition"))
    box = panel.composition.box
    offered = [box.itemText(i) for i in range(box.count())]
    assert "cell_type" in offered
    assert "one_name" not in offered
    assert "gest_generated" not in offered
