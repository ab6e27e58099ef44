"""A table of genes that can be sorted and clicked, of any length."""

from __future__ import annotations

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_gest.app.wording import p_text

COLUMNS = ("gene", "effect", "direction", "pvalue", "fdr")
_ROW = 20


class GeneTable(QTableView):
    """Shows one row a gene. ``picked`` is emitted with the gene that is clicked."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.rows = _Rows(self)
        self.setModel(self.rows)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setTabKeyNavigation(False)
        self.setAccessibleName("Genes")
        self.clicked.connect(lambda index: self.picked.emit(self.rows.gene(index.row())))
        self.sortByColumn(1, Qt.SortOrder.DescendingOrder)

    def show_table(self, table: pd.DataFrame, chosen: str | None) -> None:
        """Show the rows of one band, sorted as before, and select a gene."""
        self.rows.set_table(table)
        row = self.rows.row_of(chosen)
        if row is None:
            self.selectionModel().clearSelection()
            return
        index = self.rows.index(row, 0)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index)


class _Rows(QAbstractTableModel):
    """The rows of a data frame. Effects are sorted by their size, whatever their sign."""

    def __init__(self, parent: GeneTable) -> None:
        super().__init__(parent)
        self._table = pd.DataFrame(columns=list(COLUMNS))
        self._sorting = 1, Qt.SortOrder.DescendingOrder

    def set_table(self, table: pd.DataFrame) -> None:
        self.beginResetModel()
        self._table = table.reindex(columns=list(COLUMNS))
        self._arrange()
        self.endResetModel()

    def gene(self, row: int) -> str:
        return str(self._table["gene"].iloc[row])

    def row_of(self, gene: str | None) -> int | None:
        found = np.flatnonzero(self._table["gene"].to_numpy() == gene)
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self._table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(COLUMNS)

    def headerData(self, section: int, orientation, role: int = Qt.ItemDataRole.DisplayRole):
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return {"pvalue": "p", "fdr": "FDR"}.get(COLUMNS[section], COLUMNS[section])
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole):
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and column in ("effect", "pvalue", "fdr"):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self._table[column].iloc[index.row()]
        if isinstance(value, str):
            return value
        if column == "effect":
            return f"{value:+.4f}" if np.isfinite(value) else "–"
        return p_text(value)

    def sort(self, column: int, order=Qt.SortOrder.AscendingOrder) -> None:
        self._sorting = column, order
        self.layoutAboutToBeChanged.emit()
        self._arrange()
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        column, order = self._sorting
        name = COLUMNS[column]
        self._table = self._table.sort_values(
            name,
            ascending=order == Qt.SortOrder.AscendingOrder,
            kind="stable",
            na_position="last",
            key=lambda v: v.abs() if name == "effect" else v,
        )
