"""Advanced part of step 1: how sections are read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from anndata import AnnData
from pandas.api.types import is_float_dtype
from qtpy.QtCore import QLocale, QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout

from napari_gest.tissue.reading import FIELDS, ExpressionScale, Reading, layer_names
from napari_gest.widgets.common.controls import Panel

_X = "X"  # how the field spells that no layer is used


class ReadingPanel(Panel):
    """The fields of a ``Reading``. ``changed`` is emitted when one changes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _box(FIELDS["spatial_key"], "Key of obsm: x and y are its first two columns")
        self.section = _box(FIELDS["section_key"], "Column of obs that names sections")
        self.layer = _box(FIELDS["layer"], "X, or a layer, with counts or normalised values")
        self.um = _Length()
        self.um.setAccessibleName(FIELDS["um_per_unit"])
        self.um.setToolTip(
            "Micrometres in one unit of the coordinates: the size of a pixel, or 1000 for mm"
        )
        self.um.valueChanged.connect(lambda _: self.changed.emit())
        self.scale = QComboBox()
        self.scale.addItems(get_args(ExpressionScale))
        self.scale.setAccessibleName(FIELDS["scale"])
        self.scale.setToolTip(
            "auto: linear, and what looks logged is refused; linear, whatever they look like;"
            " log1p, which expm1 undoes"
        )
        self.scale.currentTextChanged.connect(lambda _: self.changed.emit())
        self.generated = QCheckBox(FIELDS["include_generated"])
        self.generated.setToolTip(
            "Generated cells are no observations and are left out; with this they are taken as if"
            " they had been measured, from the layer under Expression"
        )
        self.generated.toggled.connect(lambda _: self.changed.emit())
        for box in (self.spatial, self.section, self.layer):
            box.editTextChanged.connect(lambda _: self.changed.emit())
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(5)
        form.addRow(FIELDS["spatial_key"], self.spatial)
        form.addRow(FIELDS["section_key"], self.section)
        form.addRow(FIELDS["layer"], self.layer)
        form.addRow(FIELDS["um_per_unit"], self.um)
        form.addRow(FIELDS["scale"], self.scale)
        form.addRow("", self.generated)
        self.column.addLayout(form)
        self.choose(Reading())

    @property
    def reading(self) -> Reading:
        """What the fields say; an empty one is as usual."""
        usual = Reading()
        layer = self.layer.currentText().strip()
        return Reading(
            self.spatial.currentText().strip() or usual.spatial_key,
            self.section.currentText().strip() or usual.section_key,
            None if layer in ("", _X) else layer,
            self.um.value(),
            self.scale.currentText(),
            self.generated.isChecked(),
        )

    def choose(self, reading: Reading) -> None:
        """Show a way of reading."""
        self.spatial.setEditText(reading.spatial_key)
        self.section.setEditText(reading.section_key)
        self.layer.setEditText(reading.layer or _X)
        self.um.setValue(reading.um_per_unit)
        self.scale.setCurrentText(reading.scale)
        self.generated.setChecked(reading.include_generated)

    def offer(self, read: Sequence[AnnData]) -> None:
        """Offer the keys, columns and layers of files that were read; what is typed stays."""
        _offer(self.spatial, [key for adata in read for key in adata.obsm])
        named = [c for adata in read for c in adata.obs if not is_float_dtype(adata.obs[c])]
        _offer(self.section, named)
        _offer(self.layer, [_X, *(key for adata in read for key in layer_names(adata))])

    def focus(self, option: str) -> None:
        """Go to the field of a parameter of ``Section.from_anndata``."""
        fields = {
            "spatial_key": self.spatial,
            "section_key": self.section,
            "layer": self.layer,
            "um_per_unit": self.um,
            "scale": self.scale,
            "include_generated": self.generated,
        }
        fields[option].setFocus()


class _Length(QDoubleSpinBox):
    """A positive number as it was typed, without zeros behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())  # a point, as everywhere in the data
        self.setDecimals(12)
        self.setRange(1e-6, 1e6)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f"{value:.12g}"


def _box(name: str, tip: str) -> QComboBox:
    made = QComboBox()
    made.setEditable(True)
    made.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setAccessibleName(name)
    made.setToolTip(tip)
    return made


def _offer(box: QComboBox, items: Sequence[str]) -> None:
    text = box.currentText()
    with QSignalBlocker(box):
        box.clear()
        box.addItems(list(dict.fromkeys(map(str, items))))
        box.setEditText(text)
