"""The legend of niches: what one can rename, merge, recolour and show alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidgetItem

from napari_gest.app.colors import Categories
from napari_gest.widgets.color.legend import Swatches
from napari_gest.widgets.common.name_editor import NameEditor
from napari_gest.widgets.niches.final_niches import STABILITY_CELLS

_ROW = 21
_ROWS_SHOWN = 10
_TIPS = {
    "Gen.": "Generated",
    "mm²": "Tissue nearest to its {unit}s",
    "Stable": "Stability: how much of it is found again with other seeds (Jaccard index; 1 is all)."
    f" Not measured of more than {STABILITY_CELLS:,} {{unit}}s",
}


class NicheTable(Swatches):
    """Colour, name and size of each niche; a name can be edited, and ticked off to hide it."""

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
        self.editor = NameEditor(self)
        self.editor.closed.connect(self._show_waiting, Qt.ConnectionType.QueuedConnection)
        self._waiting: Callable[[], None] | None = None
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
        area_mm2: NDArray[np.float64],
        generated: NDArray[np.int64] | None = None,
        stability: NDArray[np.float64] | None = None,
        unit: str = "cell",
    ) -> None:
        """List the niches; while a name is typed in the list, when that has ended.

        Parameters
        ----------
        niches
            Of the measured cells.
        hidden
            Names that are ticked off.
        area_mm2
            (K,) area of each.
        generated
            (K,) generated ones in each, or None where there are none.
        stability
            (K,) of each, or None while unknown.
        unit
            What is counted, see ``Section.unit``.
        """
        if self.editor.is_open:
            shown = niches, hidden, area_mm2, generated, stability, unit
            self._waiting = partial(self.show_niches, *shown)
            return
        self._waiting, chosen = None, self.selected
        present = [i for i, count in enumerate(niches.counts) if count]
        further: dict[str, list[str]] = {}
        if generated is not None:
            further["Gen."] = [f"{count:,}" for count in generated[present]]
        further["mm²"] = [f"{area:.2f}" for area in area_mm2[present]]
        known = stability is not None
        further["Stable"] = [f"{stability[i]:.2f}" if known else "–" for i in present]
        self.setColumnCount(2 + len(further))
        self.setHorizontalHeaderLabels(["Niche", f"{unit.capitalize()}s", *further])
        self.horizontalHeader().setVisible(True)
        self.set_categories(niches, hidden)
        self._names = [niches.names[i] for i in present]
        with QSignalBlocker(self):
            for row in range(self.rowCount()):
                self.item(row, 1).setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                for column, texts in enumerate(further.values(), 2):
                    self.setItem(row, column, _number(texts[row]))
            self.horizontalHeaderItem(1).setToolTip(f"Measured {unit}s")
            for column, name in enumerate(further, 2):
                self.horizontalHeaderItem(column).setToolTip(_TIPS[name].format(unit=unit))
            for column in range(1, self.columnCount()):
                self.horizontalHeader().setSectionResizeMode(
                    column, QHeaderView.ResizeMode.ResizeToContents
                )
            self.select(chosen)
        shown = min(self.rowCount(), _ROWS_SHOWN)
        self.setFixedHeight(shown * _ROW + 4 + self.horizontalHeader().sizeHint().height())

    def _show_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting()

    def _ticked(self) -> None:
        for row, old in enumerate(self._names):
            new = self.item(row, 0).text().strip()
            if new != old:
                self.renamed.emit(old, new)
                return
        super()._ticked()


def _number(text: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    return item
