"""How the effect on a gene falls off with distance. Bands of distance can be clicked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_gest.widgets.plots.axes import DOWN, UP, Axes

_BINS = 12
_FEWEST = 3  # cells that have a mean worth showing


class DistanceDecay(Axes):
    """Shows the mean effect on a gene in bins of distance, with its standard error."""

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__("Effect by distance")
        self.x_name = "distance to the region, µm"
        self.x = self.mean = self.error = np.empty(0)
        self._bands: tuple[float, ...] = ()
        self._chosen: tuple[float, float] | None = None

    def show_effect(
        self,
        gene: str,
        distance_um: NDArray[np.float64],
        effect: NDArray[np.float32],
        bands_um: tuple[float, ...],
        chosen: tuple[float, float] | None,
    ) -> None:
        """Show a gene's effect (n,) on cells at (n,) um; ``bands_um`` can be clicked."""
        self.y_name = f"mean effect on {gene} ± se"
        self.x, self.mean, self.error = binned(distance_um, effect, bands_um[0], bands_um[-1])
        self._bands, self._chosen = bands_um, chosen
        around = np.concatenate([self.mean - self.error, self.mean + self.error, [0.0]])
        self.set_ranges(np.array([bands_um[0], bands_um[-1]]), around)
        self.update()

    def band_at(self, position: QPointF) -> tuple[float, float] | None:
        """Return the band of distance at a place in the widget."""
        for low, high in self._pairs:
            left, right = self.place(np.array([low, high]), np.zeros(2))[:, 0]
            if left <= position.x() < right:
                return low, high
        return None

    def mousePressEvent(self, event) -> None:
        """Choose the band that is clicked, or all when it was chosen already."""
        band = self.band_at(event.position())
        self.picked.emit(None if band == self._chosen else band)

    @property
    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self._bands[:-1], self._bands[1:], strict=True))

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self.area
        for index, band in enumerate(self._pairs):
            left, right = self.place(np.array(band), np.zeros(2))[:, 0]
            shade = QColor(128, 140, 155, 26 if index % 2 else 10)
            if band == self._chosen:
                shade = QColor(58, 141, 222, 70)
            painter.fillRect(QRectF(left, area.top(), right - left, area.height()), shade)
        self.draw_axes(painter)
        if not len(self.x):
            return
        middle = self.place(self.x, self.mean)
        low, high = (self.place(self.x, self.mean + s * self.error) for s in (-1, 1))
        color = UP if np.abs(self.mean).max() == self.mean.max() else DOWN
        shade = QColor(color)
        shade.setAlpha(60)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(shade)
        painter.drawPolygon(QPolygonF([QPointF(*p) for p in [*low, *high[::-1]]]))
        painter.setPen(QPen(color, 1.6))
        painter.drawPolyline(QPolygonF([QPointF(*p) for p in middle]))
        painter.setBrush(color)
        for point in middle:
            painter.drawEllipse(QPointF(*point), 2.5, 2.5)


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
