"""Bars of shares, one for each niche: what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_gest.widgets.common.controls import tooltip

_ROW = 20
_NAME = 92
_SWATCH = 11


class CompositionBars(QWidget):
    """A stacked bar for each row of a table of shares."""

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame()
        self._row_colors: Sequence[str] = ()
        self._colors: NDArray[np.float32] = np.empty((0, 4), np.float32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Composition of niches")

    def set_table(
        self, table: pd.DataFrame, row_colors: Sequence[str], colors: NDArray[np.float32]
    ) -> None:
        """Show (K, C) shares; ``row_colors`` are K "#rrggbb", ``colors`` (C, 4) RGBA."""
        self.table, self._row_colors, self._colors = table, row_colors, colors
        top = table.idxmax(axis=1) if len(table.columns) else {}
        self.setAccessibleDescription("; ".join(f"{k}: mostly {v}" for k, v in top.items()))
        self.setFixedHeight(max(len(table), 1) * _ROW + 2)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, max(len(self.table), 1) * _ROW + 2)

    def share_at(self, x: float, y: float) -> str | None:
        """Return in words what a place in the widget shows."""
        row = int(y // _ROW)
        if not 0 <= row < len(self.table) or x < _NAME:
            return None
        edges = np.cumsum(self.table.iloc[row]) * (self.width() - _NAME)
        column = int(np.searchsorted(edges, x - _NAME))
        if column >= len(edges):
            return None
        name = self.table.columns[column]
        return f"{self.table.index[row]}: {self.table.iloc[row, column]:.1%} {name}"

    def event(self, event: QEvent) -> bool:
        """Say under the mouse which share is shown."""
        if event.type() == QEvent.Type.ToolTip:
            share = self.share_at(event.pos().x(), event.pos().y()) or ""
            QToolTip.showText(event.globalPos(), tooltip(share))
            return True
        return super().event(event)

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        text = self.palette().windowText().color()
        metrics = self.fontMetrics()
        for row, (name, shares) in enumerate(self.table.iterrows()):
            top = row * _ROW
            painter.fillRect(
                QRectF(0, top + (_ROW - _SWATCH) / 2, _SWATCH, _SWATCH),
                QColor(self._row_colors[row]),
            )
            painter.setPen(text)
            elided = metrics.elidedText(
                str(name), Qt.TextElideMode.ElideMiddle, _NAME - _SWATCH - 12
            )
            painter.drawText(
                QRectF(_SWATCH + 6, top, _NAME, _ROW), Qt.AlignmentFlag.AlignVCenter, elided
            )
            left = float(_NAME)
            for share, color in zip(shares, self._colors, strict=True):
                width = float(share) * (self.width() - _NAME)
                painter.fillRect(
                    QRectF(left, top + 3, width, _ROW - 6),
                    QColor.fromRgbF(*(float(c) for c in color)),
                )
                left += width
