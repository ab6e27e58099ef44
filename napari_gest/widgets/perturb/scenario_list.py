"""Scenarios: effects that were kept, to be named, compared and thrown away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QListWidget, QListWidgetItem

from napari_gest.app.runs.effect import Effect
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.perturb.effect_panel import is_open

_ROW, _ROWS_SHOWN = 20, 5
_HELP = "Choose two with Ctrl to see them side by side; double-click to rename."


class ScenarioList(Panel):
    """Lists effects, the newest last. ``chosen`` is emitted when others are selected."""

    chosen = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._order: list[Effect] = []
        self.list = QListWidget()
        self.list.setAccessibleName("Scenarios")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.list.itemChanged.connect(self._renamed)
        self.list.itemSelectionChanged.connect(self._selected)
        self.help = note(_HELP)
        self.rename = button("Rename", lambda: self.list.editItem(self.list.currentItem()))
        self.remove = button("Remove", self.remove_selected)
        self.save = button("Save all…", self._choose_folder)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(note("Scenarios", name="gestLegendTitle"))
        self.column.addWidget(self.list)
        self.column.addWidget(self.help)
        self.column.addLayout(row(self.rename, self.remove, self.save))
        self.refresh()

    @property
    def effects(self) -> list[Effect]:
        """All scenarios, oldest first."""
        return [_effect(self.list.item(i)) for i in range(self.list.count())]

    @property
    def shown(self) -> list[Effect]:
        """The selected ones, two at most, the one chosen first first."""
        return [effect for effect in self._order if effect in self._selection()][:2]

    def add(self, effect: Effect) -> None:
        """Add an effect under a name that is not taken, and show it."""
        taken, name, number = {e.name for e in self.effects}, effect.name, 2
        while effect.name in taken:
            effect.name = f"{name} ({number})"
            number += 1
        item = QListWidgetItem(effect.name)
        item.setData(Qt.ItemDataRole.UserRole, effect)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        with QSignalBlocker(self.list):
            self.list.addItem(item)
        self.select([effect])

    def select(self, effects: list[Effect]) -> None:
        """Show these, the first in place and the second beside it."""
        self._order = list(effects)
        with QSignalBlocker(self.list):
            for i in range(self.list.count()):
                self.list.item(i).setSelected(self.effects[i] in effects)
        self._selected()

    def remove_selected(self) -> None:
        """Throw the selected scenarios away."""
        with QSignalBlocker(self.list):
            for item in self.list.selectedItems():
                self.list.takeItem(self.list.row(item))
        self._selected()

    def save_all(self, folder: Path) -> None:
        """Write every scenario into one folder, each as it can be run again, and a comparison."""
        from napari_gest.tasks.perturbation.scenario import write_scenarios

        try:
            write_scenarios([e.scenario for e in self.effects], folder)
        except Exception as error:
            self.context.report(self, error)
            return
        self.help.setText(f"Saved {len(self.effects)} scenarios in the folder {folder.name}.")
        self.help.setVisible(True)

    def refresh(self) -> None:
        """Drop the scenarios of sections that were closed."""
        closed = [e for e in self.effects if not is_open(self.context, e)]
        if closed:
            with QSignalBlocker(self.list):
                for i in reversed(range(self.list.count())):
                    if self.effects[i] in closed:
                        self.list.takeItem(i)
            self._selected()
        self.setVisible(self.list.count() > 0)
        self.list.setFixedHeight(min(max(self.list.count(), 1), _ROWS_SHOWN) * _ROW + 6)
        none = None if self._selection() else "Choose a scenario."
        allow(self.rename, none, "Give it another name")
        allow(self.remove, none, "Forget it")
        busy = "Wait until the run has ended." if self.context.jobs.busy else None
        allow(self.save, busy, "Write all scenarios into one folder, to run again or compare")

    def likeness(self) -> str:
        """Return in words how alike the effects of two scenarios are."""
        shown = self.shown
        if len(shown) < 2:
            return ""
        tables = [
            e.table[e.table["band"] == e.table["band"].iloc[0]].set_index("gene")["effect"]
            for e in shown
        ]
        left, right = tables[0].align(tables[1], join="inner")
        if len(left) < 3 or not left.std() > 0 or not right.std() > 0:
            return f"Left: {shown[0].name}. Right: {shown[1].name}."
        r = float(np.corrcoef(left, right)[0, 1])
        return (
            f"Left: {shown[0].name}. Right: {shown[1].name}. Their effects correlate with"
            f" r = {r:.2f} over {len(left):,} genes."
        )

    def _choose_folder(self) -> None:
        parent = QFileDialog.getExistingDirectory(self, "Where to put the folder of scenarios")
        if parent:
            section = self.effects[0].snapshot.label
            self.save_all(Path(parent) / f"{section}_scenarios")

    def _selection(self) -> list[Effect]:
        return [_effect(item) for item in self.list.selectedItems()]

    def _selected(self) -> None:
        now = self._selection()
        self._order = [e for e in self._order if e in now]
        self._order += [e for e in now if e not in self._order]
        self.refresh()
        text = self.likeness()
        self.help.setText(text or _HELP)
        self.help.setVisible(bool(text) or self.list.count() > 1)
        self.chosen.emit()

    def _renamed(self, item: QListWidgetItem) -> None:
        effect = _effect(item)
        name = item.text().strip()
        others = {e.name for e in self.effects if e is not effect}
        if name and name not in others:
            effect.name = name
            for shown, layer in self.context.scene.effects():
                if shown is effect:
                    layer.name = name
        with QSignalBlocker(self.list):
            item.setText(effect.name)
        self.help.setText(self.likeness() or _HELP)


def _effect(item: QListWidgetItem) -> Effect:
    return item.data(Qt.ItemDataRole.UserRole)
