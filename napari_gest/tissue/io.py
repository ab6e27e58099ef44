"""Tissue files: AnnData in .h5ad or .zarr, written whole or not at all."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_gest.errors import GestError, InputError
from napari_gest.files import (
    Draft,
    FileKind,
    FolderKind,
    Output,
    check_name,
    check_outputs,
    held,
    replacing,
    restore,
)
from napari_gest.files.kinds import ignored, peek_json
from napari_gest.memory import give_back
from napari_gest.tissue import probe
from napari_gest.tissue.on_disk import (
    MadeRows,
    copy_to_hdf5,
    copy_to_zarr,
    file_of,
    left_on_disk,
    matrices_on_disk,
    without,
    write_made,
    zarr_format,
)
from napari_gest.tissue.stored import check_hdf5, check_zarr, check_zarr_groups
from napari_gest.tissue.structure import check_structure, from_disk

if TYPE_CHECKING:
    from anndata import AnnData

TISSUE = (".h5ad", ".zarr")
# An X that would take more memory stays on disk and is read section by section.
_BACKED_BYTES = 1_000_000_000

_ELEMENTS = {"X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns", "raw"}
_ZARR_FILES = {".zgroup", ".zattrs", ".zarray", ".zmetadata", "zarr.json"}
# A number for each axis, joined by dots or as folders; of zarr 3 below a folder "c".
_CHUNK = re.compile(r"c|\d+(\.\d+)*")


def read_tissue(path: str | Path, *, lazy: bool = False) -> AnnData:
    """Open a tissue file.

    Parameters
    ----------
    path
        An ``.h5ad`` file or a ``.zarr`` folder. An ``X`` that would take more than 1 GB of memory
        stays on disk until a section is taken from it; ``in_memory`` reads it. All else is read.
    lazy
        Leave every matrix of the file on disk, whatever its size: ``X``, layers, ``obsp`` and
        ``raw``. ``Section.from_anndata(..., lazy=True)`` then reads the rows that a task asks for.

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
            adata = _read_zarr(path, lazy) if path.suffix == ".zarr" else _read_h5ad(path, lazy)
        check_structure(adata)
        give_back()
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


def _read_h5ad(path: Path, lazy: bool) -> AnnData:
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
        lazy = lazy and file.attrs.get("encoding-type") == "anndata"
    if lazy:
        return left_on_disk(h5py.File(path))  # is closed with the last matrix that is in it
    return anndata.read_h5ad(path, backed="r" if large else None)


def _read_zarr(path: Path, lazy: bool) -> AnnData:
    """Read a folder; anndata itself knows no backed one, but takes an X that is on disk."""
    check_zarr(path)
    import anndata
    import zarr

    group = zarr.open_group(path, mode="r")
    check_zarr_groups(group)
    encoded = group.attrs.get("encoding-type") == "anndata"
    if lazy and encoded:
        return left_on_disk(group)
    if not encoded or _bytes_of_x(group) <= _BACKED_BYTES:
        return anndata.read_zarr(group)
    return left_on_disk(group, only_x=True)


def _bytes_of_x(file: Any) -> int:
    """Return the memory that X of an open file takes once it is read; its size on disk is less."""
    x = file.get("X")
    if x is None or hasattr(x, "nbytes"):
        return 0 if x is None else int(x.nbytes)
    return sum(int(x[part].nbytes) for part in ("data", "indices", "indptr"))


def in_memory(adata: AnnData) -> AnnData:
    """Return tissue that can be written to: itself, or a copy of what is open on disk."""
    if adata.isbacked or any(matrices_on_disk(adata)):
        with from_disk("The tissue"):
            whole = adata.to_memory()
        check_structure(whole)
        return whole
    return adata


def write_tissue(
    adata: AnnData,
    path: str | Path,
    *,
    overwrite: bool = False,
    made: Mapping[str, MadeRows] | None = None,
) -> None:
    """Write an AnnData to ``.h5ad`` or ``.zarr``, whole or not at all.

    Parameters
    ----------
    adata
        In memory or on disk; one on disk keeps its own file.
    path
        Where to write; the suffix chooses the format.
    overwrite
        Replace the tissue file that is there.
    made
        Matrices that ``adata`` does not hold, by their place in the file, such as ``layers/new``:
        they are made as they are written, some cells at a time.

    Raises
    ------
    InputError
        If its suffix is neither ``.h5ad`` nor ``.zarr``, or its folder does not exist; if the path
        exists and ``overwrite`` is false, or is no tissue of that format, or holds other files
        too; if it is the file that ``adata`` is read from; or if ``adata`` holds values that no
        such file can.
    CheckpointError
        If the disk is full or the folder cannot be written. Nothing is left behind, and a file
        that was there before is unchanged.
    """
    import h5py
    from anndata import settings
    from anndata.io import write_elem, write_zarr

    path = Path(path)
    kind = kind_of(path)
    check_outputs([Output("path", path, kind, overwrite)], [("the open tissue", source_of(adata))])
    # anndata does not write pandas' text that may be missing unless it is allowed to.
    text = settings.override(allow_write_nullable_strings=True)
    stored = {} if adata.isbacked else dict(matrices_on_disk(adata))
    held_here = without(adata, stored) if stored else adata
    # Neither HDF5 nor zarr's threads may be broken off.
    with replacing(path, kind, overwrite=overwrite) as temporary, held(), text, _storable(path):
        if path.suffix == ".zarr":
            with warnings.catch_warnings():
                # Which of zarr's formats is the default is no concern of users'.
                warnings.filterwarnings("ignore", message="Writing zarr v2")
                warnings.filterwarnings("ignore", message="Consolidated metadata")
                with _storable(path), settings.override(zarr_write_format=zarr_format(stored)):
                    write_zarr(temporary, held_here)
                    copy_to_zarr(stored, temporary)
                    if stored or made:
                        _add_to_zarr(made or {}, temporary)
            return
        with Draft(temporary) as draft:
            try:
                with h5py.File(draft, "w") as file:
                    light = {"compression": "gzip", "compression_opts": 1}
                    with _storable(path):
                        write_elem(file, "/", held_here, dataset_kwargs=light)
                        copy_to_hdf5(stored, file)
                        write_made(made or {}, file)
                    # anndata stores that there is no raw, and trips over it in backed mode.
                    if adata.raw is None and "raw" in file:
                        del file["raw"]
            finally:
                # Comes before whatever HDF5 makes of bytes that were not kept.
                draft.check()


def _add_to_zarr(made: Mapping[str, MadeRows], folder: Path) -> None:
    """Write matrices to a zarr folder, and what it holds to its metadata."""
    import zarr

    write_made(made, zarr.open_group(folder, mode="r+", use_consolidated=False))
    zarr.consolidate_metadata(folder)


@contextmanager
def _storable(path: Path) -> Iterator[None]:
    """Raise InputError where tissue holds what anndata cannot write, and say where.

    Errors of the disk are left to ``replacing``.
    """
    try:
        yield
    except (GestError, MemoryError, OSError):
        raise
    except Exception as error:
        odd = isinstance(error, NotImplementedError | RecursionError)
        if isinstance(error, RuntimeError) and not odd:  # HDF5's own
            raise
        notes = " ".join(getattr(error, "__notes__", [str(error)]))
        # The innermost key comes first. It may be no text.
        place = re.search(r"writing key (.+?) of <.*?> to (/\S*)", notes)
        entry = place and PurePosixPath(place[2], place[1].strip("'"))  # a whole path stays one
        where = f"'{str(entry).strip('/')}' of " if entry else ""
        raise InputError(
            f"{where}the tissue cannot be written to '{path.name}' ({_first_line(error)}).",
            "Remove that entry, or turn it into numbers or text.",
        ) from error


def kind_of(path: Path) -> FileKind | FolderKind:
    """Return what a tissue file of this name is; raise InputError if it is named otherwise."""
    check_suffix(path)
    return H5AD if path.suffix == ".h5ad" else ZARR


def source_of(adata: AnnData) -> Path | None:
    """Return the file or folder that tissue on disk is read from, None of tissue in memory."""
    if adata.isbacked:
        return Path(adata.filename)
    return next((file_of(matrix) for _, matrix in matrices_on_disk(adata)), None)


def _is_anndata_zarr(folder: Path) -> bool:
    for name in ("zarr.json", ".zattrs"):
        about = peek_json(folder / name)
        if isinstance(about, dict):
            attributes = about.get("attributes", about)
            return isinstance(attributes, dict) and attributes.get("encoding-type") == "anndata"
    return False


def _not_zarr(folder: Path, within: str = "") -> list[str]:
    """Return what is in an AnnData folder and is neither AnnData's nor zarr's, by path in it."""
    found = []
    about = peek_json(folder / "zarr.json")
    array = (folder / ".zarray").is_file() or (about or {}).get("node_type") == "array"
    for entry in sorted(folder.iterdir()):
        if ignored(entry) or entry.name in _ZARR_FILES:
            continue
        if array:
            found += [within + name for name in _not_chunks(entry)]
        elif any((entry / file).is_file() for file in _ZARR_FILES) and (
            within or entry.name in _ELEMENTS
        ):
            found += _not_zarr(entry, f"{within}{entry.name}/")
        else:
            found.append(within + entry.name)
    return found


def _not_chunks(entry: Path) -> list[str]:
    if not _CHUNK.fullmatch(entry.name):
        return [entry.name]
    if not entry.is_dir():
        return []
    inside = [name for one in sorted(entry.iterdir()) for name in _not_chunks(one)]
    return [f"{entry.name}/{name}" for name in inside]


H5AD = FileKind("an .h5ad file", lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"))
ZARR = FolderKind("a .zarr folder with an AnnData", _is_anndata_zarr, _not_zarr)


def check_input(path: Path) -> None:
    """Raise InputError unless there is something at ``path`` and it is named like tissue."""
    check_suffix(path)
    check_name(path)
    restore(path)
    if not path.exists():
        raise InputError(f"There is no file '{path}'.", "Check the path and its spelling.")


def check_suffix(path: Path) -> None:
    """Raise InputError unless ``path`` is named like a tissue file."""
    if path.suffix not in TISSUE:
        raise InputError(
            f"'{path.name}' is neither an .h5ad file nor a .zarr folder.",
            "Give an AnnData as .h5ad or .zarr.",
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
