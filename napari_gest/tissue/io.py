"""Tissue files: AnnData in .h5ad or .zarr, written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from scipy import sparse

from napari_gest.errors import CheckpointError, InputError
from napari_gest.tissue import probe
from napari_gest.tissue.stored import check_hdf5, check_zarr, check_zarr_groups
from napari_gest.tissue.structure import check_structure

if TYPE_CHECKING:
    from anndata import AnnData

TISSUE = (".h5ad", ".zarr")
# An X that would take more memory stays on disk and is read section by section.
_BACKED_BYTES = 1_000_000_000


def read_tissue(path: str | Path) -> AnnData:
    """Open a tissue file.

    Parameters
    ----------
    path
        An ``.h5ad`` file or a ``.zarr`` folder. An ``X`` that would take more than 1 GB of memory
        stays on disk until a section is taken from it; ``in_memory`` reads it. All else is read.

    Raises
    ------
    InputError
        If the path does not exist, has another suffix or is no readable AnnData.
    """
    path = Path(path)
    check_input(path)
    try:
        with warnings.catch_warnings():
            # Duplicated names are refused with a remedy when a section is taken.
            warnings.filterwarnings("ignore", message=".*names are not unique")
            adata = _read_zarr(path) if path.suffix == ".zarr" else _read_h5ad(path)
        check_structure(adata)
        return adata
    except InputError as error:
        raise InputError(f"'{path}' cannot be read. {error.cause}", error.remedy) from error
    except PermissionError as error:
        raise InputError(
            f"'{path}' may not be read.", "Ask for permission to read it, or copy it elsewhere."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"There is not enough memory to read '{path}', or it is damaged.",
            "Close other programs, or make a file of fewer cells.",
        ) from error
    except Exception as error:  # h5py, zarr and anndata each raise their own kinds
        raise InputError(
            f"'{path}' is not a readable AnnData file ({_first_line(error)}).",
            "Check that it was copied completely and was written by anndata or scanpy.",
        ) from error


def _read_h5ad(path: Path) -> AnnData:
    with path.open("rb"):  # a file that may not be read is not the child's to tell
        probed = probe.ask(path)
    try:
        import anndata  # takes longer than the child
        import h5py
    finally:
        probed.wait()
    with h5py.File(path) as file:
        check_hdf5(file, path)
        large = _bytes_of_x(file) > _BACKED_BYTES
    return anndata.read_h5ad(path, backed="r" if large else None)


def _read_zarr(path: Path) -> AnnData:
    """Read a folder; anndata itself knows no backed one, but takes an X that is on disk."""
    check_zarr(path)
    import anndata
    import zarr
    from anndata.io import read_elem, sparse_dataset

    group = zarr.open_group(path, mode="r")
    check_zarr_groups(group)
    encoded = group.attrs.get("encoding-type") == "anndata"
    if not encoded or _bytes_of_x(group) <= _BACKED_BYTES:
        return anndata.read_zarr(group)
    x = group["X"]
    rest = {key: read_elem(group[key]) for key in group if key != "X"}
    return anndata.AnnData(x if isinstance(x, zarr.Array) else sparse_dataset(x), **rest)


def _bytes_of_x(file: Any) -> int:
    """Return the memory that X of an open file takes once it is read; its size on disk is less."""
    x = file.get("X")
    if x is None or hasattr(x, "nbytes"):
        return 0 if x is None else int(x.nbytes)
    return sum(int(x[part].nbytes) for part in ("data", "indices", "indptr"))


def in_memory(adata: AnnData) -> AnnData:
    """Return tissue that can be written to: itself, or a copy of what is open on disk."""
    if adata.isbacked or not (
        adata.X is None or isinstance(adata.X, np.ndarray) or sparse.issparse(adata.X)
    ):
        whole = adata.to_memory()
        check_structure(whole)
        return whole
    return adata


def write_tissue(adata: AnnData, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an AnnData to ``.h5ad`` or ``.zarr``, whole or not at all.

    Parameters
    ----------
    adata
        In memory or on disk; one on disk keeps its own file.
    path
        Where to write; the suffix chooses the format.
    overwrite
        Replace what is there.

    Raises
    ------
    InputError
        If the path exists and ``overwrite`` is false, its folder does not exist, or its suffix
        is neither ``.h5ad`` nor ``.zarr``.
    CheckpointError
        If the disk is full or the folder cannot be written. Nothing is left behind, and a file
        that was there before is unchanged.
    """
    import h5py
    from anndata.io import write_elem, write_zarr

    path = Path(path)
    check_suffix(path)
    with replacing(path, overwrite=overwrite) as temporary:
        if path.suffix == ".zarr":
            with warnings.catch_warnings():
                # Which of zarr's formats is the default is no concern of users'.
                warnings.filterwarnings("ignore", message="Writing zarr v2")
                write_zarr(temporary, adata)
            return
        with _Draft(temporary) as draft:
            try:
                with h5py.File(draft, "w") as file:
                    light = {"compression": "gzip", "compression_opts": 1}
                    write_elem(file, "/", adata, dataset_kwargs=light)
                    # anndata stores that there is no raw, and trips over it in backed mode.
                    if adata.raw is None and "raw" in file:
                        del file["raw"]
            finally:
                # Comes before whatever HDF5 makes of bytes that were not kept.
                draft.check()


def check_input(path: Path) -> None:
    """Raise InputError unless there is something at ``path`` and it is named like tissue."""
    check_suffix(path)
    if not path.exists():
        raise InputError(f"There is no file '{path}'.", "Check the path and its spelling.")


def check_suffix(path: Path) -> None:
    """Raise InputError unless ``path`` is named like a tissue file."""
    if path.suffix not in TISSUE:
        raise InputError(
            f"'{path.name}' is neither an .h5ad file nor a .zarr folder.",
            "Give an AnnData as .h5ad or .zarr.",
        )


def check_output(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise unless ``path`` could be written now, so that long work is not lost at its end.

    Raises
    ------
    InputError
        If the path exists and ``overwrite`` is false, or its folder does not exist.
    CheckpointError
        If its folder cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(
            f"'{path}' exists already.",
            "Choose another name, or allow overwriting (--overwrite on the command line).",
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.", "Create it, or choose another.")
    # os.access says little on Windows and on network drives, so really create something.
    probe = folder / f".{path.name}-{uuid4().hex[:8]}.tmp"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    The temporary file or folder is removed when the block fails. Errors of the disk become
    CheckpointError; see ``write_tissue``.
    """
    check_output(path, overwrite=overwrite)
    # In the same folder, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.stem}-{uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        _move(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    except RuntimeError as error:
        # HDF5 reports a disk that fills up while a file is closed this way.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise _unwritable(path, OSError(errno.ENOSPC, str(error))) from error
    finally:
        _remove(temporary)


class _Draft(FileIO):
    """A file that HDF5 writes to and that keeps the disk's first error to itself.

    HDF5 does not survive a full disk: what it cannot flush it tries again whenever an object is
    freed, prints an error each time and can crash the interpreter. So it is told that all went
    well, and ``check`` tells us.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        done = 0
        while self.error is None and done < size:
            try:
                done += super().write(memoryview(data)[done:]) or 0
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def flush(self) -> None:
        # A raw file has nothing to flush.
        return

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error


def _move(temporary: Path, path: Path) -> None:
    if not (path.is_dir() or (temporary.is_dir() and path.exists())):
        os.replace(temporary, path)
        return
    # No system replaces a folder in one step: set the old one aside until the new one stands.
    aside = path.with_name(f".{path.stem}-{uuid4().hex[:8]}.old{path.suffix}")
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        # A handle that HDF5 still holds forbids removal on Windows; the first error matters more.
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return


def _unwritable(path: Path, error: OSError) -> CheckpointError:
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
    return CheckpointError(
        f"'{path}' could not be written ({_first_line(error)}).",
        "Check the disk, or write to another folder.",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
