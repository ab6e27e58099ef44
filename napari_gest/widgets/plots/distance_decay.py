"""How the effect on a gene falls off with distance. Bands of distance can be clicked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Signal
from qtpy.QtGui import QColor

from napari_gest.widgets.plots.axes import CHOSEN, DOWN, UP, Axes

_BINS = 12
_FEWEST = 3  # cells that have a mean worth showing


class DistanceDecay(Axes):
    """Shows the mean effect on a gene in bins of distance, with its standard error."""

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__("Effect by distance")
        self.x_name = "distance to the region, µm"
        self._bands: tuple[float, ...] = ()
        self._chosen: tuple[float, float] | None = None
        self._shades: list[pg.LinearRegionItem] = []
        self._errors = pg.ErrorBarItem()
        self._line = pg.PlotDataItem(symbol="o", symbolSize=6, symbolPen=None, antialias=True)
        self.plot.addItem(self._errors)
        self.plot.addItem(self._line)

    def show_effect(
        self,
        gene: str,
        distance_um: NDArray[np.float64],
        effect: NDArray[np.float32],
        bands_um: tuple[float, ...],
        chosen: tuple[float, float] | None,
    ) -> None:
        """Show a gene's effect (n,) on cells at (n,) um; ``bands_um`` can be clicked."""
        self.y_name = f"mean effect on {gene} ± SE"
        self.x, self.y, error = binned(distance_um, effect, bands_um[0], bands_um[-1])
        self.data = pd.DataFrame(
            {"gene": gene, "distance_um": self.x, "mean_effect": self.y, "standard_error": error}
        )
        self._bands, self._chosen = bands_um, chosen
        self._shade()
        highest = int(np.abs(self.y).argmax()) if len(self.y) else None
        color = UP if highest is not None and self.y[highest] > 0 else DOWN
        self._errors.setData(x=self.x, y=self.y, height=2 * error, pen=pg.mkPen(color, width=1.2))
        self._line.setData(self.x, self.y, pen=pg.mkPen(color, width=1.6), symbolBrush=color)
        self.describe("" if highest is None else f"Largest: {self.words(highest)}")
        around = np.concatenate([self.y - error, self.y + error, [0.0]])
        self.set_ranges(np.array([bands_um[0], bands_um[-1]]), around)

    def band_at(self, position: QPointF) -> tuple[float, float] | None:
        """Return the band of distance at a place in the widget."""
        for low, high in self._pairs:
            left, right = self.place(np.array([low, high]), np.zeros(2))[:, 0]
            if left <= position.x() < right:
                return low, high
        return None

    def clicked(self, position: QPointF) -> None:
        """Choose the band that is clicked, or all when it was chosen already."""
        band = self.band_at(position)
        self.picked.emit(None if band == self._chosen else band)

    def words(self, index: int) -> str:
        """Return distance and mean effect of a bin."""
        row = self.data.iloc[index]
        return (
            f"{row['gene']} at {row['distance_um']:.0f} µm:"
            f" {row['mean_effect']:+.3g} ± {row['standard_error']:.2g}"
        )

    @property
    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self._bands[:-1], self._bands[1:], strict=True))

    def _shade(self) -> None:
        for shade in self._shades:
            self.plot.removeItem(shade)
        self._shades = []
        for index, band in enumerate(self._pairs):
            color = QColor(128, 140, 155, 26 if index % 2 else 10)
            if band == self._chosen:
                color = QColor(CHOSEN)
                color.setAlpha(70)
            shade = pg.LinearRegionItem(band, brush=color, pen=pg.mkPen(None), movable=False)
            shade.setZValue(-10)
            self.plot.addItem(shade, ignoreBounds=True)
            self._shades.append(shade)


def binned(
    distance_um: NDArray[np.float64], effect: NDArray[np.float32], low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean distance, mean effect and its standard error in bins that hold some cells."""
    edges = np.linspace(low, high, _BINS + 1)
    place = np.clip(np.searchsorted(edges, distance_um) - 1, 0, _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    filled = count >= _FEWEST
    n = np.maximum(count, 1)
    x, mean, square = (
        np.bincount(place, v, _BINS) / n
        for v in (distance_um, effect, np.square(effect, dtype=float))
    )
    error = np.sqrt(np.maximum(square - mean**2, 0) / np.maximum(n - 1, 1))
    return x[filled], mean[filled], error[filled]
