"""Forms that magicgui builds from the signature of what they ask for: a field a parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from magicgui.signature import MagicSignature
from magicgui.types import Undefined
from magicgui.widgets import Container
from magicgui.widgets.bases import ValuedContainerWidget
from qtpy.QtCore import QLocale, QSignalBlocker, SignalInstance
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QWidget

from napari_gest.widgets.common.controls import combo


def form(
    of: Callable[..., object],
    fields: Mapping[str, Mapping[str, Any]],
    names: Sequence[str] | None = None,
) -> Container:
    """Return a form with a field for each parameter, to be shown by ``rows``.

    Parameters
    ----------
    of
        A function, or a class whose parameters are its annotated fields. Defaults are what the
        fields say at first.
    fields
        Options of magicgui for parameters: ``label``, ``tooltip``, ``widget_type``.
    names
        Parameters that are asked for, in this order; None asks for all.

    Raises
    ------
    ValueError
        If there are options of no parameter.
    """
    hints = get_type_hints(of)
    signature = inspect.signature(of)
    asked = {name: signature.parameters[name] for name in names or signature.parameters}
    if unknown := sorted(set(fields) - set(asked)):
        raise ValueError(f"there is no parameter {', '.join(unknown)}")
    typed = [
        one.replace(annotation=hints.get(name, one.annotation))  # names of types, looked up
        for name, one in asked.items()
    ]
    options = {name: dict(own) for name, own in fields.items()}
    made = MagicSignature.from_signature(signature.replace(parameters=typed), gui_options=options)
    return made.to_container()


def rows(fields: Container) -> QFormLayout:
    """Return the fields of a form below each other, with their labels beside them."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(5)
    for field in fields:
        made = box(field)
        made.setAccessibleName(field.label)
        made.setToolTip(field.tooltip)
        layout.addRow("" if isinstance(made, QCheckBox) else field.label, made)
    return layout


def box(field: Any) -> QWidget:
    """Return the Qt widget of a field that has the focus."""
    return field.box if isinstance(field, _Field) else field.native


class _Field(ValuedContainerWidget):
    """A Qt widget as a field of a form."""

    def __init__(self, made: QWidget, changed: SignalInstance, value: Any, options: Any) -> None:
        self.box = made
        super().__init__(**options)
        if value is not Undefined:
            self.value = value
        changed.connect(lambda _: self.changed.emit(self.value))


class Choice(_Field):
    """A name that is typed, or chosen among those that are offered; "" where there is none."""

    def __init__(self, value: Any = Undefined, **options: Any) -> None:
        made = combo("")
        made.setEditable(True)
        made.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        super().__init__(made, made.editTextChanged, value, options)

    def get_value(self) -> str:
        return self.box.currentText().strip()

    def set_value(self, value: str | None) -> None:
        self.box.setEditText(value or "")

    def offer(self, items: Sequence[str]) -> None:
        """Offer other names; what is typed stays."""
        text = self.box.currentText()
        with QSignalBlocker(self.box):
            self.box.clear()
            self.box.addItems(list(dict.fromkeys(map(str, items))))
            self.box.setEditText(text)


class Length(_Field):
    """A positive number, shown as it was typed."""

    def __init__(self, value: Any = Undefined, **options: Any) -> None:
        made = _Number()
        super().__init__(made, made.valueChanged, value, options)

    def get_value(self) -> float:
        return self.box.value()

    def set_value(self, value: float) -> None:
        self.box.setValue(value)


class _Number(QDoubleSpinBox):
    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())  # a point, as everywhere in the data
        self.setDecimals(12)
        self.setRange(1e-6, 1e6)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f"{value:.12g}"  # without zeros behind it
