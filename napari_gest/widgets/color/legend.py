"""What the colours mean: swatches with names and counts, or a colour bar with numbers."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_gest.app.colors import NAMELESS, Categories, Scale, table
from napari_gest.app.view_state import Legend
from napari_gest.widgets.common.controls import note, tooltip

_ROWS_SHOWN = 9


class LegendView(QWidget):
    """Shows a Legend. Ticking a category off hides its cells (``hidden_changed``)."""

    hidden_changed = Signal(frozenset)

    def __init__(self) -> None:
        super().__init__()
        self.title = note(name="gestLegendTitle")
        self.bar = ColorBar()
        self.swatches = Swatches()
        self.swatches.hidden_changed.connect(self.hidden_changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for widget in (self.title, self.bar, self.swatches):
            column.addWidget(widget)

    def show_legend(self, legend: Legend, hidden: frozenset[str]) -> None:
        """Show what ``legend`` says."""
        self.title.setText(legend.title)
        self.bar.setVisible(isinstance(legend.colors, Scale))
        self.swatches.setVisible(isinstance(legend.colors, Categories))
        if isinstance(legend.colors, Scale):
            self.bar.set_scale(legend.colors)
        elif isinstance(legend.colors, Categories):
            self.swatches.set_categories(legend.colors, hidden)


class ColorBar(QWidget):
    """A horizontal colour bar with round numbers under it."""

    def __init__(self) -> None:
        super().__init__()
        self._scale = Scale(0.0, 1.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour bar")

    def set_scale(self, scale: Scale) -> None:
        """Show another scale."""
        self._scale = scale
        self.setAccessibleDescription(f"from {scale.low:.3g} to {scale.high:.3g}")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 16 + self.fontMetrics().height())

    def paintEvent(self, event) -> None:
        colors = (table(self._scale.cmap)[None] * 255).astype(np.uint8)
        image = QImage(
            np.ascontiguousarray(colors).tobytes(), 256, 1, 1024, QImage.Format.Format_RGBA8888
        )
        painter = QPainter(self)
        painter.drawImage(QRectF(0, 0, self.width(), 12), image)
        painter.setPen(self.palette().windowText().color())
        metrics = self.fontMetrics()
        low, high = self._scale.low, self._scale.high
        for tick in ticks(low, high):
            x = (tick - low) / ((high - low) or 1.0) * (self.width() - 1)
            text = f"{tick:.3g}"
            width = metrics.horizontalAdvance(text)
            left = min(max(x - width / 2, 0), self.width() - width)
            painter.drawLine(int(x), 12, int(x), 14)
            painter.drawText(int(left), 14 + metrics.ascent(), text)


class Swatches(QTableWidget):
    """A table of colour, name and count; a name can be ticked off."""

    hidden_changed = Signal(frozenset)

    def __init__(self) -> None:
        super().__init__(0, 2)
        self.setObjectName("gestSwatches")
        self.horizontalHeader().hide()
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().setDefaultSectionSize(19)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)  # Tab goes on to the next control, arrows move in it
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setIconSize(QSize(11, 11))
        self.itemChanged.connect(self._ticked)

    def set_categories(self, categories: Categories, hidden: frozenset[str]) -> None:
        """List the categories that occur, the missing last."""
        self.blockSignals(True)
        counts = categories.counts
        rows = [
            (name, color, count)
            for name, color, count in zip(categories.names, categories.colors, counts, strict=True)
            if count
        ]
        self.setRowCount(len(rows) + bool(categories.n_missing))
        for index, (name, color, count) in enumerate(rows):
            item = _item(name, color, count, self, index)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            state = Qt.CheckState.Unchecked if name in hidden else Qt.CheckState.Checked
            item.setCheckState(state)
        if categories.n_missing:
            item = _item("missing", NAMELESS, categories.n_missing, self, len(rows))
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsUserCheckable)
        shown = min(self.rowCount(), _ROWS_SHOWN)
        self.setFixedHeight(shown * 19 + 4)
        self.blockSignals(False)

    def _ticked(self) -> None:
        hidden = {
            self.item(row, 0).text()
            for row in range(self.rowCount())
            if self.item(row, 0).flags() & Qt.ItemFlag.ItemIsUserCheckable
            and self.item(row, 0).checkState() == Qt.CheckState.Unchecked
        }
        self.hidden_changed.emit(frozenset(hidden))


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return the ends and round numbers between them, at most ``wanted`` in all."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10.0 ** np.floor(np.log10(span / (wanted - 1)))
    step *= next(k for k in (1, 2, 5, 10) if span / (k * step) <= wanted - 1)
    # Zero added, or the zero between two limits is written "-0".
    inner = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step + 0.0
    inner = [float(v) for v in inner if low + 0.22 * span < v < high - 0.22 * span]
    return [low, *inner, high]


def _item(
    name: str, color: np.ndarray, count: int, parent: QTableWidget, index: int
) -> QTableWidgetItem:
    swatch = QPixmap(11, 11)
    swatch.fill(QColor.fromRgbF(*(float(c) for c in color)))
    item = QTableWidgetItem(name)
    item.setIcon(QIcon(swatch))
    item.setToolTip(tooltip(name))
    number = QTableWidgetItem(f"{count:,}")
    number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    parent.setItem(index, 0, item)
    parent.setItem(index, 1, number)
    return item
