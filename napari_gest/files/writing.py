"""Writing: to a temporary path that is renamed to the output once it is complete."""

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
    """Yield a dict whose keys are the outputs completed inside the block, in order.

    A program that is stopped early can then say which outputs exist already.
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
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    The block creates a temporary file itself; a temporary folder exists already. When the block
    fails, the temporary path is removed and ``path`` is unchanged. A replaced file or folder
    keeps its modes. If ``path`` is a link, its target is replaced and the link stays. If a file
    has several names (hard links), the other names keep the old content.

    Parameters
    ----------
    path, kind, overwrite, parents
        As in ``check_output``; with ``parents``, missing folders above are created.

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
    """Write text as UTF-8, completely or not at all; see ``replacing``."""
    with replacing(path, kind, overwrite=overwrite, parents=parents) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(
    path: str | Path, content: bytes, kind: FileKind, *, overwrite: bool = False
) -> None:
    """Write bytes, completely or not at all; see ``replacing``."""
    with replacing(path, kind, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def make_folder(path: str | Path) -> None:
    """Create a folder, and those above it, unless they exist.

    Raises
    ------
    InputError
        If the name is impossible, or belongs to a file.
    CheckpointError
        If the folder may not be created.
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
    """Remove a folder of ``kind``, and return whether it was removed.

    A folder of another kind, or one that holds other files too, is left unchanged.
    """
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        check_replaceable(path, path, kind)
        # Renamed first, so that a partly removed folder is never mistaken for a complete one.
        spent = leftovers.beside(path)
        os.rename(path, spent)
    except (InputError, OSError):
        return False
    leftovers.remove(spent)
    return True


def _finish(temporary: Path, path: Path, target: Path, kind: Kind, overwrite: bool) -> None:
    swap.keep_modes(temporary, target)
    part = leftovers.within_temporary(target)  # part of a folder that is itself replaced
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
