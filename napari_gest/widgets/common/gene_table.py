"""A table of genes that can be sorted, searched and clicked, of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

_ROW = 20


@dataclass(frozen=True)
class Column:
    """A column of a table of genes.

    Attributes
    ----------
    name
        Of the column in the data frame.
    heading
        What is written above it.
    text
        Returns what is shown of a value.
    tip
        Tooltip of the heading.
    by_size
        Sort numbers by their size, whatever their sign.
    """

    name: str
    heading: str
    text: Callable[[Any], str] = str
    tip: str = ""
    by_size: bool = False


class GeneTable(QTableView):
    """Shows one row a gene. ``picked`` is emitted with the gene that is clicked.

    Parameters
    ----------
    columns
        What is shown; the first is "gene". The second is what rows are sorted by at first.
    claimed
        Name of a boolean column: rows where it is false are greyed. All are alike where it is "".
    """

    picked = Signal(str)

    def __init__(self, columns: Sequence[Column], claimed: str = "") -> None:
        super().__init__()
        self.rows = _Rows(self, tuple(columns), claimed)
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
        """Show rows of a table with a column "gene", sorted as before, and select a gene."""
        self.rows.set_table(table)
        self.choose(chosen)

    def choose(self, gene: str | None) -> None:
        """Select the row of a gene, if it is shown."""
        row = self.rows.row_of(gene)
        if row is None:
            self.selectionModel().clearSelection()
            return
        index = self.rows.index(row, 0)
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index)

    def search(self, text: str) -> None:
        """Show only genes whose name contains a text, whatever the case."""
        self.rows.search(text)

    def show_rows(self, n: int) -> None:
        """Be as high as the heading and ``n`` rows, so that none is cut in two."""
        heading = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(heading + n * _ROW + 2 * self.frameWidth())


class _Rows(QAbstractTableModel):
    """The rows of a data frame."""

    def __init__(self, parent: GeneTable, columns: tuple[Column, ...], claimed: str) -> None:
        super().__init__(parent)
        self._columns, self._claimed = columns, claimed
        self._every = self._table = pd.DataFrame(columns=[c.name for c in columns])
        self._sorting = 1, Qt.SortOrder.DescendingOrder
        self._searched = ""

    def set_table(self, table: pd.DataFrame) -> None:
        self.beginResetModel()
        names = dict.fromkeys(
            [c.name for c in self._columns] + [self._claimed] * bool(self._claimed)
        )
        self._every = table.reindex(columns=list(names))
        self._arrange()
        self.endResetModel()

    def search(self, text: str) -> None:
        self.beginResetModel()
        self._searched = text.strip().casefold()
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
        return len(self._columns)

    def headerData(self, section: int, orientation, role: int = Qt.ItemDataRole.DisplayRole):
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].heading
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return self._columns[section].tip
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole):
        column = self._columns[index.column()]
        value = self._table[column.name].iloc[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return value if isinstance(value, str) else column.text(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value, str):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        greyed = self._claimed and not self._table[self._claimed].iloc[index.row()]
        if role == Qt.ItemDataRole.ForegroundRole and greyed:
            return self.parent().palette().placeholderText()
        return None

    def sort(self, column: int, order=Qt.SortOrder.AscendingOrder) -> None:
        self._sorting = column, order
        self.layoutAboutToBeChanged.emit()
        self._arrange()
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        place, order = self._sorting
        column = self._columns[place]
        table = self._every
        if self._searched:
            names = table["gene"].astype(str).str.casefold()
            table = table[names.str.contains(self._searched, regex=False)]
        self._table = table.sort_values(
            column.name,
            ascending=order == Qt.SortOrder.AscendingOrder,
            kind="stable",
            na_position="last",
            key=lambda v: v.abs() if column.by_size else v,
        )
