"""A frame with two axes in which small plots are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

UP, DOWN = QColor("#D55E00"), QColor("#56B4E9")
CHOSEN = QColor("#F0E442")
QUIET = QColor(128, 140, 155, 150)
_MARGIN = 0.06  # of the range, on each side
_LEFT, _TOP, _RIGHT = 48, 8, 8


class Axes(QWidget):
    """Axes with round numbers; subclasses draw inside with ``place``."""

    def __init__(self, name: str, height: int = 170) -> None:
        super().__init__()
        self.x_name = self.y_name = ""
        self._height = height
        self._x, self._y = (0.0, 1.0), (0.0, 1.0)
        self.setMouseTracking(True)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(200, self._height)

    def set_ranges(self, x: NDArray, y: NDArray, zero_y: bool = False) -> None:
        """Fit the axes to values; ``zero_y`` starts the vertical one at zero."""
        self._x, self._y = _range(x), _range(y)
        if zero_y:
            self._y = (0.0, self._y[1])

    @property
    def area(self) -> QRectF:
        """Where values are drawn."""
        line = self.fontMetrics().height()
        return QRectF(
            _LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - 2 * line - 4
        )

    def place(self, x: NDArray, y: NDArray) -> NDArray[np.float64]:
        """Return (n, 2) pixels of values (n,)."""
        area = self.area
        across = (np.asarray(x, float) - self._x[0]) / (self._x[1] - self._x[0])
        up = (np.asarray(y, float) - self._y[0]) / (self._y[1] - self._y[0])
        return np.stack(
            [area.left() + across * area.width(), area.bottom() - up * area.height()], axis=1
        )

    def draw_axes(self, painter: QPainter) -> None:
        """Draw the frame, numbers and names of the axes, and lines at zero."""
        area, metrics = self.area, self.fontMetrics()
        line = metrics.height()
        text = self.palette().windowText().color()
        painter.setPen(QPen(QUIET, 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.bottomLeft(), area.topLeft())
        painter.setPen(QPen(QUIET, 1, Qt.PenStyle.DotLine))
        if self._x[0] < 0 < self._x[1]:
            x = self.place(np.zeros(1), np.zeros(1))[0, 0]
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        if self._y[0] < 0 < self._y[1]:
            y = self.place(np.zeros(1), np.zeros(1))[0, 1]
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        painter.setPen(text)
        for tick in _inside(self._x):
            x = self.place(np.array([tick]), np.zeros(1))[0, 0]
            box = QRectF(x - 40, area.bottom() + 1, 80, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{tick:.3g}")
        for tick in _inside(self._y):
            y = self.place(np.zeros(1), np.array([tick]))[0, 1]
            box = QRectF(0, y - line / 2, area.left() - 4, line)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, right, f"{tick:.3g}")
        below = QRectF(0, self.height() - line, self.width() - _RIGHT, line)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, self.x_name)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"↑ {self.y_name}")


def _range(values: NDArray) -> tuple[float, float]:
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin, high + margin


def _inside(span: tuple[float, float]) -> list[float]:
    """Return three to six round numbers within a range."""
    low, high = span
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (k * step) <= 5)
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [float(v) + 0.0 for v in values]  # no minus zero
