"""Editing of names in a table, which must not be made anew under the editor."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QStyledItemDelegate


class NameEditor(QStyledItemDelegate):
    """Tells whether a name is being typed in a table; ``closed`` is emitted when that ends."""

    closed = Signal()

    def __init__(self, view: QAbstractItemView) -> None:
        super().__init__(view)
        self.is_open = False
        view.setItemDelegate(self)

    def createEditor(self, parent, option, index):
        self.is_open = True
        return super().createEditor(parent, option, index)

    def destroyEditor(self, editor, index) -> None:
        super().destroyEditor(editor, index)
        self.is_open = False
        self.closed.emit()
