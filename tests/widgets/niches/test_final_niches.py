"""The wait before niches are found: it is one for many calls, and ends with its panel."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_gest.widgets.niches import final_niches
from napari_gest.widgets.niches.final_niches import FinalNiches

pytestmark = pytest.mark.gui


class Context:
    """A session that shows one run, whose niches are a preview."""

    def __init__(self) -> None:
        self.number: float | None = None

    @property
    def state(self) -> Context:
        return self

    def shown_run(self, kind: str) -> SimpleNamespace | None:
        if self.number is None:
            return None
        outcome = SimpleNamespace(
            is_preview=True,
            asked=("number", self.number),
            search=SimpleNamespace(request=lambda by, value: SimpleNamespace(run=value)),
        )
        return SimpleNamespace(id="run-1", outcome=outcome)


@pytest.fixture
def started(monkeypatch):
    """The numbers of niches that were started to be found."""
    numbers: list[float] = []
    monkeypatch.setattr(final_niches.LatestJob, "start", lambda _, job: numbers.append(job.work))
    return numbers


@pytest.fixture
def panel(qtbot):
    made = FinalNiches(Context())
    qtbot.addWidget(made)
    return made


def ask(panel: FinalNiches, number: float) -> None:
    panel.context.number = number
    panel.refresh()


def test_only_the_latest_of_many_is_found(panel, started, qtbot):
    for number in (3, 4, 5):
        ask(panel, number)
        qtbot.wait(20)
    assert started == []
    qtbot.waitUntil(lambda: bool(started))
    ask(panel, 5)  # which is under way already
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == [5]
    ask(panel, 6)
    qtbot.waitUntil(lambda: started == [5, 6])


def test_nothing_is_found_after_rest(panel, started, qtbot):
    ask(panel, 3)
    panel.rest()
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == []


def test_a_panel_that_is_gone_is_neither_called_nor_kept(started, qtbot):
    panel = FinalNiches(Context())
    ask(panel, 3)
    left = weakref.ref(panel)
    panel.deleteLater()
    del panel
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    assert left() is None
    qtbot.wait(2 * final_niches._WAIT_MS)
    assert started == []
