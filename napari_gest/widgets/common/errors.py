"""Errors as a dialog: what is wrong, and what to do about it."""

from __future__ import annotations

import logging
import traceback

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_gest.errors import GestError

_LOG = logging.getLogger(__name__)


def show_error(parent: QWidget, error: Exception) -> QMessageBox:
    """Show an error without stopping anything else, and return the dialog."""
    box = QMessageBox(parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle("GeST")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setTextFormat(Qt.TextFormat.PlainText)  # messages name genes, files and columns
    if isinstance(error, GestError):
        box.setText(error.cause)
        box.setInformativeText(error.remedy)
    else:
        _LOG.error("unexpected error", exc_info=error)
        box.setText(f"Something went wrong: {type(error).__name__}: {error}")
        box.setInformativeText(
            "Your tissue was not changed. Please report this with the details below."
        )
        box.setDetailedText("".join(traceback.format_exception(error)))
    box.setStandardButtons(QMessageBox.StandardButton.Ok)
    box.open()
    return box
