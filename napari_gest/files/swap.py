"""An output takes its final name: first flushed to the disk, then renamed in one step."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from napari_gest.files import leftovers

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_MANY = 8  # files from which on one call for the whole file system is faster


def keep_modes(temporary: Path, target: Path) -> None:
    """Give the new files the modes and, where allowed, the owners of the files they replace."""
    if not target.exists():
        return
    for new in [temporary, *(_inside(temporary) if temporary.is_dir() else ())]:
        old = target / new.relative_to(temporary)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            before, now = old.stat(), new.stat()
            if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
                with contextlib.suppress(OSError):
                    os.chown(new, before.st_uid, before.st_gid)
            if stat.S_IMODE(before.st_mode) != stat.S_IMODE(new.stat().st_mode):
                new.chmod(stat.S_IMODE(before.st_mode))


def flush(temporary: Path) -> None:
    """Return once a file, or a folder with all that is in it, is on the disk."""
    if not temporary.is_dir():
        _flush(temporary)
        return
    paths = [*_inside(temporary), temporary]
    if len(paths) > _MANY and _flush_system(temporary):
        return
    for path in paths:
        _flush(path)


def take_name(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Rename ``temporary`` to ``target``, and flush the folder.

    After any interruption, even a power cut, ``target`` is either the old or the new output. Only
    where the system cannot exchange folders is there a short time without either. If the process
    is killed then, ``leftovers.restore`` restores the old one.

    Raises
    ------
    FileExistsError
        If ``target`` exists and ``overwrite`` is false.
    OSError
        If renaming failed; the old output still has its name.
    """
    if not overwrite:
        _rename_to_free(temporary, target)
    elif not target.is_dir():
        os.replace(temporary, target)
    elif not _exchange(temporary, target):
        _set_aside(temporary, target)
    with contextlib.suppress(OSError):  # the rename has succeeded, so no error is raised now
        _flush(target.parent)
    leftovers.remove(temporary)  # the old output, where two folders were exchanged


def _inside(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            yield Path(parent, name)


def _flush(path: Path) -> None:
    """Flush one file or folder to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        if sys.platform == "darwin":
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # past the disk's own cache
                return
        os.fsync(handle)
    except OSError as error:
        # Some network and user-space file systems do not know it.
        if error.errno not in _NOT_HERE:
            raise
    finally:
        os.close(handle)


def _flush_system(path: Path) -> bool:
    """Flush a whole file system to the disk, if the system supports it."""
    call = _system_call("syncfs")
    if call is None:
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        return call(handle) == 0
    finally:
        os.close(handle)


def _rename_to_free(temporary: Path, target: Path) -> None:
    """Rename, but never over a file that appeared at ``target`` meanwhile."""
    if _renameat2(temporary, target, _NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(temporary, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, if the system supports it."""
    return _renameat2(one, other, _EXCHANGE)


def _set_aside(temporary: Path, target: Path) -> None:
    """Replace a folder in two steps; if the second fails, the old one gets its name back."""
    aside = leftovers.beside(target, "old")
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(aside, target)
        raise
    # Renamed before removal, so that a partly removed folder is never restored.
    spent = leftovers.beside(target)
    with contextlib.suppress(OSError):
        os.rename(aside, spent)
    leftovers.remove(spent)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Rename by Linux's call with flags; False where the system or the disk has no such call."""
    call = _system_call("renameat2")
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def _system_call(name: str) -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), name, None)
