"""What a user does in the step "Perturb", in a word each."""

from __future__ import annotations

import numpy as np


def outline(home, share: float = 0.3) -> None:
    """Outline the middle of the tissue as the region to edit."""
    coords = home.context.opened.section.coords_um
    half = share * np.ptp(coords[:, 0]) / 2
    corners = coords.mean(axis=0)[::-1] + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    home.context.scene.draw("pan_zoom", "edited").add([corners], shape_type="polygon")


def run(panel, until, tested: bool = True) -> None:
    """Run what is chosen, and wait for the test, or cancel it."""
    context, before = panel.context, len(panel.scenarios.entries)
    panel.start()
    until(lambda: len(panel.scenarios.entries) > before)
    if not tested:  # the test starts once the run has ended
        until(lambda: context.job_bar.cancel.isEnabled() or panel.effect.effect.tested is not None)
        context.job_bar.stop()
    until(lambda: not context.jobs.busy)
