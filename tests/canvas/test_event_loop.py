"""Steps that wait for a turn of Qt's event loop."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QTimer

from napari_gest.canvas import event_loop
from napari_gest.canvas.event_loop import call_later

pytestmark = pytest.mark.gui


def test_steps_run_in_order_and_the_window_answers_in_between(qtbot):
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        QTimer.singleShot(0, lambda: seen.append("window"))
        call_later(lambda: seen.append("third"))

    call_later(first)
    call_later(lambda: seen.append("second"))
    assert seen == []
    qtbot.waitUntil(lambda: len(seen) == 4)
    assert seen == ["first", "window", "second", "third"]


def test_a_step_that_fails_does_not_stop_those_after_it(qtbot):
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("a step")

    with qtbot.captureExceptions() as raised:
        call_later(fail)
        call_later(lambda: seen.append("next"))
        qtbot.waitUntil(lambda: bool(seen))
    assert [str(error) for _, error, _ in raised] == ["a step"]


def test_without_an_application_a_step_is_taken_at_once(monkeypatch):
    monkeypatch.setattr(event_loop.QCoreApplication, "instance", staticmethod(lambda: None))
    seen: list[str] = []
    call_later(lambda: seen.append("at once"))
    assert seen == ["at once"]
