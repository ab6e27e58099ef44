"""The table of edits: genes, what is done to them, and by how much."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QMenu,
    QPushButton,
    QShortcut,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
)

from napari_gest.app.actions import SetEdits
from napari_gest.canvas.event_loop import call_later
from napari_gest.errors import GestError, InputError
from napari_gest.tissue.edits import Edit, check_edits, nearest, on_panel, read_edits
from napari_gest.widgets.common.controls import Panel, SearchBox, fill, row
from napari_gest.widgets.context import Context

_NAMES = {"multiply": "multiply by", "set": "set to", "shift": "shift by", "knockout": "knock out"}
_OPS = {name: op for op, name in _NAMES.items()}
_PRESETS = {
    "Knock out": ("knockout", None),
    "Double": ("multiply", 2.0),
    "Halve": ("multiply", 0.5),
}
_FIRST = {"multiply": 2.0, "set": 1.0, "shift": 1.0, "knockout": None}  # of a change just chosen
_ROW, _ROWS_SHOWN = 22, 5


class EditTable(Panel):
    """Shows the edits of genes, and changes them."""

    inputs = frozenset({"sections", "active", "choices", "edits"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._offered: tuple[Any, ...] | None = None
        self.gene = SearchBox("Add a gene…")
        self.gene.picked.connect(self.add)
        self.gene.unknown.connect(self._unknown)
        self.menu = QMenu(self)
        for name in _PRESETS:
            self.menu.addAction(name, lambda name=name: self.preset(name))
        self.menu.addSeparator()
        self.menu.addAction("Edits or fold changes from a csv…", self._choose_file)
        self.menu.addSeparator()
        self.menu.addAction("Remove the selected", self.remove_selected)
        self.menu.addAction("Remove all", lambda: self.set_edits(()))
        self.presets = QPushButton("Presets")
        self.presets.setMenu(self.menu)
        self.presets.setToolTip("For the selected genes, or for all in the table")
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Gene", "Change", "By"])
        self.table.setItemDelegateForColumn(1, _Ops(self.table))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_ROW)
        self.table.setTabKeyNavigation(False)
        self.table.setAccessibleName("Edits")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setFixedHeight(_ROW)
        self.table.itemChanged.connect(self._on_item)
        delete = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.table)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self.remove_selected)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addLayout(row(self.gene, self.presets, stretch=0))
        self.column.addWidget(self.table)
        self.refresh()

    @property
    def genes(self) -> list[str]:
        """The genes that are edited."""
        return [edit.gene for edit in self.context.state.edits.genes]

    def add(self, gene: str) -> None:
        """Add a gene, doubled at first; one that is there already is selected.

        It is given by its name, or by its text in the list, such as "Gad1 (ENSMUSG…)".
        """
        opened = self.context.opened
        gene = gene if opened is None else opened.gene_texts.get(gene, gene)
        if gene not in self.genes:
            self.set_edits((*self.context.state.edits.genes, Edit(gene, "multiply", 2.0)))
        else:
            self.table.selectRow(self.genes.index(gene))
        call_later(self._clear)  # Qt writes the gene that was picked into the field after this

    def _clear(self) -> None:
        with contextlib.suppress(RuntimeError):  # the dock was closed meanwhile
            self.gene.lineEdit().clear()

    def set_edits(self, edits: Sequence[Edit]) -> None:
        """Replace all edits."""
        whole = replace(self.context.state.edits, genes=tuple(edits))
        self.context.do(SetEdits(edits=whole), self)

    def preset(self, name: str) -> None:
        """Do the same to all selected genes, or to all in the table."""
        op, value = _PRESETS[name]
        edits = self.context.state.edits.genes
        chosen = self._selected() or set(range(len(edits)))
        self.set_edits([Edit(e.gene, op, value) if i in chosen else e for i, e in enumerate(edits)])

    def remove_selected(self) -> None:
        """Take the selected genes out."""
        chosen = self._selected()
        self.table.clearSelection()  # or the rows that move up would be selected
        edits = self.context.state.edits.genes
        self.set_edits([edit for index, edit in enumerate(edits) if index not in chosen])

    def load(self, path: Path) -> None:
        """Read edits from a csv; genes the section lacks are left out and named in a dialog."""
        kept: tuple[Edit, ...] = ()
        try:
            edits = read_edits(path)
            genes = self._known()
            kept, n_unknown = on_panel(edits, genes)
            if kept:
                self.set_edits(kept)
            if n_unknown:
                check_edits(edits, genes)
        except GestError as error:
            shown: Exception = error
            if kept:
                shown = InputError(error.cause, "The other genes of the file are in the table.")
            self.context.report(self, shown)

    def refresh(self) -> None:
        """Offer the genes of the section in use, and list the edits."""
        opened, model = self.context.opened, self.context.model
        self.setEnabled(opened is not None)
        offered = (opened, model)
        if offered != self._offered:  # there may be many thousand
            self._offered = offered
            known = set(self._known())
            texts = {} if opened is None else opened.gene_texts
            fill(self.gene, [text for text, gene in texts.items() if gene in known], None)
        self._show()

    def _known(self) -> list[str]:
        opened, model = self.context.opened, self.context.model
        if opened is None:
            return []
        panel = set(opened.section.genes if model is None else model.genes)
        return [gene for gene in opened.section.genes if gene in panel]

    def _unknown(self, text: str) -> None:
        self.context.report(
            self,
            InputError(
                f"There is no gene {nearest(text, self._known())}.",
                "Type part of a name. Only genes that are measured in the section and known to"
                " the model can be edited.",
            ),
        )

    def _selected(self) -> set[int]:
        return {index.row() for index in self.table.selectionModel().selectedRows()}

    def _show(self) -> None:
        """List the edits of the state; only what differs is written."""
        edits = self.context.state.edits.genes
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(edits))
            for index, edit in enumerate(edits):
                self._show_row(index, edit)
        self._fit()

    def _show_row(self, index: int, edit: Edit) -> None:
        value = "" if edit.value is None else f"{edit.value:.6g}"
        for column, text in enumerate((edit.gene, _NAMES[edit.op], value)):
            item = self.table.item(index, column)
            if item is None:
                item = QTableWidgetItem()
                self.table.setItem(index, column, item)
            if item.text() != text:
                item.setText(text)
            editable = column == 1 or (column == 2 and edit.op != "knockout")
            flags = item.flags() & ~Qt.ItemFlag.ItemIsEditable
            wanted = flags | Qt.ItemFlag.ItemIsEditable if editable else flags
            if item.flags() != wanted:
                item.setFlags(wanted)

    def _on_item(self, item: QTableWidgetItem) -> None:
        """Send what was typed as an action; what is no edit is reported, and nothing changes."""
        edits = list(self.context.state.edits.genes)
        try:
            edits[item.row()] = _changed(edits[item.row()], item.column(), item.text())
        except GestError as error:
            self.context.report(self, error)
        else:
            self.set_edits(edits)
        self._show()

    def _fit(self) -> None:
        shown = min(max(self.table.rowCount(), 1), _ROWS_SHOWN)
        self.table.setFixedHeight((shown + 1) * _ROW + 4)
        self.table.setVisible(self.table.rowCount() > 0)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Edits", "", "Tables (*.csv);;All files (*)")
        if path:
            self.load(Path(path))


def _changed(edit: Edit, column: int, text: str) -> Edit:
    """Return an edit after a text was put into a column of its row.

    Raises
    ------
    InputError
        If the text is no number, or one that the edit cannot have.
    """
    if column == 1:  # a knock-out has no value, and others need one
        op = _OPS[text]
        value = _FIRST[op] if edit.value is None else edit.value
        return Edit(edit.gene, op, None if op == "knockout" else value)
    try:
        return Edit(edit.gene, edit.op, float(text.replace(",", ".")))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The value of {edit.gene} is '{text}', which is no number.",
            "Type a number, such as 2 or 0.5.",
        ) from error


class _Ops(QStyledItemDelegate):
    """Offers the operations in a list."""

    def createEditor(self, parent, option, index) -> QComboBox:
        box = QComboBox(parent)
        box.addItems(list(_OPS))
        box.activated.connect(lambda: (self.commitData.emit(box), self.closeEditor.emit(box)))
        return box

    def setEditorData(self, editor, index) -> None:
        editor.setCurrentText(index.data())
        editor.showPopup()

    def setModelData(self, editor, model, index) -> None:
        model.setData(index, editor.currentText())
