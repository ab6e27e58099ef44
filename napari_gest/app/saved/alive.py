"""Which program a session on disk belongs to, and whether that is still at work."""

from __future__ import annotations

import json
import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from napari_gest.app.saved.folder import ALIVE, JOURNAL
from napari_gest.files.kinds import peek_json

_LONG_S = 24 * 3600.0  # that a session on another computer may rest and still be open


def sign(folder: Path) -> None:
    """Write into a folder that it belongs to this program."""
    me = psutil.Process()
    about = {"pid": me.pid, "started": me.create_time(), "host": platform.node(), "boot": _boot()}
    (folder / ALIVE).write_text(json.dumps(about), encoding="utf-8")


def unsign(folder: Path) -> None:
    """Write into a folder that no program is at work on it."""
    (folder / ALIVE).unlink(missing_ok=True)


def is_alive(folder: Path) -> bool:
    """Tell whether the program of a session is at work.

    What runs on another computer cannot be seen from here: it counts as being at work until
    nothing has happened for a day.
    """
    about = _about(folder)
    if is_elsewhere(folder):
        return about.get("taken") is True or not _rests(folder)
    if about.get("boot") not in (None, _boot()):
        return False
    try:
        process = psutil.Process(int(about["pid"]))
        return abs(process.create_time() - float(about["started"])) < 1.0
    except (KeyError, OverflowError, TypeError, ValueError, psutil.Error):
        return False


def is_elsewhere(folder: Path) -> bool:
    """Tell whether a session is of another computer, with which this one shares its disk."""
    return _about(folder).get("host") not in (None, platform.node())


def note_taken(folder: Path) -> None:
    """Write into the folder of another computer that somebody goes on with a copy of it."""
    about = _about(folder) | {"taken": True}
    (folder / ALIVE).write_text(json.dumps(about), encoding="utf-8")


def _rests(folder: Path) -> bool:
    latest = 0.0
    for name in (ALIVE, JOURNAL):
        if os.path.exists(folder / name):
            latest = max(latest, (folder / name).stat().st_mtime)
    return time.time() - latest > _LONG_S


def _about(folder: Path) -> dict[str, Any]:
    about = peek_json(folder / ALIVE)
    return about if isinstance(about, dict) else {}


@cache
def _boot() -> str:
    """Return what tells this start of the computer from others; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
