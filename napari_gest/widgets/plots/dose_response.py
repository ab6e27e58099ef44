"""How the effect on a gene grows with the strength of the edit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QPainter, QPen, QPolygonF

from napari_gest.widgets.plots.axes import CHOSEN, DOWN, UP, Axes


class DoseResponse(Axes):
    """Shows the mean effect on a gene at several strengths; the one that was run is marked."""

    def __init__(self) -> None:
        super().__init__("Effect by strength")
        self.x_name = "strength of the edit"
        self.x = self.y = np.empty(0)
        self.text = ""
        self._run_at = 1.0

    def show_doses(self, table: pd.DataFrame | None, gene: str, run_at: float, text: str) -> None:
        """Show a gene's rows of a table of strength and effect; ``text`` where there is none."""
        here = None if table is None else table[table["gene"] == gene]
        self.x, self.y = (
            np.empty(0) if here is None else here[column].to_numpy(float)
            for column in ("strength", "effect")
        )
        self.y_name = f"mean effect on {gene}"
        self.text, self._run_at = text, run_at
        self.set_ranges(self.x, np.append(self.y, 0.0))
        self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not len(self.x):
            painter.setPen(self.palette().windowText().color())
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(20, 0, -20, 0), flags, self.text)
            return
        self.draw_axes(painter)
        color = UP if self.y[-1] >= 0 else DOWN
        place = self.place(self.x, self.y)
        painter.setPen(QPen(color, 1.6))
        painter.drawPolyline(QPolygonF([QPointF(*point) for point in place]))
        for point, strength in zip(place, self.x, strict=True):
            run = strength == self._run_at
            painter.setBrush(CHOSEN if run else color)
            painter.drawEllipse(QPointF(*point), 4.0 if run else 2.5, 4.0 if run else 2.5)
