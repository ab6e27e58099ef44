"""Regions drawn on the canvas."""

from __future__ import annotations

import numpy as np

from napari_gest.canvas._napari_private.compat import scale_bar
from napari_gest.canvas.layers import CELLS
from napari_gest.canvas.shapes import role_of


def draw_region(home, share: float = 0.2) -> None:
    """Add a square around the middle that holds about ``share`` of the tissue's width."""
    coords = home.context.scene.active.section.coords_um
    centre = coords.mean(axis=0)[::-1]
    half = share * np.ptp(coords[:, 0]) / 2
    corners = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom").add([corners], shape_type="polygon")


def hide_scale_bar(viewer, qtbot, hidden: list[bool]) -> None:
    """Hide the scale bar for good. It appears some turns after a section, so wait for it once."""
    if not hidden and any(role_of(layer) == CELLS for layer in viewer.layers):
        qtbot.waitUntil(lambda: scale_bar(viewer).visible, timeout=60_000)
        hidden.append(True)
    scale_bar(viewer).visible = False
