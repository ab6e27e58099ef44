"""A window that code drives as a user would: for the demo and the benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from napari_gest.errors import InputError
from napari_gest.widgets.app import open_window

_PATIENCE_S = 600


class DrivenWindow:
    """A viewer with the dock. What the dock would show as an error ends the wait for it.

    Parameters
    ----------
    pause_s
        What a turn of the waiting loop rests.
    """

    def __init__(self, pause_s: float = 0.005) -> None:
        self.viewer, self.home = open_window()
        self.context = self.home.context
        self._pause_s = pause_s
        self._errors: list[Exception] = []
        self.context.report = lambda parent, error: self._errors.append(error)

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the window live until a condition holds.

        Raises
        ------
        InputError
            If it does not within ten minutes.
        Exception
            Whatever was reported meanwhile.
        """
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + _PATIENCE_S
        while not condition():
            QApplication.processEvents()
            if self._errors:
                raise self._errors[0]
            if time.monotonic() > end:
                raise InputError(
                    f"The window did not get on within {_PATIENCE_S} s.", "Run it again."
                )
            time.sleep(self._pause_s)

    def close(self) -> None:
        """Close the window, unless its user has."""
        with contextlib.suppress(RuntimeError):
            self.home.detach()
            self.viewer.close()
