"""Labels of spots: they are not called cells."""

from __future__ import annotations

import pytest
from mouse import press
from qtpy.QtWidgets import QLabel

from napari_gest.app.actions import SetShapes
from napari_gest.app.regions import Shape

pytestmark = pytest.mark.gui


def named(state, name: str, share: float) -> Shape:
    """Return a named square at a share of the section's width."""
    coords = state.opened.section.coords_um
    low, high = coords.min(0), coords.max(0)
    x, y = low + (high - low) * [share, 0.5]
    half = 0.15 * float((high - low).min())
    corners = [(x + a * half, y + b * half) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return Shape(
        role="named", section=state.opened.label, kind="polygon", corners=corners, name=name
    )


def test_spots_are_counted_as_spots(opened_home, qtbot, until):
    context = opened_home.context
    vars(context.state.opened.section)["unit"] = "spot"  # as of cells on a wide lattice
    opened_home.steps[7].set_open(True)
    panel = opened_home.labels_panel
    panel._pick_source("Regions I draw and name")
    shapes = named(context.state, "left", 0.2), named(context.state, "right", 0.8)
    context.do(SetShapes(role="named", shapes=shapes))
    assert panel.names.drawn.text().endswith(" spots")
    press(qtbot, panel.run)
    until(lambda: panel.labelled is not None and not context.jobs.busy)
    n = context.state.opened.section.n_obs
    assert panel.facts.text().startswith(f"{n:,} spots labelled")
    assert "Learned from spots" in panel.facts.text()
    said = [one.text() for one in opened_home.job_bar.findChildren(QLabel)]
    assert any(text.startswith(f"{n:,} spots labelled") for text in said)
