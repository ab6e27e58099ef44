"""Scenarios: perturbations that were run, to be named, compared and thrown away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QStyle

from napari_gest.app.actions import ChangeView, Discard, RenameRun, ShowRuns
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.effect import view_of
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.common.saving import choose_file
from napari_gest.widgets.context import Context

_ROW, _ROWS_SHOWN = 20, 5
_HELP = "Select two with Ctrl to compare them side by side; double-click one to rename it."
_ID = Qt.ItemDataRole.UserRole


class ScenarioList(Panel):
    """Lists the perturbations of the session, the newest last, and selects which are shown."""

    inputs = frozenset({"runs", "shown", "kept", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.list = QListWidget()
        self.list.setAccessibleName("Scenarios")
        self.list.setIconSize(QSize(12, 12))
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.list.itemChanged.connect(self._renamed)
        self.list.itemSelectionChanged.connect(self._selected)
        self.help = note(_HELP)
        self.rename = button("Rename", self._edit_name)
        self.remove = button("Remove", self.remove_selected)
        self.save = button("Save all…", self._choose_folder)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(note("Scenarios", name="gestLegendTitle"))
        self.column.addWidget(self.list)
        self.column.addWidget(self.help)
        self.column.addLayout(row(self.rename, self.remove, self.save))
        self.refresh()

    @property
    def entries(self) -> list[RunEntry]:
        """All scenarios, oldest first."""
        return list(self.context.state.listed("perturbation"))

    @property
    def shown(self) -> tuple[RunEntry, ...]:
        """Those that are looked at, the first in place and the second beside it."""
        return self.context.state.shown_runs("perturbation")[:2]

    def select(self, ids: list[str]) -> None:
        """Show these, two at most: the first in place and the last beside it."""
        ids = ids if len(ids) < 3 else [ids[0], ids[-1]]
        context = self.context
        context.do(ShowRuns(kind="perturbation", ids=tuple(ids)), self)
        if ids:
            effect = context.state.entry(ids[0]).outcome
            context.do(ChangeView.of(**view_of(effect, context.state.view)), self)

    def remove_selected(self) -> None:
        """Throw the selected scenarios away; undo brings them back."""
        for entry in self.shown:
            self.context.do(Discard(id=entry.id), self)

    def save_all(self, folder: Path) -> None:
        """Write every scenario into one folder, each as it can be run again, and a comparison."""
        from napari_gest.tasks.perturbation.scenario import write_scenarios

        entries = self.entries
        try:
            write_scenarios([e.outcome.scenario(e.name) for e in entries], folder)
        except Exception as error:
            self.context.report(self, error)
            return
        some = f"{len(entries)} scenario{'s' if len(entries) != 1 else ''}"
        self.context.job_bar.say(f"Saved {some} in the folder {folder.name}.")

    def refresh(self) -> None:
        """List the scenarios, and select those that are looked at."""
        entries, shown = self.entries, [entry.id for entry in self.shown]
        self.setVisible(bool(entries))
        with QSignalBlocker(self.list):
            if [self._id(i) for i in range(self.list.count())] != [e.id for e in entries]:
                self.list.clear()
                for entry in entries:
                    item = QListWidgetItem(self.list)
                    item.setData(_ID, entry.id)
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            for index, entry in enumerate(entries):
                self._show(self.list.item(index), entry)
                self.list.item(index).setSelected(entry.id in shown)
        self.list.setFixedHeight(min(max(len(entries), 1), _ROWS_SHOWN) * _ROW + 6)
        none = None if shown else "Select a scenario."
        allow(self.rename, none, "Give it another name")
        allow(self.remove, none, "Throw the selected scenarios away, also where they were kept")
        busy = "Wait until the run has ended." if self.context.jobs.busy else None
        allow(self.save, busy, "Write all scenarios into one folder, to run again or compare")
        text = self.likeness()
        self.help.setText(text or _HELP)
        self.help.setVisible(bool(text) or len(entries) > 1)

    def likeness(self) -> str:
        """Return in words how alike the effects of two scenarios are."""
        if len(self.shown) < 2:
            return ""
        left, right = self.shown
        sides = f"Left: {left.name}. Right: {right.name}."
        tables = [
            e.table[e.table["band"] == e.table["band"].iloc[0]].set_index("gene")["effect"]
            for e in (left.outcome, right.outcome)
        ]
        one, other = tables[0].align(tables[1], join="inner")
        if len(one) < 3 or not one.std() > 0 or not other.std() > 0:
            return sides
        r = float(np.corrcoef(one, other)[0, 1])
        return f"{sides} Their effects correlate with r = {r:.2f} over {len(one):,} genes."

    def _show(self, item: QListWidgetItem, entry: RunEntry) -> None:
        kept = entry.id in self.context.state.kept
        if item.text() != entry.name:
            item.setText(entry.name)
        item.setToolTip("Kept: written into the open tissue" if kept else "")
        if kept != (not item.icon().isNull()):
            tick = self.style().standardIcon(QStyle.StandardPixmap.SP_DialogApplyButton)
            item.setIcon(tick if kept else type(tick)())

    def _id(self, index: int) -> str:
        return self.list.item(index).data(_ID)

    def _edit_name(self) -> None:
        chosen = self.list.selectedItems()
        if chosen:
            self.list.editItem(chosen[0])

    def _selected(self) -> None:
        chosen = [i for i in range(self.list.count()) if self.list.item(i).isSelected()]
        chosen = [self._id(i) for i in chosen]
        before = [entry.id for entry in self.shown]
        self.select([i for i in before if i in chosen] + [i for i in chosen if i not in before])
        self.refresh()  # also where a third one was selected

    def _renamed(self, item: QListWidgetItem) -> None:
        entry = self.context.state.entry(item.data(_ID))
        if item.text() != entry.name:
            self.context.do(RenameRun(id=entry.id, name=item.text()), self)
        self.refresh()  # also where the name is taken

    def _choose_folder(self) -> None:
        opened = self.context.state.sections[self.entries[0].run.snapshot.label]
        path = choose_file(self, "Folder of scenarios", opened, "_scenarios", "")
        if path is not None:
            self.save_all(path)
