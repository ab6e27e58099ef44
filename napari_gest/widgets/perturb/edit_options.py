"""Which cells of the region are edited, how strongly, and how the surroundings are read out."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout
from superqt import QLabeledDoubleSlider

from napari_gest.app import colors
from napari_gest.app.runs.perturbation import READOUTS, Label
from napari_gest.app.session import Opened
from napari_gest.errors import InputError
from napari_gest.widgets.color.color_panel import likely_column
from napari_gest.widgets.common.controls import Panel, combo, fill, row
from napari_gest.widgets.context import Context

_ALL, _KEEP, _REMOVE = "All cells of the region", "Keep their type", "Are removed"
_BECOME = "Become: "
_MOST_LABELS = 300
_STRONGEST = 3.0


class EditOptions(Panel):
    """The settings of an edit besides its genes. ``changed`` is emitted when one changes."""

    changed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.column_box, self.label_box = combo("Restrict the edit by"), combo("Label")
        self.column_box.textActivated.connect(lambda _: self.refresh())
        self.label_box.textActivated.connect(lambda _: self.changed.emit())
        self.fate = combo("What becomes of the cells")
        self.fate.setToolTip("Structural edits: cells turn into another type, or are taken out")
        self.fate.textActivated.connect(lambda _: self.changed.emit())
        self.strength = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.strength.setDecimals(2)
        self.strength.setRange(0.0, _STRONGEST)
        self.strength.setValue(1.0)
        self.strength.setToolTip("1 is the edits as they stand, 0 none of them")
        self.strength.setAccessibleName("Strength of the edits")
        self.strength.valueChanged.connect(lambda _: self.changed.emit())
        self.readout = combo("Read-out of the surroundings")
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

    @property
    def only(self) -> Label | None:
        """The cells the edit is restricted to."""
        column = self.column_box.currentText()
        if column in ("", _ALL) or not self.label_box.currentText():
            return None
        return Label(column, self.label_box.currentText())

    @property
    def become(self) -> Label | None:
        """The cells that those of the region become copies of."""
        text = self.fate.currentText()
        if not text.startswith(_BECOME):
            return None
        return Label(self.type_column, text.removeprefix(_BECOME))

    @property
    def remove(self) -> bool:
        """Whether the cells are taken out."""
        return self.fate.currentText() == _REMOVE

    @property
    def type_column(self) -> str | None:
        """The obs column that looks like cell types."""
        opened = self.context.scene.active
        named = [] if opened is None else _label_columns(opened)
        return likely_column(named)

    def labels(self) -> dict[str, np.ndarray]:
        """Return the columns that are used, (n_obs,) of strings each."""
        opened = self.context.scene.active
        used = {label.column for label in (self.only, self.become) if label is not None}
        return {c: opened.obs_values(c).astype(str).to_numpy(str) for c in used}

    def choose(
        self, only: Label | None, become: Label | None, remove: bool, strength: float, readout: str
    ) -> None:
        """Choose these settings.

        Raises
        ------
        InputError
            If the section has no such labels.
        """
        self.column_box.setCurrentText(_ALL if only is None else only.column)
        self.refresh()
        if only is not None:
            self.label_box.setCurrentText(only.name)
        fate = _KEEP if become is None else _BECOME + become.name
        self.fate.setCurrentText(_REMOVE if remove else fate)
        self.strength.setValue(strength)
        self.readout.setCurrentText(readout)
        if self.only != only or self.become != become:
            raise InputError(
                "The scenario names cells by labels that the step does not offer here.",
                "Open the tissue it was made with, or run it with 'napari-gest perturb'.",
            )

    def refresh(self) -> None:
        """Offer the columns and labels of the section in use."""
        opened = self.context.scene.active
        self.setEnabled(opened is not None)
        if opened is None:
            return
        offered = [_ALL, *_label_columns(opened)]
        fill(self.column_box, offered, self.column_box.currentText() or _ALL)
        if self.column_box.currentIndex() < 0:
            self.column_box.setCurrentIndex(0)
        column = self.column_box.currentText()
        self.label_box.setVisible(column != _ALL)
        if column != _ALL:
            names = opened.names(column)
            now = self.label_box.currentText()
            fill(self.label_box, names, now if now in names else names[0])
        types = [] if self.type_column is None else opened.names(self.type_column)
        fates = [_KEEP, *(_BECOME + name for name in types), _REMOVE]
        now = self.fate.currentText()
        fill(self.fate, fates, now if now in fates else _KEEP)
        self.changed.emit()


def _label_columns(opened: Opened) -> list[str]:
    """Return the obs columns that name groups of cells."""
    return [
        str(key)
        for key in opened.adata.obs
        if colors.is_categorical(opened.adata.obs[key])
        and 1 < len(opened.names(key)) <= _MOST_LABELS
    ]
