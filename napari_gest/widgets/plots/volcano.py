"""A volcano plot: how much each gene responds against how sure that is. Genes can be clicked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF

from napari_gest.app.runs.effect import has_signs, responding, response_text
from napari_gest.app.wording import p_text
from napari_gest.widgets.plots.axes import DOWN, QUIET, UP, Axes, scatter

_NAMED = 6  # genes named without being asked for
_OFF = 8  # pixels from a point to its name
_TEXT_MARGIN = 4  # pixels that Qt leaves around text
_MIDDLE = Qt.TextElideMode.ElideMiddle
_COLUMNS = ("gene", "band", "effect", "control", "pvalue", "fdr", "lfsr", "svalue", "reported")


class Volcano(Axes):
    """Shows one point a gene; until p-values are known, against expression without the edit."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__("Volcano plot")
        self.genes: NDArray[np.str_] = np.empty(0, str)
        self.sure = np.empty(0, bool)
        self._weight = np.empty(0)  # of genes that are worth a name
        self._chosen: str | None = None
        self._points, self._ring = scatter(), scatter(size=12)
        self._names = [pg.TextItem() for _ in range(_NAMED + 1)]
        for item in (self._points, self._ring, *self._names):
            self.plot.addItem(item, ignoreBounds=True)
        self.plot.getViewBox().sigStateChanged.connect(self._place_names)
        self.plot.getViewBox().sigResized.connect(self._place_names)

    def show_table(self, table: pd.DataFrame, chosen: str | None) -> None:
        """Show the rows of one band: gene, effect, control, and what a test says where known.

        That is pvalue and fdr, and for responses lfsr, svalue and reported.
        """
        tested = "pvalue" in table
        chance = "lfsr" if tested and has_signs(table) else "pvalue"
        if tested:
            table = table[table[chance].notna()]
        self.data = table[[name for name in _COLUMNS if name in table]]
        self.genes = table["gene"].to_numpy(str)
        self.x = table["effect"].to_numpy(float)
        self.x_name = "effect (perturbed − control)"
        if tested:
            p = table[chance].to_numpy(float)
            least = p[p > 0].min() if (p > 0).any() else 1.0
            self.y = -np.log10(np.maximum(p, least))
            self.y_name = "−log10 p" if chance == "pvalue" else "−log10 chance of a wrong sign"
            self.sure = responding(table)
        else:
            self.y = table["control"].to_numpy(float)
            self.y_name = "control; not tested yet"
            self.sure = np.zeros(len(table), bool)
        self._chosen = chosen
        self.say("" if len(self.genes) else "No gene was tested.")
        self.describe(
            response_text(table) if tested else f"{len(self.genes)} genes, not tested yet"
        )
        colors = np.where(self.sure, np.where(self.x > 0, "up", "down"), "quiet")
        self._weight = np.abs(self.x) / (np.abs(self.x).max(initial=0.0) or 1.0)
        if tested:
            self._weight += self.y / (self.y.max(initial=0.0) or 1.0)
        brushes = {"up": pg.mkBrush(UP), "down": pg.mkBrush(DOWN), "quiet": pg.mkBrush(QUIET)}
        self._points.setData(
            self.x, self.y, size=np.where(self.sure, 7, 5), brush=[brushes[c] for c in colors]
        )
        here = self.genes == chosen
        self._ring.setData(self.x[here], self.y[here])
        self.set_ranges(np.append(self.x, 0.0), self.y)
        self._place_names()

    def near(self, position: QPointF) -> str | None:
        """Return the gene whose point is near a place in the widget."""
        index = self.nearest(position)
        return None if index is None else str(self.genes[index])

    def clicked(self, position: QPointF) -> None:
        """Choose the gene that is clicked."""
        gene = self.near(position)
        if gene is not None:
            self.picked.emit(gene)

    def words(self, index: int) -> str:
        """Return a gene with its effect, and how sure that is."""
        row = self.data.iloc[index]
        text = f"{row['gene']}: {row['effect']:+.3g}"
        if "pvalue" in row:
            strict = f"p {p_text(row['pvalue'])}, FDR {p_text(row['fdr'])}"
            if np.isfinite(row.get("lfsr", np.nan)):
                return f"{text}, chance of a wrong sign {p_text(row['lfsr'])}; {strict}"
            return f"{text}, {strict}"
        return f"{text}, control {row['control']:.3g}"

    def ink(self, color: QColor) -> None:
        """Write the names too in this colour, and draw the ring of the gene chosen in it."""
        super().ink(color)
        self._ring.setPen(pg.mkPen(color, width=2))
        self._ring.setBrush(None)
        for name in self._names:
            name.setColor(color)

    def _place_names(self) -> None:
        """Name the gene chosen, and those in sight that stand out most, where there is room."""
        for name in self._names:
            name.hide()
        area, places = self.area, self.place(self.x, self.y)
        metrics = QFontMetricsF(self._names[0].textItem.font())
        inside = [area.contains(QPointF(*place)) for place in places]
        ranked = [i for i in np.argsort(-self._weight) if inside[i]][:_NAMED]
        chosen = [i for i in np.flatnonzero(self.genes == self._chosen) if inside[i]]
        free, taken = iter(self._names), []
        for index in dict.fromkeys([*chosen, *ranked]):
            text = metrics.elidedText(str(self.genes[index]), _MIDDLE, area.width() / 3)
            width, height = metrics.horizontalAdvance(text), metrics.height()
            x, y = places[index]
            left = x + width + _OFF > area.right()
            box = QRectF(x - width - _OFF if left else x + _OFF, y - height / 2, width, height)
            if any(box.intersects(other) for other in taken):
                continue
            taken.append(box)
            name = next(free)
            name.setText(text)
            off = (_OFF - _TEXT_MARGIN) / name.boundingRect().width()
            name.setAnchor((1.0 + off if left else -off, 0.5))
            name.setPos(self.x[index], self.y[index])
            name.show()
