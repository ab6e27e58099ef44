"""A small line plot: how the validation error falls as a model is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from qtpy.QtGui import QColor

from napari_gest.widgets.plots.axes import DOWN, Axes, scatter

_BEST = QColor("#E69F00")


class TrainingCurve(Axes):
    """Shows points (x, y), the lowest marked, and its value above."""

    def __init__(self, x_name: str, y_name: str) -> None:
        super().__init__(f"{y_name} by {x_name}".capitalize(), height=150)
        self.x_name, self._value_name = x_name, y_name
        self._line = pg.PlotDataItem(
            pen=pg.mkPen(DOWN, width=1.5), symbol="o", symbolSize=5, symbolPen=None,
            symbolBrush=DOWN, antialias=True,
        )  # fmt: skip
        self._best = scatter(size=8, brush=_BEST)
        self.plot.addItem(self._line)
        self.plot.addItem(self._best)
        self.clear()

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points so far."""
        return list(zip(self.x.tolist(), self.y.tolist(), strict=True))

    def clear(self) -> None:
        """Forget all points."""
        self._show(np.empty(0), np.empty(0))

    def add(self, x: float, y: float) -> None:
        """Add a point to the right of the others."""
        if np.isfinite(y):
            self._show(np.append(self.x, float(x)), np.append(self.y, float(y)))

    def words(self, index: int) -> str:
        """Return step and error."""
        return f"{self.x_name} {self.x[index]:g}: {self._value_name} {self.y[index]:.4g}"

    def _show(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        self.data = pd.DataFrame({self.x_name: x, self._value_name.replace(" ", "_"): y})
        self._line.setData(x, y)
        if not len(x):
            self._best.setData([], [])
            self.say("Waiting for the first validation…")
            self.describe("No values yet")
            return
        best = int(y.argmin())
        self._best.setData(x[[best]], y[[best]])
        self.y_name = f"{self._value_name} {y[-1]:.4g} · best {y[best]:.4g}"
        self.say("")
        self.describe(f"{self._value_name} {y[best]:.4g} at {x[best]:g}, the lowest")
        self.set_ranges(x, y)
