"""Checks that sparse matrices are sound, before compiled code that trusts them reads them.

SciPy follows the row pointers and column indices of a matrix without checking that they are in
range. With a damaged matrix it writes over the memory of the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.errors import GestError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

COMPRESSED = ("csr", "csc")
_REMEDY = "The file is damaged or was written wrongly: copy it again, or write it with anndata."


def check_pointers(
    indptr: NDArray[Any], n_indices: int, n_data: int, n_major: int, name: str
) -> None:
    """Raise InputError unless ``indptr`` cuts ``n_indices`` stored values into rows.

    Parameters
    ----------
    indptr
        (n_major + 1,) where each row of a CSR, or column of a CSC matrix, begins.
    n_indices, n_data
        Lengths of the two other parts.
    n_major
        Rows of a CSR, or columns of a CSC matrix.
    name
        Name of the matrix in errors.
    """
    if indptr.ndim != 1 or indptr.dtype.kind not in "iu":
        raise _unsound(name, f"its indptr is a {indptr.ndim}-D array of {indptr.dtype}")
    if n_indices != n_data:
        raise _unsound(name, f"it has {n_indices} indices for {n_data} values")
    if len(indptr) != n_major + 1:
        raise _unsound(name, f"its indptr has {len(indptr)} entries for {n_major} rows or columns")
    if indptr[0] != 0 or indptr[-1] != n_indices or (indptr[1:] < indptr[:-1]).any():
        raise _unsound(name, f"its indptr does not rise from 0 to {n_indices}")


def check_indices(indices: NDArray[Any], n_minor: int, name: str) -> None:
    """Raise InputError unless all ``indices`` (nnz,), integers, are in 0 to ``n_minor`` - 1."""
    if not indices.size:
        return
    # One pass instead of two: read as unsigned, negative indices are the largest.
    native = indices.dtype.isnative and indices.flags.aligned
    seen = indices.view(f"u{indices.dtype.itemsize}") if native else indices
    if int(seen.max()) >= n_minor or (not native and int(indices.min()) < 0):
        raise _unsound(name, f"an index lies outside 0 to {n_minor - 1}")


def check_sparse(matrix: Any, name: str) -> None:
    """Raise InputError unless a SciPy matrix in memory is a sound CSR or CSC matrix.

    Takes one pass over its indices and one over its row pointers; values are not read.
    """
    check_rows(matrix, name)
    check_indices(matrix.indices, matrix.shape[1 if matrix.format == "csr" else 0], name)


def unify_index(matrix: Any) -> None:
    """Bring the row pointers and indices of a sound matrix to one type that SciPy works with.

    SciPy takes parts of two types, as some programs write them, and fails once rows are picked.
    """
    types = [getattr(matrix, part).dtype for part in ("indptr", "indices")]
    usable = (np.dtype(np.int32), np.dtype(np.int64))
    if types[0] == types[1] and types[0] in usable:
        return
    most = max(matrix.nnz, *matrix.shape)
    wanted = np.int32 if most <= np.iinfo(np.int32).max else np.int64
    for part in ("indptr", "indices"):
        setattr(matrix, part, getattr(matrix, part).astype(wanted, copy=False))


def check_rows(matrix: Any, name: str) -> None:
    """Raise InputError unless rows of a CSR, or columns of a CSC matrix, can be taken safely."""
    if matrix.format not in COMPRESSED:
        raise InputError(
            f"{name} is a sparse matrix in the format '{matrix.format}'.",
            "Convert it with .tocsr() first.",
        )
    for part in ("data", "indices"):
        array = getattr(matrix, part)
        if array.ndim != 1 or (part == "indices" and array.dtype.kind not in "iu"):
            raise _unsound(name, f"its {part} are a {array.ndim}-D array of {array.dtype}")
    n_major = matrix.shape[0 if matrix.format == "csr" else 1]
    check_pointers(matrix.indptr, matrix.indices.size, matrix.data.size, n_major, name)


def check_stored(group: Any, n_major: int, name: str) -> None:
    """Raise InputError unless the row pointers of a matrix in an open file are sound.

    Parameters
    ----------
    group
        HDF5 or zarr group with the arrays data, indices and indptr.
    n_major, name
        As in ``check_pointers``. The indices are checked later, block by block.
    """
    shapes = [tuple(group[part].shape) for part in ("indices", "data")]
    if any(len(shape) != 1 for shape in shapes):
        raise _unsound(name, f"its indices and values have the shapes {shapes}")
    check_pointers(group["indptr"][...], shapes[0][0], shapes[1][0], n_major, name)


@contextmanager
def from_disk(name: str) -> Iterator[None]:
    """Turn exceptions of h5py, zarr and codecs during reading into an InputError."""
    try:
        yield
    except (GestError, MemoryError):
        raise
    except Exception as error:  # each library has its own exceptions
        raise InputError(f"{name} cannot be read from its file ({error}).", _REMEDY) from error


def check_structure(adata: AnnData) -> None:
    """Raise InputError unless every sparse matrix of ``adata`` that is in memory is sound.

    Their arrays are converted to types that SciPy can use; the numbers stay the same.
    """
    for name, matrix in _matrices(adata):
        check_sparse(matrix, name)
        unify_index(matrix)
        if not matrix.data.dtype.isnative:
            matrix.data = matrix.data.astype(matrix.data.dtype.newbyteorder("="))
    # anndata checks the shapes of all but this one.
    raw = adata.raw if not adata.isbacked else None
    if raw is not None and raw.X is not None and raw.X.shape != (adata.n_obs, len(raw.var)):
        raise _unsound("raw.X", f"its shape is {raw.X.shape} for {adata.n_obs} cells")


def _matrices(adata: AnnData) -> Iterator[tuple[str, Any]]:
    if not adata.isbacked:
        yield from _within({"X": adata.X, "raw.X": None if adata.raw is None else adata.raw.X})
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        yield from _within(getattr(adata, slot), f"{slot}/")
    if adata.raw is not None and not adata.isbacked:
        yield from _within(adata.raw.varm, "raw.varm/")


def _within(held: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in held.items():
        if sparse.issparse(value):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _within(value, f"{prefix}{key}/")


def _unsound(name: str, why: str) -> InputError:
    return InputError(f"The sparse matrix {name} is not sound: {why}.", _REMEDY)
