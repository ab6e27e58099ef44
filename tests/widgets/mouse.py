"""The mouse and the keyboard of a user."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, Qt

LEFT = Qt.MouseButton.LeftButton


def press(qtbot, button) -> None:
    """Click a button that is to be had."""
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, LEFT)


def type_key(qtbot, widget, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key with a widget focused, in the active window: shortcuts ask for both."""
    widget.window().activateWindow()
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus)
    qtbot.keyClick(widget, key, modifier)


def drag(qtbot, viewer, start, end) -> None:
    """Drag the mouse between two places (x, y), as shares of the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    shares = np.linspace(start, end, 5)
    points = [QPoint(int(canvas.width() * x), int(canvas.height() * y)) for x, y in shares]
    qtbot.mouseMove(canvas, points[0])
    qtbot.mousePress(canvas, LEFT, pos=points[0])
    for point in points[1:]:
        qtbot.mouseMove(canvas, point)
        qtbot.wait(20)
    qtbot.mouseRelease(canvas, LEFT, pos=points[-1])
