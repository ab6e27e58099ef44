"""The table of edits: genes, what is done to them, and by how much."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
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

from napari_gest.errors import GestError, InputError
from napari_gest.tissue.edits import Edit, check_edits, check_gene, on_panel, read_edits
from napari_gest.tissue.symbols import gene_texts
from napari_gest.widgets.common.controls import Panel, SearchBox, fill, note, row
from napari_gest.widgets.context import Context

_NAMES = {"multiply": "multiply by", "set": "set to", "shift": "shift by", "knockout": "knock out"}
_OPS = {name: op for op, name in _NAMES.items()}
_PRESETS = {
    "Knock out": ("knockout", None),
    "Double": ("multiply", 2.0),
    "Halve": ("multiply", 0.5),
}
_ROW, _ROWS_SHOWN = 22, 5


class EditTable(Panel):
    """Edits of genes. ``changed`` is emitted when they change."""

    changed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._gene_of: dict[str, str] = {}  # text that is searched, with a symbol perhaps
        self.gene = SearchBox("Add a gene…")
        self.gene.picked.connect(lambda text: self.add(self._gene_of.get(text, text)))
        self.gene.lineEdit().returnPressed.connect(self._look_up)
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
        self.message = note(name="gestFacts")
        self.column.addWidget(self.message)
        self.say("")
        self._fit()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits.

        Raises
        ------
        InputError
            If a value is missing or no number.
        """
        return tuple(self._edit(index) for index in range(self.table.rowCount()))

    @property
    def genes(self) -> list[str]:
        """The genes in the table."""
        return [self.table.item(index, 0).text() for index in range(self.table.rowCount())]

    def say(self, text: str) -> None:
        """Say what is wrong with what was typed; nothing if nothing is."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def add(self, gene: str) -> None:
        """Add a gene, doubled at first; one that is there already is selected."""
        self.say("")
        if gene in self.genes:
            self.table.selectRow(self.genes.index(gene))
        else:
            self._append(Edit(gene, "multiply", 2.0))
            self._fit()
            self.changed.emit()
        self.gene.lineEdit().clear()

    def set_edits(self, edits: tuple[Edit, ...]) -> None:
        """Replace all edits."""
        with QSignalBlocker(self.table):
            self.table.setRowCount(0)
        for edit in edits:
            self._append(edit)
        self._fit()
        self.say("")
        self.changed.emit()

    def preset(self, name: str) -> None:
        """Do the same to all selected genes, or to all in the table."""
        op, value = _PRESETS[name]
        chosen = {index.row() for index in self.table.selectionModel().selectedRows()}
        for index in sorted(chosen) or range(self.table.rowCount()):
            self._put(index, Edit(self.table.item(index, 0).text(), op, value))
        self._check_values()
        self.changed.emit()

    def remove_selected(self) -> None:
        """Take the selected genes out."""
        chosen = {index.row() for index in self.table.selectionModel().selectedRows()}
        for index in sorted(chosen, reverse=True):
            self.table.removeRow(index)
        self._fit()
        self._check_values()
        self.changed.emit()

    def load(self, path: Path) -> None:
        """Read edits from a csv; genes the section lacks are left out and named in a dialog."""
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
            if isinstance(error, InputError) and self.edits:
                shown = InputError(error.cause, "The other genes of the file are in the table.")
            self.context.report(self, shown)

    def refresh(self) -> None:
        """Offer the genes of the section in use."""
        opened = self.context.scene.active
        self._gene_of = {} if opened is None else gene_texts(opened.adata, self._known())
        fill(self.gene, list(self._gene_of), None)

    def _known(self) -> list[str]:
        opened, model = self.context.scene.active, self.context.model
        if opened is None:
            return []
        panel = set(opened.section.genes if model is None else model.genes)
        return [gene for gene in opened.section.genes if gene in panel]

    def _look_up(self) -> None:
        """Say that a gene is unknown, once it was typed and no part of a name fits."""
        text = self.gene.lineEdit().text().strip()  # empty where a gene was added
        if text and self.gene.findText(text, Qt.MatchFlag.MatchContains) < 0:
            try:
                check_gene(text, self._known())
            except InputError as error:
                self.say(f"{error.cause} {error.remedy}")

    def _edit(self, index: int) -> Edit:
        gene, op, text = (self.table.item(index, c).text() for c in range(3))
        op = _OPS[op]
        if op == "knockout":
            return Edit(gene, op)
        try:
            value = float(text.replace(",", "."))
        except ValueError as error:
            raise InputError(
                f"The value of {gene} is '{text}', which is no number.", "Correct it in the table."
            ) from error
        return Edit(gene, op, value)

    def _append(self, edit: Edit) -> None:
        with QSignalBlocker(self.table):
            self.table.insertRow(self.table.rowCount())
        self._put(self.table.rowCount() - 1, edit)

    def _put(self, index: int, edit: Edit) -> None:
        value = "" if edit.value is None else f"{edit.value:.6g}"
        with QSignalBlocker(self.table):
            for column, text in enumerate((edit.gene, _NAMES[edit.op], value)):
                item = QTableWidgetItem(text)
                if column == 0 or (column == 2 and edit.op == "knockout"):
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.table.setItem(index, column, item)

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() == 1:  # a knock-out has no value, and others need one
            value = self.table.item(item.row(), 2)
            op = _OPS[item.text()]
            with QSignalBlocker(self.table):
                if op == "knockout":
                    value.setText("")
                    value.setFlags(value.flags() & ~Qt.ItemFlag.ItemIsEditable)
                else:
                    value.setFlags(value.flags() | Qt.ItemFlag.ItemIsEditable)
                    value.setText(value.text() or "1")
        self._check_values()
        self.changed.emit()

    def _check_values(self) -> None:
        try:
            _ = self.edits
        except InputError as error:
            self.say(f"{error.cause} {error.remedy}")
        else:
            self.say("")

    def _fit(self) -> None:
        shown = min(max(self.table.rowCount(), 1), _ROWS_SHOWN)
        self.table.setFixedHeight((shown + 1) * _ROW + 4)
        self.table.setVisible(self.table.rowCount() > 0)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Edits", "", "Tables (*.csv);;All files (*)")
        if path:
            self.load(Path(path))


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
