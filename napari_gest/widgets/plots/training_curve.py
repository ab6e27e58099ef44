"""A small line plot: how the validation error falls as a model is trained."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_LINE = QColor("#56B4E9")
_BEST = QColor("#E69F00")


class TrainingCurve(QWidget):
    """Shows points (x, y), the lowest marked, with its value and the ends of both axes."""

    def __init__(self, x_name: str, y_name: str) -> None:
        super().__init__()
        self._names = x_name, y_name
        self.points: list[tuple[float, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def clear(self) -> None:
        """Forget all points."""
        self.points = []
        self.update()

    def add(self, x: float, y: float) -> None:
        """Add a point to the right of the others."""
        if np.isfinite(y):
            self.points.append((float(x), float(y)))
            best = min(self.points, key=lambda p: p[1])
            self.setAccessibleDescription(f"{self._names[1]} {best[1]:.4g} at {best[0]:g}")
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 84)

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().windowText().color()
        line = self.fontMetrics().height()
        area = QRectF(4, line + 2, self.width() - 8, self.height() - 2 * line - 6)
        painter.setPen(text)
        if not self.points:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "waiting for validation…")
            return
        x, y = np.array(self.points).T
        best = int(y.argmin())
        painter.drawText(
            QRectF(4, 0, self.width() - 8, line),
            Qt.AlignmentFlag.AlignLeft,
            f"{self._names[1]} {y[-1]:.4g} · best {y[best]:.4g}",
        )
        bottom = QRectF(4, self.height() - line, self.width() - 8, line)
        painter.drawText(bottom, Qt.AlignmentFlag.AlignLeft, f"{x[0]:g}")
        painter.drawText(bottom, Qt.AlignmentFlag.AlignRight, f"{self._names[0]} {x[-1]:g}")
        place = QPolygonF(
            QPointF(
                area.left() + area.width() * (a - x[0]) / ((x[-1] - x[0]) or 1.0),
                area.bottom() - area.height() * (b - y.min()) / ((y.max() - y.min()) or 1.0),
            )
            for a, b in self.points
        )
        painter.setPen(QPen(_LINE, 1.5))
        painter.drawPolyline(place)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_BEST)
        painter.drawEllipse(place[best], 3, 3)
