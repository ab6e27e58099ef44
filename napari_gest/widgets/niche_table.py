"""The legend of niches: what one can rename, merge, recolour and show alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidgetItem

from napari_gest.viewer.colors import Categories
from napari_gest.widgets.legend import Swatches

_ROW = 21
_ROWS_SHOWN = 10


class NicheTable(Swatches):
    """Colour, name and count of each niche; a name can be edited, and ticked off to hide it."""

    renamed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Niches")
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self._names: list[str] = []

    @property
    def selected(self) -> list[str]:
        """Names of the selected niches, from top to bottom."""
        rows = sorted({index.row() for index in self.selectedIndexes()})
        return [self._names[row] for row in rows if row < len(self._names)]

    def select(self, names: list[str]) -> None:
        """Select these niches and no others."""
        self.clearSelection()
        for row, name in enumerate(self._names):
            if name in names:
                for column in range(self.columnCount()):
                    self.item(row, column).setSelected(True)

    def show_niches(
        self,
        niches: Categories,
        hidden: frozenset[str],
        generated: NDArray[np.int64] | None = None,
    ) -> None:
        """List the niches.

        Parameters
        ----------
        niches
            Of the measured cells.
        hidden
            Names that are ticked off.
        generated
            Generated cells in each, or None where there are none.
        """
        chosen = self.selected
        present = [i for i, count in enumerate(niches.counts) if count]
        self.setColumnCount(2 if generated is None else 3)
        self.setHorizontalHeaderLabels(["Niche", "Measured", "Generated"][: self.columnCount()])
        self.horizontalHeader().setVisible(generated is not None)
        self.set_categories(niches, hidden)
        self._names = [niches.names[i] for i in present]
        with QSignalBlocker(self):
            for row in range(self.rowCount()):
                self.item(row, 1).setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                if generated is not None:
                    self.setItem(row, 2, _number(generated[present[row]]))
            for column in range(1, self.columnCount()):
                self.horizontalHeader().setSectionResizeMode(
                    column, QHeaderView.ResizeMode.ResizeToContents
                )
            self.select(chosen)
        shown = min(self.rowCount(), _ROWS_SHOWN)
        header = self.horizontalHeader().sizeHint().height() if generated is not None else 0
        self.setFixedHeight(shown * _ROW + 4 + header)

    def _ticked(self) -> None:
        for row, old in enumerate(self._names):
            new = self.item(row, 0).text().strip()
            if new != old:
                self.renamed.emit(old, new)
                return
        super()._ticked()


def _number(count: int) -> QTableWidgetItem:
    item = QTableWidgetItem(f"{count:,}")
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    return item
