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


def test_the_bar_of_the_dock_does_not_move_by_itself(opened_home, until):
    home = opened_home
    bar, maxima = home.job_bar.bar, list[int]()
    home.niches_panel.find.click()
    maxima.append(bar.maximum())

    def done() -> bool:
        maxima.append(bar.maximum())
        return home.niches_panel.niches is not None and not home.context.jobs.busy

    until(done)
    assert min(maxima) > 0  # at zero Qt moves it to and fro
