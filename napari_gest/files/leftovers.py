"""Names of temporary files, and the removal of those that a killed process left behind.

A temporary file lies beside its output, since a rename is atomic only within one file system:
``.NAME.gest-PLACE-PID-BIRTH-RANDOM.tmp.SUFFIX``. PLACE identifies the computer and its PID
namespace. BIRTH is the start time of the process, so that another process with the same PID is
not mistaken for it. With ``old`` instead of ``tmp`` it is a folder that is set aside for a
moment, where the system cannot exchange two folders in one step.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal

_NAME = re.compile(
    r"\.(?P<label>.+)\.gest-(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<birth>[0-9a-f]{8})"
    r"-[0-9a-f]{8}\.(?P<use>tmp|old)(?:\.[^.]*)?",
    re.DOTALL,
)
_LABEL = 60  # bytes of a name that are kept as they are; most systems allow 255 in all
_SUFFIX = 16
_ABANDONED_S = 60.0  # a folder is set aside for milliseconds


@dataclass(frozen=True)
class _Owned:
    path: Path
    label: str
    use: str
    abandoned: bool


def beside(target: Path, use: Literal["tmp", "old"] = "tmp") -> Path:
    """Return a new temporary name, owned by this process, in the folder of ``target``."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _SUFFIX else ""
    pid = os.getpid()
    owner = f"{_place()}-{pid}-{_birth(pid) or '0' * 8}"
    name = f".{_label(target.name)}.gest-{owner}-{secrets.token_hex(4)}.{use}{suffix}"
    return target.with_name(name)


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that ``beside`` gives."""
    return _NAME.fullmatch(name) is not None


def within_temporary(path: Path) -> bool:
    """Tell whether a path is a temporary one or lies in a temporary folder."""
    return any(is_temporary(part) for part in path.parts)


def sweep(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder; restore what they set aside."""
    found = _owned(folder)
    for one in found:
        if one.use == "old":
            _restore(one)
    for one in found:
        if one.use == "tmp" and one.abandoned:
            remove(one.path)


def restore(path: str | Path) -> None:
    """Give a folder its name back if a process was killed while it replaced it."""
    path = Path(os.path.realpath(path))
    if not os.path.lexists(path):
        for one in _owned(path.parent):
            if one.use == "old" and one.label == _label(path.name):
                _restore(one, path)


def restore_in(folder: str | Path) -> None:
    """Do the same as ``restore`` for everything in a folder."""
    for one in _owned(Path(folder)):
        if one.use == "old":
            _restore(one)


def remove(path: Path) -> None:
    """Remove a temporary file or folder; errors are ignored."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            # A handle that HDF5 still holds forbids removal on Windows; the first error matters.
            path.unlink(missing_ok=True)


def _restore(one: _Owned, target: Path | None = None) -> None:
    if target is None and "~" in one.label and len(os.fsencode(one.label)) > _LABEL:
        return  # the name was shortened: only a caller with the full name can restore it
    target = target or one.path.with_name(one.label)
    if not one.abandoned:
        return
    with contextlib.suppress(OSError):
        if not os.path.lexists(target):
            os.rename(one.path, target)
        else:
            # The process was killed after the new one had its name.
            spent = beside(target)
            os.rename(one.path, spent)
            remove(spent)


def _owned(folder: Path) -> list[_Owned]:
    """Return the entries of a folder with names that ``beside`` gives, the newest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            with contextlib.suppress(OSError):
                changed = entry.stat(follow_symlinks=False).st_ctime
                here = match["place"] == _place()
                dead = here and not _alive(int(match["pid"]), match["birth"])
                # The process may be unknown; a folder that was set aside long ago is abandoned.
                late = match["use"] == "old" and time.time() - changed > _ABANDONED_S
                abandoned = dead or (late and os.name == "posix")
                one = _Owned(Path(entry.path), match["label"], match["use"], abandoned)
                found.append((changed, one))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def _label(name: str) -> str:
    """Return a name, or its beginning and a digest where it is long."""
    if len(os.fsencode(name)) <= _LABEL:
        return name
    digest = blake2b(os.fsencode(name), digest_size=8).hexdigest()
    short = name[:_LABEL]
    while len(os.fsencode(short)) > _LABEL:
        short = short[:-1]
    return f"{short}~{digest}"


@cache
def _place() -> str:
    """Return a digest that identifies this computer and, in a container, its PID namespace."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return blake2b(f"{platform.node()} {space}".encode(), digest_size=4).hexdigest()


def _birth(pid: int) -> str | None:
    """Return a digest of the start time of a process; None if the time is not available."""
    if sys.platform == "linux":
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            # What follows the name in brackets, which may hold anything.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        if fields[0] in "ZX":
            return ""  # ended, though its parent has not asked yet
        began = f"{boot} {fields[19]}"
    else:
        import psutil

        try:
            began = str(int(psutil.Process(pid).create_time()))
        except psutil.Error:
            return None
    return blake2b(began.encode(), digest_size=4).hexdigest()


def _alive(pid: int, birth: str) -> bool:
    if os.name == "nt":
        import psutil

        if not psutil.pid_exists(pid):
            return False
    else:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except OSError:
            return True  # somebody else's
    now = _birth(pid)
    return now is None or now == birth
