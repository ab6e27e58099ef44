"""A volcano plot: how much each gene responds against how sure that is. Genes can be clicked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QToolTip

from napari_gest.widgets.common.controls import tooltip
from napari_gest.widgets.plots.axes import CHOSEN, DOWN, QUIET, UP, Axes

FDR = 0.05
_NEAR = 9  # pixels
_NAMED = 6  # genes named without being asked for


class Volcano(Axes):
    """Shows one point a gene; until p-values are known, against expression without the edit."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__("Volcano plot")
        self.genes: NDArray[np.str_] = np.empty(0, str)
        self.x = self.y = np.empty(0)
        self.sure = np.empty(0, bool)
        self._chosen: str | None = None

    def show_table(self, table: pd.DataFrame, chosen: str | None) -> None:
        """Show the rows of one band: gene, effect, control, and pvalue and fdr where known."""
        tested = "pvalue" in table
        if tested:
            table = table[table["pvalue"].notna()]
        self.genes = table["gene"].to_numpy(str)
        self.x = table["effect"].to_numpy(float)
        self.x_name = "effect (perturbed − control)"
        if tested:
            p = table["pvalue"].to_numpy(float)
            least = p[p > 0].min() if (p > 0).any() else 1.0
            self.y = -np.log10(np.maximum(p, least))
            self.y_name = "−log10 p"
            self.sure = table["fdr"].to_numpy(float) <= FDR
        else:
            self.y = table["control"].to_numpy(float)
            self.y_name = "control; not tested yet"
            self.sure = np.zeros(len(table), bool)
        self.set_ranges(np.append(self.x, 0.0), self.y)
        self._chosen = chosen
        self.setAccessibleDescription(
            f"{len(self.genes)} genes, {int(self.sure.sum())} with an FDR of at most {FDR:g}"
        )
        self.update()

    def near(self, position: QPointF) -> str | None:
        """Return the gene whose point is near a place in the widget."""
        if not len(self.genes):
            return None
        off = np.linalg.norm(self.place(self.x, self.y) - (position.x(), position.y()), axis=1)
        return str(self.genes[off.argmin()]) if off.min() <= _NEAR else None

    def mousePressEvent(self, event) -> None:
        """Choose the gene that is clicked."""
        gene = self.near(event.position())
        if gene is not None:
            self.picked.emit(gene)

    def mouseMoveEvent(self, event) -> None:
        """Name the gene under the mouse."""
        gene = self.near(event.position())
        self.setCursor(
            Qt.CursorShape.PointingHandCursor if gene is not None else Qt.CursorShape.ArrowCursor
        )
        if gene is None:
            QToolTip.hideText()
        else:
            row = int(np.flatnonzero(self.genes == gene)[0])
            text = tooltip(f"{gene}: {self.x[row]:+.3g}")
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not len(self.genes):
            painter.setPen(self.palette().windowText().color())
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No gene was tested.")
            return
        self.draw_axes(painter)
        points = self.place(self.x, self.y)
        painter.setPen(Qt.PenStyle.NoPen)
        for (x, y), effect, sure in zip(points, self.x, self.sure, strict=True):
            color = QColor(QUIET) if not sure else UP if effect > 0 else DOWN
            painter.setBrush(color)
            painter.drawEllipse(QPointF(x, y), 3.5 if sure else 2.5, 3.5 if sure else 2.5)
        self._draw_names(painter, points)

    def _draw_names(self, painter: QPainter, points: NDArray[np.float64]) -> None:
        ranked = np.argsort(-np.abs(self.x))[:_NAMED]
        chosen = np.flatnonzero(self.genes == self._chosen)
        metrics = self.fontMetrics()
        taken: list[tuple[float, float]] = []
        for index in [*chosen, *ranked]:
            x, y = points[index]
            if any(abs(y - b) < metrics.height() and abs(x - a) < 70 for a, b in taken):
                continue
            taken.append((x, y))
            name = str(self.genes[index])
            width = metrics.horizontalAdvance(name)
            left = x + 6 if x + 8 + width < self.width() else x - 6 - width
            painter.setPen(self.palette().windowText().color())
            painter.drawText(QPointF(left, y + metrics.ascent() / 2 - 2), name)
        for index in chosen:
            painter.setPen(QPen(CHOSEN, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(*points[index]), 6, 6)
