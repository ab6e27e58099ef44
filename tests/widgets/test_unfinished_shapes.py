"""A shape that is being drawn with the mouse, while something else happens."""

from __future__ import annotations

import pytest
from mouse import LEFT, press, type_key
from qtpy.QtCore import QPoint, Qt

from napari_gest.app.actions import CloseSections, SetShapes
from napari_gest.app.regions import Shape
from napari_gest.canvas._napari_private.attributes import is_drawing

pytestmark = pytest.mark.gui

CORNERS = [(0.42, 0.42), (0.6, 0.42), (0.6, 0.6)]


@pytest.fixture
def click(viewer, qtbot):
    """Clicks at shares (x, y) of the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native

    def at(*places: tuple[float, float]) -> None:
        for x, y in places:
            point = QPoint(int(canvas.width() * x), int(canvas.height() * y))
            qtbot.mouseMove(canvas, point)
            qtbot.wait(30)
            qtbot.mouseClick(canvas, LEFT, pos=point)
            qtbot.wait(30)

    return at


@pytest.fixture
def drawn(opened_home, qtbot, click):
    """The layer on which there is a region, and a polygon of three corners that is not ended."""
    x, y = opened_home.context.opened.section.coords_um.mean(axis=0)
    corners = [(x, y), (x + 40, y), (x, y + 40)]
    first = Shape(role="unseen", section="tissue", kind="polygon", corners=corners)
    opened_home.context.do(SetShapes(role="unseen", shapes=(first,)))
    press(qtbot, opened_home.region_panel.tools.option("add_polygon"))
    click(*CORNERS)
    layer = opened_home.context.scene.regions.layer("unseen")
    assert is_drawing(layer)
    return layer


def finish(qtbot, viewer) -> None:
    """End a polygon as a user does, with Escape."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)


def test_a_polygon_is_ended_after_another_region_has_come(opened_home, viewer, drawn, qtbot):
    context = opened_home.context
    (first,) = context.state.shapes
    other = first.model_copy(update={"corners": [(a + 50, b + 50) for a, b in first.corners]})
    context.do(SetShapes(role="unseen", shapes=(first, other)))
    assert is_drawing(drawn)
    finish(qtbot, viewer)
    qtbot.waitUntil(lambda: len(context.state.shapes) == 3)
    assert context.state.shapes[:2] == (first, other)
    assert len(context.state.shapes[2].corners) == 3
    qtbot.waitUntil(lambda: len(drawn.data) == 3)
    context.undo()
    assert context.state.shapes == (first, other)
    assert len(drawn.data) == 2


def test_a_polygon_is_ended_after_its_section_has_gone(opened_home, viewer, drawn, qtbot, errors):
    context = opened_home.context
    context.do(CloseSections(labels=("tissue",)))
    finish(qtbot, viewer)
    qtbot.waitUntil(lambda: len(drawn.data) == 0)
    assert context.state.shapes == ()
    assert errors == []


@pytest.mark.parametrize("behind", [False, True])
def test_undo_removes_the_polygon_that_is_drawn_and_nothing_else(
    opened_home, viewer, drawn, click, qtbot, behind
):
    context = opened_home.context
    held = context.state.shapes
    if behind:
        moved = [(x + 50, y + 50) for x, y in held[0].corners]
        held = (*held, held[0].model_copy(update={"corners": moved}))
        context.do(SetShapes(role="unseen", shapes=held))
    canvas = viewer.window._qt_viewer.canvas.native
    type_key(qtbot, canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not is_drawing(drawn)
    assert len(drawn.data) == len(held)
    assert context.state.shapes == held
    click(*CORNERS)  # another one can be drawn at once
    finish(qtbot, viewer)
    qtbot.waitUntil(lambda: len(context.state.shapes) == len(held) + 1)
    type_key(qtbot, canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert context.state.shapes == held


def test_corners_ask_of_no_cell(opened_home, qtbot, click):
    influence = opened_home.perturb_panel.influence
    asked = []
    influence.pointer._on_cell = asked.append
    influence.toggle.click()
    press(qtbot, opened_home.region_panel.tools.option("add_polygon"))
    click(*((0.3 + 0.05 * i, 0.5) for i in range(9)))
    assert asked == []
    opened_home.region_panel.context.scene.regions.abandon()
    cells = opened_home.context.scene.active_layer
    opened_home.context.viewer.layers.selection.active = cells
    click(*((0.3 + 0.05 * i, 0.5) for i in range(9)))
    assert asked != []
