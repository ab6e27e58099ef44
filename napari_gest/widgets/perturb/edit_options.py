"""Which cells of the region are edited, how strongly, and how the surroundings are read out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QFormLayout
from superqt import QLabeledDoubleSlider
from superqt.utils import qdebounced

from napari_gest.app.actions import SetEdits
from napari_gest.app.obs_columns import label_columns, likely_column
from napari_gest.app.opened import Opened
from napari_gest.app.runs.perturbation import READOUTS
from napari_gest.app.state import Label
from napari_gest.widgets.common.controls import Panel, combo, fill, row
from napari_gest.widgets.context import Context

_ALL, _KEEP, _REMOVE = "All cells of the region", "Keep their type", "Are removed"
_STRONGEST = 3.0
_REST_MS = 250  # that the slider rests before its strength is taken


class EditOptions(Panel):
    """The settings of an edit besides its genes."""

    inputs = frozenset({"sections", "active", "edits", "kept"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.column_box = combo("Restrict the edit by", self._pick_column)
        self.label_box = combo("Label", self._pick_label)
        self.fate = combo("What becomes of the cells", self._pick_fate)
        self.fate.setToolTip("Cells keep their type, become copies of another one, or are removed")
        self.strength = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.strength.setDecimals(2)
        self.strength.setRange(0.0, _STRONGEST)
        self.strength.setToolTip("1 applies the edits as they stand, 0 none of them")
        self.strength.setAccessibleName("Strength of the edits")
        self._moved = False  # whether the slider was moved and does not rest yet
        self.strength.valueChanged.connect(self._on_moved)
        self.readout = combo("Read-out of the surroundings", self._pick_readout)
        self.readout.addItems(list(READOUTS))
        self.readout.setToolTip(
            "Response: each cell stays what it is and responds. Generated again: the surroundings"
            " are hidden and generated, before and after (the paper's form)."
        )
        self.column.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(5)
        form.addRow("Edit", row(self.column_box, self.label_box))
        form.addRow("Cells", self.fate)
        form.addRow("Strength", self.strength)
        form.addRow("Read-out", self.readout)
        self.column.addLayout(form)
        self.refresh()

    def settle(self) -> None:
        """Take the strength of a slider that was moved, without waiting until it rests."""
        if self._moved:
            self._moved = False
            self._set(strength=round(self.strength.value(), 2))

    def refresh(self) -> None:
        """Offer the columns and labels of the section in use, and show what is chosen."""
        opened, edits = self.context.opened, self.context.state.edits
        self.setEnabled(opened is not None)
        self.readout.setCurrentText(edits.readout or next(iter(READOUTS)))
        if not self._moved:
            with QSignalBlocker(self.strength):
                self.strength.setRange(0.0, max(_STRONGEST, edits.strength))
                self.strength.setValue(edits.strength)
        if opened is None:
            return
        only = edits.only
        columns = [_ALL, *label_columns(opened)]
        if only is not None and only.column not in columns:
            columns.append(only.column)
        fill(self.column_box, columns, _ALL if only is None else only.column)
        self.label_box.setVisible(only is not None)
        if only is not None:
            names = list(opened.names(only.column)) if only.column in opened.adata.obs else []
            if only.name not in names:  # Run says that this section has no such cells
                names.append(only.name)
            fill(self.label_box, names, only.name)
        fates = _fates(opened, edits.become)
        now = (None, True) if edits.remove else (edits.become, False)
        fill(self.fate, list(fates), next(name for name, fate in fates.items() if fate == now))

    def _pick_column(self, column: str) -> None:
        only = None
        if column != _ALL:
            only = self.context.state.edits.only
            if only is None or only.column != column:
                only = Label(column, self.context.opened.names(column)[0])
        self._set(only=only)

    def _pick_label(self, name: str) -> None:
        self._set(only=Label(self.column_box.currentText(), name))

    def _pick_readout(self, name: str) -> None:
        self._set(readout=name)

    def _pick_fate(self, name: str) -> None:
        become, remove = _fates(self.context.opened, self.context.state.edits.become)[name]
        self._set(become=become, remove=remove)

    def _on_moved(self, _value: float) -> None:
        self._moved = True
        self._rest()

    @qdebounced(timeout=_REST_MS)
    def _rest(self) -> None:
        self.settle()

    def _set(self, **changes: Any) -> None:
        edits = replace(self.context.state.edits, **changes)
        self.context.do(SetEdits(edits=edits), self)


def _fates(opened: Opened, become: Label | None) -> dict[str, tuple[Label | None, bool]]:
    """Return what can become of the cells: by name, what they become and whether they go."""
    column = likely_column(label_columns(opened))
    types = [] if column is None else [Label(column, name) for name in opened.names(column)]
    fates: dict[str, tuple[Label | None, bool]] = {_KEEP: (None, False)}
    fates |= {f"Become: {one.name}": (one, False) for one in types}
    if become is not None and become not in types:  # of a scenario that was opened
        fates[f"Become: {become.name} ({become.column})"] = become, False
    return fates | {_REMOVE: (None, True)}
