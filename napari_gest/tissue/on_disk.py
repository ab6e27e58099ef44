"""Matrices that stay in their file: how they are opened, found again and copied to another file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from napari_gest.memory import give_back
from napari_gest.tissue.structure import COMPRESSED, check_stored, from_disk

if TYPE_CHECKING:
    from anndata import AnnData

_SLOTS = ("layers", "obsp")  # beside X and raw, that may hold as much as X does
_SPARSE = tuple(f"{form}_matrix" for form in COMPRESSED)
_AT_ONCE = 4_000_000  # numbers of a matrix that are copied at a time
_CHUNK = 500_000  # numbers of a matrix that is made


def left_on_disk(group: Any, *, only_x: bool = False) -> AnnData:
    """Return the tissue of an open file with its matrices where they are.

    Parameters
    ----------
    group
        The root of an AnnData in HDF5 or zarr, already checked (``stored.check_hdf5``,
        ``check_zarr``).
    only_x
        Leave X alone on disk.

    Raises
    ------
    InputError
        If the row pointers of a matrix are not sound. Its indices are checked as they are read.
    """
    import anndata
    from anndata.io import read_elem

    held: dict[str, Any] = {}
    for key in group:
        if key == "X":
            continue
        if only_x or not hasattr(group[key], "keys"):
            held[key] = read_elem(group[key])
        elif key in _SLOTS:
            held[key] = {name: _left(group[key][name]) for name in group[key]}
        elif key == "raw":
            held[key] = {
                name: _left(group[key][name]) if name == "X" else read_elem(group[key][name])
                for name in group[key]
            }
        else:
            held[key] = read_elem(group[key])
    return anndata.AnnData(_left(group["X"]) if "X" in group else None, **held)


def _left(stored: Any) -> Any:
    """Return a matrix that is still in its file, or what else is there, read."""
    from anndata.io import read_elem, sparse_dataset

    if hasattr(stored, "keys"):
        if stored.attrs.get("encoding-type") not in _SPARSE:
            return read_elem(stored)
        matrix = sparse_dataset(stored)
        n_major = matrix.shape[0 if matrix.format == "csr" else 1]
        check_stored(stored, n_major, stored.name.strip("/"))
        return matrix
    numbers = stored.shape is not None and len(stored.shape) == 2 and stored.dtype.kind in "biuf"
    return stored if numbers else read_elem(stored)


def is_on_disk(matrix: Any) -> bool:
    """Whether a matrix of an AnnData is still in its file, sparse or dense."""
    here = matrix is None or isinstance(matrix, np.ndarray) or sparse.issparse(matrix)
    return not here and (hasattr(matrix, "group") or _is_array(matrix))


def _is_array(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("h5py", "zarr")


def matrices_on_disk(adata: AnnData) -> Iterator[tuple[str, Any]]:
    """Yield the path in the file and the matrix of all that ``adata`` leaves on disk."""
    if is_on_disk(adata.X):
        yield "X", adata.X
    for slot in _SLOTS:
        for key, matrix in getattr(adata, slot).items():
            if key is not None and is_on_disk(matrix):  # anndata 0.13 counts X among the layers
                yield f"{slot}/{key}", matrix
    if not adata.isbacked and adata.raw is not None and is_on_disk(adata.raw.X):
        yield "raw/X", adata.raw.X


def stored_in(matrix: Any) -> Any:
    """Return the group of a sparse matrix on disk, or the array of a dense one."""
    return getattr(matrix, "group", matrix)


def file_of(matrix: Any) -> Path | None:
    """Return the file or folder that a matrix on disk is in."""
    stored = stored_in(matrix)
    if hasattr(stored, "file"):
        return Path(stored.file.filename)
    store = getattr(stored, "store", None)
    root = getattr(store, "root", None) or getattr(store, "path", None)
    return None if root is None else Path(root)


def opened_at(file: Path, place: str) -> Any:
    """Return a matrix at a place in a file, as anndata leaves it on disk; opens the file anew."""
    if file.suffix == ".zarr":
        import zarr

        return _left(zarr.open_group(file, mode="r")[place.strip("/")])
    import h5py

    return _left(h5py.File(file)[place])


def without(adata: AnnData, stored: Mapping[str, Any]) -> AnnData:
    """Return ``adata`` less the matrices that are on disk, by the path of each; no value is copied.

    Of a raw whose X is on disk nothing stays: it is copied as a whole.
    """
    import anndata

    def rest(slot: str) -> dict[str, Any]:
        held = getattr(adata, slot)
        return {k: v for k, v in held.items() if k is not None and f"{slot}/{k}" not in stored}

    raw = None
    if adata.raw is not None and "raw/X" not in stored:
        raw = {name: getattr(adata.raw, name) for name in ("X", "var", "varm")}
    made = anndata.AnnData(
        None if "X" in stored else adata.X,
        obs=adata.obs,
        var=adata.var,
        uns=adata.uns,
        raw=raw,
        **{slot: rest(slot) for slot in ("obsm", "varm", "layers", "obsp", "varp")},
    )
    give_back()  # anndata's look for repeated names takes 45 bytes a cell
    return made


def zarr_format(stored: Mapping[str, Any]) -> int:
    """Return the format of zarr that a copy of these matrices has; anndata's own if none is zarr.

    Folders are copied as they are, and one file is in one format.
    """
    from anndata import settings

    for matrix in stored.values():
        about = getattr(stored_in(matrix), "metadata", None)
        if about is not None:
            return int(about.zarr_format)
    return int(settings.zarr_write_format)


class MadeRows(Protocol):
    """A CSR matrix that is made as it is written."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def blocks(self) -> Iterator[sparse.csr_matrix]:
        """Yield all rows, some at a time."""


def write_made(made: Mapping[str, MadeRows], root: Any) -> None:
    """Write matrices to their paths in an open file, HDF5 or zarr, block by block."""
    for path, matrix in made.items():
        group = root.create_group(path)
        about = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}
        group.attrs.update(about)
        group.attrs["shape"] = list(matrix.shape)
        data, indices, ends = (
            _Growing(_endless(group, name, dtype))
            for name, dtype in (
                ("data", matrix.dtype),
                ("indices", np.int32),
                ("indptr", np.int64),
            )
        )
        n = 0
        ends.add(np.zeros(1, np.int64))
        for block in matrix.blocks():
            data.add(block.data)
            indices.add(block.indices)
            ends.add(block.indptr[1:].astype(np.int64) + n)
            n += block.nnz
        for part in (data, indices, ends):
            part.write()


class _Growing:
    """An array in a file that grows by whole chunks: one that is written twice is packed twice."""

    def __init__(self, stored: Any) -> None:
        self._stored, self._waiting, self._n = stored, np.empty(_CHUNK, stored.dtype), 0

    def add(self, values: NDArray[Any]) -> None:
        while len(values):
            some = values[: _CHUNK - self._n]
            self._waiting[self._n : self._n + len(some)] = some
            self._n, values = self._n + len(some), values[len(some) :]
            if self._n == _CHUNK:
                self.write()

    def write(self) -> None:
        """Write what waits to the end of the array."""
        start = self._stored.shape[0]
        self._stored.resize((start + self._n,))
        self._stored[start:] = self._waiting[: self._n]
        self._n = 0


def _endless(group: Any, name: str, dtype: DTypeLike) -> Any:
    """Make an empty array in a file that can grow."""
    about: dict[str, Any] = {"shape": (0,), "dtype": dtype}
    if hasattr(group, "file"):
        light = {"compression": "gzip", "compression_opts": 1}
        made = group.create_dataset(name, **about, **light, maxshape=(None,), chunks=(100_000,))
    else:
        made = group.create_array(name, **about, chunks=(_CHUNK,))
    made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return made


def copy_to_zarr(stored: Mapping[str, Any], folder: Path) -> None:
    """Copy matrices on disk into an AnnData that was written to a zarr folder.

    What comes from zarr is copied file by file, so no value is read.
    """
    import zarr

    for path, matrix in _whole_raw(stored):
        target = folder / path
        if hasattr(matrix, "store"):
            source = file_of(matrix)
            assert source is not None
            if target.exists():
                shutil.rmtree(target)
            shutil.copytree(source / matrix.path, target)
        else:
            _copy(matrix, zarr.open_group(folder, mode="r+", use_consolidated=False), path)


def copy_to_hdf5(stored: Mapping[str, Any], file: Any) -> None:
    """Copy matrices on disk into an AnnData that was written to an open HDF5 file.

    What comes from HDF5 is copied as it is packed.
    """
    for path, matrix in _whole_raw(stored):
        if path in file:
            del file[path]
        if hasattr(matrix, "file"):
            matrix.file.copy(matrix, file, path)
        else:
            _copy(matrix, file, path)


def _whole_raw(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield groups and arrays of files by path; where X of raw is one, all of raw."""
    for path, matrix in stored.items():
        inside = stored_in(matrix)
        if path != "raw/X":
            yield path, inside
        elif hasattr(inside, "file"):
            yield "raw", inside.parent
        else:
            import zarr

            yield "raw", zarr.open_group(inside.store, path="raw", mode="r")


def _copy(source: Any, target: Any, path: str) -> None:
    """Copy a group or array of one format to ``path`` of a file in the other, block by block."""
    from anndata.io import read_elem, write_elem

    if hasattr(source, "keys"):
        if path in target:
            del target[path]
        group = target.create_group(path)
        for name, value in source.attrs.items():
            group.attrs[name] = value.tolist() if hasattr(value, "tolist") else value
        for name in source:
            _copy(source[name], target, f"{path}/{name}")
        return
    if source.dtype.kind not in "biuf" or not source.shape or not all(source.shape):
        write_elem(target, path, read_elem(source))
        return
    rows = max(_AT_ONCE // int(np.prod(source.shape[1:])), 1)
    most = (min(rows, 100_000), 1_000)
    about: dict[str, Any] = {
        "shape": source.shape,
        "dtype": source.dtype,
        "chunks": tuple(min(pair) for pair in zip(source.shape, most, strict=False)),
    }
    if hasattr(target, "file"):
        made = target.create_dataset(path, **about, compression="gzip", compression_opts=1)
    else:
        made = target.create_array(path, **about)
    for name, value in source.attrs.items():
        made.attrs[name] = value
    for start in range(0, source.shape[0], rows):
        with from_disk(path):
            block = source[start : start + rows]
        made[start : start + rows] = block
