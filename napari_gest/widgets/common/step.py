"""A numbered step of the dock that folds, and says whether it is done, next or not yet possible."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_gest.widgets.common.controls import tooltip

State = Literal["later", "next", "done"]

_SUMMARY = 165  # pixels, so that a step is no wider than the dock beside its scroll bar


class Step(QFrame):
    """Title bar with number and summary, above a panel that folds away.

    Not a ``QCollapsible``: the title of that is one text, and this one holds a badge and a summary.
    """

    def __init__(self, number: int, title: str, panel: QWidget, open_: bool = True) -> None:
        super().__init__()
        self.setObjectName("gestStep")
        self._number = str(number)
        self._badge = QLabel(self._number, objectName="gestBadge")
        self._badge.setFixedSize(20, 20)
        self._badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = QLabel(title, objectName="gestTitle")
        self._summary = QLabel(objectName="gestSummary")
        self._summary.setTextFormat(Qt.TextFormat.PlainText)
        self._summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._arrow = QToolButton(objectName="gestArrow")
        self._arrow.setAutoRaise(True)
        self._arrow.setAccessibleName(f"Fold step {number}, {title}")
        self._arrow.clicked.connect(lambda: self.set_open(not self.is_open))
        self.panel = panel

        bar = QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self._badge)
        bar.addWidget(self._title)
        bar.addWidget(self._summary, 1)
        bar.addWidget(self._arrow)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 7, 8, 8)
        column.setSpacing(6)
        column.addLayout(bar)
        column.addWidget(panel)
        self.set_open(open_)
        self.set_state("later")

    @property
    def is_open(self) -> bool:
        return not self.panel.isHidden()

    def set_open(self, open_: bool) -> None:
        """Fold or unfold the panel."""
        self.panel.setVisible(open_)
        self._arrow.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)

    def set_state(self, state: State, summary: str = "") -> None:
        """Show how far the step is, and in a few words what was chosen in it."""
        if state != self.property("state"):  # to style a widget anew and draw it takes a while
            self._badge.setText("✓" if state == "done" else self._number)
            for widget in (self, self._badge):
                widget.setProperty("state", state)
                widget.style().unpolish(widget)
                widget.style().polish(widget)
        metrics = self._summary.fontMetrics()
        self._summary.setText(metrics.elidedText(summary, Qt.TextElideMode.ElideMiddle, _SUMMARY))
        self._summary.setToolTip(tooltip(summary))

    def mousePressEvent(self, event) -> None:
        """Fold when the title bar, not the panel, is clicked."""
        if event.position().y() < self._badge.geometry().bottom() + 8:
            self.set_open(not self.is_open)
        super().mousePressEvent(event)
