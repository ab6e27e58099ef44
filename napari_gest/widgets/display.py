"""A screen to draw on where there is none: a virtual one, on Linux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from napari_gest.errors import InputError

_SCREEN = "1600x1200x24"


def has_display() -> bool:
    """Tell whether windows can be shown. macOS and Windows always have a screen."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("QT_QPA_PLATFORM", "").startswith("offscreen"):
        return False
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def virtual_display() -> Iterator[None]:
    """Run Xvfb for as long as the block lasts; Qt must not have been started yet.

    Raises
    ------
    InputError
        If Xvfb is not installed or does not start.
    """
    program = shutil.which("Xvfb")
    if program is None:
        raise InputError(
            "There is no display, and Xvfb, a virtual one, is not installed.",
            "Install it (Debian and Ubuntu: apt install xvfb), or run on a desktop.",
        )
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    before = {key: os.environ.get(key) for key in ("DISPLAY", "QT_QPA_PLATFORM")}
    try:
        with os.fdopen(reading) as told:
            number = told.readline().strip()  # Xvfb writes it when it is ready
        if not number:
            raise InputError("Xvfb did not start.", "Run 'Xvfb :99' to see why.")
        os.environ["DISPLAY"] = f":{number}"
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        server.terminate()
        server.wait(10)
