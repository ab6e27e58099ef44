"""Layers come and go without a stir."""

from __future__ import annotations

import gc
from functools import partial

import numpy as np
import pytest

from napari_gest.canvas.layer_list import add_layer, remove_layer

pytestmark = pytest.mark.gui

DATA = (np.zeros((3, 2)), {"name": "added"}, "points")


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer(show=True)
    for name in "abc":
        made.add_points(np.zeros((3, 2)), name=name)
    return made


@pytest.mark.parametrize("chosen", [set(), {"a"}, {"a", "c"}])
def test_what_was_selected_stays_selected_and_nobody_is_told(viewer, chosen):
    selection = viewer.layers.selection
    selection.clear()
    selection.update({viewer.layers[name] for name in chosen})
    active, current, told = selection.active, selection._current, []
    selection.events.active.connect(told.append)
    selection.events.changed.connect(told.append)
    layer = add_layer(viewer, DATA, 1)
    assert viewer.layers.index(layer) == 1
    assert {one.name for one in selection} == chosen
    assert selection.active is active
    assert selection._current is current
    rows = viewer.window._qt_viewer.layers.selectionModel().selectedRows()
    assert {row.data() for row in rows} == chosen
    assert told == []
    assert add_layer(viewer, DATA) is viewer.layers[-1]


def test_the_window_draws_the_layer_in_turns(viewer, qtbot):
    shown = viewer.window._qt_viewer
    pieces = [shown.controls, shown.layers, shown.canvas.native]
    held = lambda: [not piece.updatesEnabled() for piece in pieces]  # noqa: E731
    add_layer(viewer, DATA)
    add_layer(viewer, DATA)
    assert held() == [True, True, True]
    qtbot.waitUntil(partial(_none, held))


def test_the_window_follows_in_turns(viewer, qtbot):
    shown = viewer.window._qt_viewer
    layer = add_layer(viewer, DATA)
    assert layer not in shown.canvas.layer_to_visual
    assert layer not in shown.controls.widgets
    qtbot.waitUntil(lambda: layer in shown.controls.widgets)
    assert layer in shown.canvas.layer_to_visual


def _select(viewer, layer):
    viewer.layers.selection.active = layer


def _add_another(viewer, layer):
    viewer.add_points(np.zeros((3, 2)))


def _remove_another(viewer, layer):
    viewer.layers.remove(viewer.layers["a"])


@pytest.mark.parametrize("do", [_select, _add_another, _remove_another])
def test_what_expects_a_layer_to_be_shown_has_it_shown_at_once(viewer, do):
    shown = viewer.window._qt_viewer
    layer = add_layer(viewer, DATA)
    do(viewer, layer)
    assert layer in shown.canvas.layer_to_visual
    assert layer in shown.controls.widgets


def test_a_layer_can_go_before_it_is_shown(viewer, qtbot):
    shown = viewer.window._qt_viewer
    layer = add_layer(viewer, DATA)
    remove_layer(viewer, layer)
    qtbot.waitUntil(shown.canvas.native.updatesEnabled)
    assert layer not in viewer.layers
    assert layer not in shown.canvas.layer_to_visual


def test_a_window_can_close_before_a_layer_is_shown(viewer, qtbot):
    with qtbot.captureExceptions() as raised:
        add_layer(viewer, DATA)
        viewer.close()
        qtbot.wait(50)
    assert raised == []


def test_a_layer_is_removed_without_a_look_at_everything(viewer):
    layer, collected = viewer.layers["b"], []

    def note(phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2:
            collected.append(gc.get_freeze_count())

    # Newer versions of napari do so themselves.
    viewer.layers.events.removed.connect(_collect)
    gc.callbacks.append(note)
    try:
        remove_layer(viewer, layer)
    finally:
        gc.callbacks.remove(note)
        viewer.layers.events.removed.disconnect(_collect)
    assert [one.name for one in viewer.layers] == ["a", "c"]
    # What existed before was left out of it.
    assert collected
    assert min(collected) > 10_000
    assert gc.get_freeze_count() == 0


def _collect(_event) -> None:
    gc.collect()


def _none(held) -> bool:
    return not any(held())
