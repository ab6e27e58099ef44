"""Regions drawn on the canvas."""

from __future__ import annotations

import numpy as np


def draw_region(home, share: float = 0.2) -> None:
    """Add a square around the middle that holds about ``share`` of the tissue's width."""
    coords = home.context.scene.active.section.coords_um
    centre = coords.mean(axis=0)[::-1]
    half = share * np.ptp(coords[:, 0]) / 2
    corners = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom").add([corners], shape_type="polygon")
