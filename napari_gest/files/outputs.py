"""Checks of outputs before any work: names, folders, existing files, and other paths."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import leftovers
from napari_gest.files.kinds import HEAD, FileKind, FolderKind, Kind

_SHOWN = 5  # names of files in a message


@dataclass(frozen=True)
class Output:
    """One output of a command.

    Attributes
    ----------
    option
        Name of the option or parameter that gives the path.
    path
        Where to write.
    kind
        Kind of the output.
    overwrite, parents
        As in ``check_output``.
    """

    option: str
    path: Path
    kind: Kind
    overwrite: bool = False
    parents: bool = False


def check_outputs(
    outputs: Sequence[Output], inputs: Sequence[tuple[str, Path | None]] = ()
) -> None:
    """Raise unless all outputs can be written now and overlap neither each other nor inputs.

    Parameters
    ----------
    outputs
        All outputs of one command.
    inputs
        Option or parameter and path of each input; the path is None if the input is not given.

    Raises
    ------
    InputError
        If two outputs are the same or one lies in the other; if an output is an input, lies in
        one or would replace the folder of one, through links too; or as ``check_output``.
    CheckpointError
        As ``check_output``.
    """
    read = [(option, path) for option, path in inputs if path is not None]
    for path in [*(output.path for output in outputs), *(path for _, path in read)]:
        check_name(path)
    for position, output in enumerate(outputs):
        for other in outputs[:position]:
            if _same(output.path, other.path):
                _refuse(output, f"is the same as {other.option}")
            if _lies_in(output.path, other.path) or _lies_in(other.path, output.path):
                _refuse(output, f"and {other.option} '{other.path}' lie one in the other")
        for option, path in read:
            if _same(output.path, path):
                _refuse(output, f"is the same as {option} '{path}', which is read")
            if _lies_in(output.path, path):
                _refuse(output, f"lies in {option} '{path}', which is read")
            if isinstance(output.kind, FolderKind) and _lies_in(path, output.path):
                _refuse(output, f"is a folder that {option} '{path}' is read from")
    for output in outputs:
        check_output(output.path, output.kind, overwrite=output.overwrite, parents=output.parents)


def check_output(
    path: str | Path, kind: Kind, *, overwrite: bool = False, parents: bool = False
) -> Path:
    """Raise unless ``path`` could be written now, so that long work is not lost at its end.

    Parameters
    ----------
    path
        A file or a folder. The target of a link is written, and the link stays.
    kind
        Kind of the output.
    overwrite
        An existing output may be replaced, if it is of this kind and holds nothing else.
    parents
        Folders above it may be made.

    Returns
    -------
    The path without links.

    Raises
    ------
    InputError
        If the name is impossible, its folder does not exist, or the path exists and must not be
        replaced.
    CheckpointError
        If its folder cannot be written.
    """
    path = Path(path)
    check_name(path)
    target = Path(os.path.realpath(path))
    leftovers.restore(target)
    if os.path.lexists(target):
        if not overwrite:
            raise InputError(
                f"'{path}' exists already.",
                "Choose another name, or allow overwriting (--overwrite on the command line).",
            )
        check_replaceable(path, target, kind)
    folder = target.parent
    if parents:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.", "Create it, or choose another.")
    # os.access is unreliable on Windows and on network drives, so a file is really created.
    probe = leftovers.beside(folder / target.name)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def check_name(path: str | Path) -> None:
    """Raise InputError if no file can have this path, whatever is on the disk."""
    try:
        os.lstat(path)
    except ValueError as error:
        raise InputError(
            f"{str(path)!r} cannot be the name of a file.",
            "Give one without characters that file names cannot have.",
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                f"'{shortened(path)}' is too long for the name of a file.",
                "Give a shorter one; most systems allow 255 bytes.",
            ) from error
        if error.errno in (errno.ELOOP, errno.EINVAL):
            raise InputError(
                f"'{shortened(path)}' cannot be the name of a file ({error.strerror}).",
                "Give another name.",
            ) from error


def check_replaceable(path: Path, target: Path, kind: Kind) -> None:
    """Raise InputError unless what is at ``target`` is of ``kind`` and holds nothing else."""
    other = "Choose another name, or move it away yourself."
    mode = target.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"'{path}' is neither a file nor a folder.", "Choose another name.")
    if stat.S_ISDIR(mode) != isinstance(kind, FolderKind):
        present = "a folder" if stat.S_ISDIR(mode) else "a file"
        raise InputError(f"'{path}' is {present}; {kind.name} does not replace it.", other)
    if isinstance(kind, FileKind):
        if target.stat().st_size and not kind.is_one(_head(path, target)):
            raise InputError(
                f"'{path}' is not {kind.name}, so {kind.name} does not replace it.", other
            )
        return
    if not any(target.iterdir()):
        return
    if not kind.is_one(target):
        raise InputError(f"'{path}' is not {kind.name}, so {kind.name} does not replace it.", other)
    foreign = kind.foreign(target)
    if foreign:
        more = ", ..." if len(foreign) > _SHOWN else ""
        raise InputError(
            f"'{path}' holds files that do not belong to {kind.name} and would be lost:"
            f" {', '.join(foreign[:_SHOWN])}{more}.",
            "Move them elsewhere, or choose another name.",
        )


def unwritable(path: Path, error: OSError) -> CheckpointError:
    """Return the error of a disk as one for users."""
    folder = path.absolute().parent
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
        return CheckpointError(
            f"The disk of '{folder}' is full; '{path.name}' was not written.",
            "Free some space or write to another disk.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CheckpointError(
            f"'{path}' may not be written.",
            "Close it in other programs, or choose a folder you may write to.",
        )
    text = str(error).strip() or type(error).__name__
    return CheckpointError(
        f"'{path}' could not be written ({text.splitlines()[0].rstrip('.')}).",
        "Check the disk, or write to another folder.",
    )


def shortened(path: str | Path) -> str:
    text = str(path)
    return text if len(text) <= 80 else f"{text[:40]}...{text[-30:]}"


def _head(path: Path, target: Path) -> bytes:
    try:
        with target.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise InputError(
            f"'{path}' may not be read, so it cannot be told what would be replaced.",
            "Choose another name, or ask for permission to read it.",
        ) from error


def _refuse(output: Output, why: str) -> None:
    raise InputError(f"{output.option} '{output.path}' {why}.", "Choose another name for it.")


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        if os.path.samefile(one, other):
            return True
    # Some disks treat two spellings as one name, so outputs may not differ in spelling alone.
    first, second = (unicodedata.normalize("NFC", os.path.realpath(p)) for p in (one, other))
    absent = not os.path.lexists(one) and not os.path.lexists(other)
    return first == second or (absent and first.casefold() == second.casefold())


def _lies_in(path: Path, folder: Path) -> bool:
    return any(_same(parent, folder) for parent in Path(os.path.realpath(path)).parents)
