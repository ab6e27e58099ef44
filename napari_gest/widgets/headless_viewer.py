"""A window that code drives as a user would: for the demo and the benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from napari_gest.errors import InputError
from napari_gest.widgets.window import open_window

_PATIENCE_S = 600


class HeadlessViewer:
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
        from qtpy.QtCore import QEventLoop, QTimer

        # A loop that runs, as in napari: where events are only processed, Qt deletes nothing that
        # is to be deleted later, such as the controls of a layer, and those hold the layer.
        loop = QEventLoop()
        raised: list[Exception] = []
        end = time.monotonic() + _PATIENCE_S

        def view_state() -> None:
            try:
                if self._errors:
                    raise self._errors[0]
                if condition():
                    loop.quit()
                elif time.monotonic() > end:
                    raise InputError(
                        f"The window did not get on within {_PATIENCE_S} s.", "Run it again."
                    )
            except Exception as error:
                raised.append(error)
                loop.quit()

        if condition():
            return
        timer = QTimer(interval=round(1000 * self._pause_s))
        timer.timeout.connect(view_state)
        timer.start()
        loop.exec()
        timer.stop()
        if raised:
            raise raised[0]

    def close(self) -> None:
        """Close the window, unless its user has."""
        with contextlib.suppress(RuntimeError):
            self.home.session_menu.autosave.close()
            self.home.detach()
            self.viewer.close()
