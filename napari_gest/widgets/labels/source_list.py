"""A list of sections to tick: those that labels are learned from."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem

_ROW, _ROWS_SHOWN = 20, 5


class SourceList(QListWidget):
    """Sections, each with a tick; one at least is ticked."""

    ticked = Signal(tuple)  # labels, in the order of the list

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Sections to learn from")
        self.setToolTip("Labels are learned from the sections that are ticked, all together")
        self.itemChanged.connect(self._on_changed)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Labels of the sections that are ticked."""
        items = (self.item(i) for i in range(self.count()))
        return tuple(i.text() for i in items if i.checkState() == Qt.CheckState.Checked)

    def show_sections(self, labels: Sequence[str], chosen: Sequence[str]) -> None:
        """List sections without telling anyone, those of ``chosen`` ticked."""
        with QSignalBlocker(self):
            listed = [self.item(i).text() for i in range(self.count())]
            if listed != list(labels):  # else an item that was just ticked stays
                self.clear()
                self.addItems(list(labels))
            for index, label in enumerate(labels):
                on = label in chosen
                state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
                self.item(index).setCheckState(state)
        height = max(self.sizeHintForRow(0), _ROW)
        self.setFixedHeight(min(max(len(labels), 1), _ROWS_SHOWN) * height + 6)

    def _on_changed(self, item: QListWidgetItem) -> None:
        if not self.chosen:
            with QSignalBlocker(self):
                item.setCheckState(Qt.CheckState.Checked)
            return
        self.ticked.emit(self.chosen)
