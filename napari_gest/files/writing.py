"""Writing: a temporary path that takes the output's name, whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_gest.errors import GestError, InputError
from napari_gest.files import leftovers, swap
from napari_gest.files.kinds import FileKind, FolderKind, Kind
from napari_gest.files.outputs import check_name, check_output, check_replaceable, unwritable
from napari_gest.files.signals import held

_records: list[dict[Path, None]] = []


@contextmanager
def recorded() -> Iterator[dict[Path, None]]:
    """Yield the outputs that take their names inside the block, in order, as keys.

    A program that ends before its work is done can tell what is there already.
    """
    record: dict[Path, None] = {}
    _records.append(record)
    try:
        yield record
    finally:
        _records[:] = [other for other in _records if other is not record]


@contextmanager
def replacing(
    path: str | Path, kind: Kind, *, overwrite: bool = False, parents: bool = False
) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    The temporary file is the block's to make, a temporary folder is there. It is removed when the
    block fails, and ``path`` is then as it was. Modes of a file or folder that is replaced are
    kept; what a link points to is replaced, and the link stays; of a file with several names
    (hard links) the others keep the old content.

    Parameters
    ----------
    path, kind, overwrite, parents
        As in ``check_output``; with ``parents``, folders above are made.

    Raises
    ------
    InputError
        As ``check_output``.
    CheckpointError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    target = check_output(path, kind, overwrite=overwrite, parents=parents)
    temporary = leftovers.beside(target)
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        leftovers.sweep(target.parent)
        if isinstance(kind, FolderKind):
            temporary.mkdir()
        yield temporary
        # From here on all or nothing.
        with held():
            _finish(temporary, path, target, kind, overwrite)
    except GestError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    except RuntimeError as error:
        # HDF5 reports a disk that fills up while a file is closed this way.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise unwritable(path, OSError(errno.ENOSPC, str(error))) from error
    finally:
        leftovers.remove(temporary)


def write_text(
    path: str | Path, text: str, kind: FileKind, *, overwrite: bool = False, parents: bool = False
) -> None:
    """Write text as UTF-8, whole or not at all; see ``replacing``."""
    with replacing(path, kind, overwrite=overwrite, parents=parents) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(
    path: str | Path, content: bytes, kind: FileKind, *, overwrite: bool = False
) -> None:
    """Write bytes, whole or not at all; see ``replacing``."""
    with replacing(path, kind, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def make_folder(path: str | Path) -> None:
    """Make a folder, and those above it, where they are not there yet.

    Raises
    ------
    InputError
        If there can be no such name, or a file has it.
    CheckpointError
        If it may not be made.
    """
    path = Path(path)
    check_name(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"'{path}' cannot be a folder: there is a file of that name.", "Choose another name."
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error


def remove_folder(path: str | Path, kind: FolderKind) -> bool:
    """Remove a folder of this project's own, and tell whether it was one.

    One that is of another kind, or holds files that are not its own, stays as it is.
    """
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        check_replaceable(path, path, kind)
        # One step, so that no half of it is ever taken for the whole.
        spent = leftovers.beside(path)
        os.rename(path, spent)
    except (InputError, OSError):
        return False
    leftovers.remove(spent)
    return True


def _finish(temporary: Path, path: Path, target: Path, kind: Kind, overwrite: bool) -> None:
    swap.keep_modes(temporary, target)
    part = leftovers.within_temporary(target)  # of a folder that is written whole itself
    if not part:
        swap.flush(temporary)
    present = os.path.lexists(target)
    if present and overwrite:
        check_replaceable(path, target, kind)  # it may have changed during the work
    try:
        swap.take_name(temporary, target, overwrite=overwrite and present)
    except FileExistsError as error:
        raise InputError(
            f"'{path}' was made by another program meanwhile and was not replaced.",
            "Choose another name.",
        ) from error
    if not part:
        for record in _records:
            record[path] = None
