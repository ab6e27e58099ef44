"""The wait before niches are found: it is one for many calls, and ends with its panel."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_gest.widgets.niches import final_niches
from napari_gest.widgets.niches.final_niches import FinalNiches

pytestmark = pytest.mark.gui


@dataclass(frozen=True)
class Request:
    """What is asked for, without the work."""

    n_niches: int
    embedded: tuple = ()
    method: str = "kmeans"
    repeats: int = 0

    def run(self) -> None:
        """Stand for the work."""


@pytest.fixture
def started(monkeypatch):
    """The numbers of niches that were started to be found."""
    numbers: list[int] = []
    monkeypatch.setattr(
        final_niches.LatestJob, "start", lambda _, job: numbers.append(job.work.__self__.n_niches)
    )
    return numbers


@pytest.fixture
def panel(qtbot):
    made = FinalNiches(None)
    qtbot.addWidget(made)
    return made


def test_only_the_latest_of_many_is_found(panel, started, qtbot):
    for number in (3, 4, 5):
        panel.want(Request(number), None, False)
        qtbot.wait(20)
    assert started == []
    qtbot.waitUntil(lambda: bool(started))
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == [5]
    panel.want(Request(6), None, False)
    qtbot.waitUntil(lambda: started == [5, 6])


def test_nothing_is_found_after_rest(panel, started, qtbot):
    panel.want(Request(3), None, False)
    panel.rest()
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == []


def test_a_panel_that_is_gone_is_neither_called_nor_kept(started, qtbot):
    panel = FinalNiches(None)
    panel.want(Request(3), None, False)
    left = weakref.ref(panel)
    panel.deleteLater()
    del panel
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    assert left() is None
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == []
