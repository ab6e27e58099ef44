"""Step "Runs": all that was run, to go back to, compare, keep, rename, delete and export."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_gest.app.actions import Discard, Keep, RenameRun, ShowRuns
from napari_gest.app.from_file import KEEPS, WHY_NOT, is_from_file
from napari_gest.app.run_table import COLUMNS, run_rows, write_run_table
from napari_gest.app.runs.base import RunEntry, is_closed
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, allow, button, note, row, tooltip
from napari_gest.widgets.common.name_editor import NameEditor
from napari_gest.widgets.common.saving import choose_file, save_now
from napari_gest.widgets.context import Context

_HELP = (
    "Every run stays here until you delete it. Click one to see it again. Choose two generations or"
    " two perturbations with Ctrl to see them side by side. Double-click a name to change it."
)
_ROW, _ROWS_SHOWN = 20, 8
_WIDEST = 150  # of a column: a long name would push all others out of sight


class RunsPanel(Panel):
    """Lists the runs of the session, the newest first."""

    inputs = frozenset({"runs", "kept", "shown", "shapes", "sections", "choices", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.help = note(_HELP)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setTabKeyNavigation(False)
        self.table.setAccessibleName("Runs")
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setWordWrap(False)  # a name that is cut off is cut at a letter
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMaximumSectionSize(_WIDEST)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.names = NameEditor(self.table)
        self.names.closed.connect(self.refresh, Qt.ConnectionType.QueuedConnection)
        self.table.itemChanged.connect(self._renamed)
        self.table.itemSelectionChanged.connect(self._selected)
        self.keep_button = button("Keep", self.keep)
        self.rename_button = button("Rename", self._edit_name)
        self.delete_button = button("Delete", self.delete)
        self.copy_button = button("Copy as Python", self.copy)
        self.export_button = button("Export table…", self._choose_file)
        self.column.addWidget(self.help)
        self.column.addWidget(self.table)
        self.column.addLayout(row(self.keep_button, self.rename_button, self.delete_button))
        self.column.addLayout(row(self.copy_button, self.export_button))
        self._ids: list[str] = []
        self._shown: set[str] = set()
        self._choosing = False
        self.refresh()

    @property
    def chosen(self) -> list[RunEntry]:
        """The selected runs, from top to bottom."""
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        listed = {entry.id: entry for entry in self.context.state.listed()}
        ids = (self._ids[i] for i in rows if i < len(self._ids))
        return [listed[id_] for id_ in ids if id_ in listed]

    def keep(self) -> None:
        """Write the selected runs into the open tissue."""
        for entry in self.chosen:
            if entry.id not in self.context.state.kept and entry.kind != "training":
                self.context.do(Keep(id=entry.id), self)

    def delete(self) -> None:
        """Throw the selected runs away; undo brings them back."""
        for entry in self.chosen:
            if not is_from_file(entry):
                self.context.do(Discard(id=entry.id), self)

    def copy(self) -> None:
        """Put code that gives the same as the selected run on the clipboard."""
        if len(self.chosen) != 1:
            return
        (entry,) = self.chosen
        source = entry.outcome if isinstance(entry.outcome, NicheOutcome) else entry.run
        try:
            QGuiApplication.clipboard().setText(source.script())
        except GestError as error:
            self.context.report(self, error)

    def export(self, path: Path, overwrite: bool = False) -> None:
        """Write the table of runs as csv."""
        state = self.context.state
        save_now(
            self.context, self, path, lambda: write_run_table(state, path, overwrite=overwrite)
        )

    def refresh(self) -> None:
        """Show the runs there are, and select those that are looked at since the last time.

        The list stays while a name is typed in it, and follows when that has ended.
        """
        if self.names.is_open:
            self._allow()
            return
        state = self.context.state
        rows = run_rows(state)
        # A check comes by itself: it must not change what Keep and Delete are about.
        shown = {id_ for kind, ids in state.shown.items() if kind != "check" for id_ in ids}
        chosen = {entry.id for entry in self.chosen}
        if not chosen or (shown != self._shown and not self._choosing):
            chosen = shown
        self._shown = shown
        self._ids = [id_ for id_, _ in rows]
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(rows))
            for index, (id_, cells) in enumerate(rows):
                for column, text in enumerate(cells):
                    item = QTableWidgetItem(text)
                    item.setToolTip(tooltip(text))
                    item.setData(Qt.ItemDataRole.UserRole, id_)
                    if column:
                        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                    self.table.setItem(index, column, item)
                    item.setSelected(id_ in chosen)
        heading = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(heading + min(max(len(rows), 1), _ROWS_SHOWN) * _ROW + 18)
        self.table.setVisible(bool(rows))
        self.help.setVisible(True)
        self._allow()

    def _allow(self) -> None:
        state, chosen = self.context.state, self.chosen
        none = None if chosen else "Choose a run."
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        closed = any(is_closed(entry, state) for entry in chosen)
        kept = bool(chosen) and all(entry.id in state.kept for entry in chosen)
        why_not = "Its section was closed." if closed else "It is kept already." if kept else None
        if chosen and all(entry.kind == "training" for entry in chosen):
            why_not = "A model lies in a folder of its own."
        allow(self.keep_button, none or busy or why_not, "Write it into the open tissue")
        one = None if len(chosen) == 1 else "Choose one run."
        allow(self.rename_button, one, "Give it another name")
        cut = (
            "It was cancelled: no code gives the same."
            if one is None and chosen[0].partial
            else None
        )
        if one is None and is_from_file(chosen[0]):
            cut = WHY_NOT
        allow(self.copy_button, one or cut, "Code that gives the same, on the clipboard")
        in_file = KEEPS if any(map(is_from_file, chosen)) else None
        allow(self.delete_button, none or busy or in_file, "Throw it away; undo brings it back")
        there = None if self._ids else "There is no run yet."
        allow(self.export_button, there, "Write this table as csv")

    def _selected(self) -> None:
        self._allow()
        by_kind: dict[str, list[str]] = {}
        for entry in self.chosen:
            by_kind.setdefault(entry.kind, []).append(entry.id)
        for kind, ids in by_kind.items():
            most = 2 if kind in ("generation", "perturbation") else 1
            wanted = tuple(ids[:most])
            if self.context.state.shown.get(kind, ()) != wanted:
                self._choosing = True
                self.context.do(ShowRuns(kind=kind, ids=wanted), self)
                self._choosing = False

    def _renamed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            id_ = item.data(Qt.ItemDataRole.UserRole)
            if any(entry.id == id_ for entry in self.context.state.listed()):
                self.context.do(RenameRun(id=id_, name=item.text()), self)
            self.refresh()

    def _edit_name(self) -> None:
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        if rows:
            self.table.editItem(self.table.item(rows[0], 0))

    def _choose_file(self) -> None:
        path = choose_file(self, "Save table", self.context.opened, "_runs.csv", "Table (*.csv)")
        if path is not None:
            self.export(path, overwrite=True)
