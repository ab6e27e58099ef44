"""Bars that show how far work is, and do not move by themselves."""

from __future__ import annotations

import pytest

from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.progress_bar import ProgressBar

pytestmark = pytest.mark.gui


def test_a_bar_is_empty_until_it_is_known_how_far_work_is(qtbot):
    bar = ProgressBar()
    qtbot.addWidget(bar)
    bar.show_progress(Progress("Working", 0, 1))
    assert (bar.value(), bar.minimum()) == (0, 0)
    assert bar.maximum() > 0  # else Qt would move it to and fro
    bar.show_progress(Progress("Working", 1, 4))
    assert bar.value() == bar.maximum() // 4


def test_the_bars_of_the_steps_do_not_move_by_themselves(opened_home, until):
    home = opened_home
    panel = home.niches_panel
    widest: list[int] = []
    panel.job.bar.valueChanged.connect(lambda _: widest.append(panel.job.bar.maximum()))
    panel.find.click()
    assert panel.job.bar.maximum() > 0
    until(lambda: panel.found is not None and not home.context.jobs.busy)
    assert widest
    assert min(widest) > 0
