"""How the effect on a gene grows with the strength of the edit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from qtpy.QtGui import QColor

from napari_gest.widgets.plots.axes import DOWN, UP, Axes, scatter


class DoseResponse(Axes):
    """Shows the mean effect on a gene at several strengths; the one that was run is marked."""

    def __init__(self) -> None:
        super().__init__("Effect by strength")
        self._ring = scatter(size=12)
        self.x_name = "strength of the edit"
        self._line = pg.PlotDataItem(symbol="o", symbolSize=6, symbolPen=None, antialias=True)
        self.plot.addItem(self._line)
        self.plot.addItem(self._ring)

    def show_doses(self, table: pd.DataFrame | None, gene: str, run_at: float, text: str) -> None:
        """Show a gene's rows of a table of strength and effect; ``text`` where there is none."""
        table = pd.DataFrame(columns=["gene", "strength", "effect"]) if table is None else table
        self.data = table[table["gene"] == gene]
        self.x, self.y = (self.data[name].to_numpy(float) for name in ("strength", "effect"))
        self.y_name = f"mean effect on {gene}"
        self.say("" if len(self.x) else text)
        self.describe(text if not len(self.x) else f"Largest: {self.words(len(self.x) - 1)}")
        color = UP if len(self.y) and self.y[-1] >= 0 else DOWN
        self._line.setData(self.x, self.y, pen=pg.mkPen(color, width=1.6), symbolBrush=color)
        run = self.x == run_at
        self._ring.setData(self.x[run], self.y[run])
        self.set_ranges(self.x, np.append(self.y, 0.0))

    def words(self, index: int) -> str:
        """Return strength and mean effect."""
        row = self.data.iloc[index]
        return f"{row['gene']} at strength {row['strength']:g}: {row['effect']:+.3g}"

    def ink(self, color: QColor) -> None:
        """Draw the ring of the strength that was run in this colour too."""
        super().ink(color)
        self._ring.setPen(pg.mkPen(color, width=2))
        self._ring.setBrush(None)
