"""A layer of lines that follows what is to be seen. No Qt."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.canvas import layers, line_layer
from napari_gest.canvas.line_layer import LineLayer

LINE = np.array([[0.0, 0.0], [0.0, 5.0], [5.0, 5.0], [0.0, 0.0]])


@pytest.fixture
def turns(monkeypatch) -> list:
    """What waits for a turn of its own."""
    waiting: list = []
    monkeypatch.setattr(line_layer, "call_later", waiting.append)
    return waiting


@pytest.fixture
def lines(scene):
    return LineLayer(scene, layers.OUTLINES, lambda: layers.outlines_layer([LINE], ["a"], 1.0))


def take(turns: list) -> None:
    """Give each its turn."""
    while turns:
        turns.pop(0)()


def test_it_is_drawn_once_in_a_later_turn_however_much_changes(lines, turns):
    assert lines.show("one")
    assert not lines.show("one")
    assert lines.show("two")
    assert lines.layer is None
    take(turns)
    made = lines.layer
    assert made is not None
    assert lines.show("three")
    assert lines.show("two")  # as it is drawn
    take(turns)
    assert lines.layer is made
    lines.show(None)
    take(turns)
    assert lines.layer is None


def test_it_stays_hidden_or_removed_until_something_else_is_to_be_seen(lines, scene, turns):
    lines.show("one")
    take(turns)
    lines.layer.visible = False
    lines.show("two")
    take(turns)
    assert not lines.layer.visible
    scene.viewer.layers.remove(lines.layer)
    lines.show("two")
    take(turns)
    assert lines.layer is None
    lines.show("three")
    take(turns)
    assert lines.layer is not None


def test_once_closed_it_draws_nothing(lines, turns):
    lines.show("one")
    lines.close()
    take(turns)
    assert lines.layer is None
