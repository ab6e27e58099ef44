"""Rows of an expression matrix as CSR float32, from memory or, block by block, from its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.errors import InputError, ReadingError
from napari_gest.memory import give_back
from napari_gest.tissue.expression import (
    check_linear,
    check_logarithms,
    check_values,
    undo_log,
    without_damage,
)
from napari_gest.tissue.on_disk import file_of, is_on_disk, opened_at, stored_in
from napari_gest.tissue.reading import ExpressionScale, where
from napari_gest.tissue.structure import (
    COMPRESSED,
    check_indices,
    check_rows,
    check_sparse,
    check_stored,
    from_disk,
    unify_index,
)

# Rows read from disk at a time, and rows between two that are wanted which are read along.
BLOCK, _GAP = 65_536, 256
# Values read from disk at a time at most, about; and cells that tasks take of them at a time.
_BLOCK_VALUES, STEP = 4_000_000, 4096
# Rows that tell what stored values are, in so many runs over all of the section.
_JUDGED, _RUNS = 20_000, 20


def take_rows(values: Any, rows: NDArray[np.int64], name: str) -> sparse.csr_matrix:
    """Return rows (ascending) of a matrix, in memory or on disk, as CSR float32.

    What is sparse is checked before any of it is used; ``name`` is what errors call it.
    """
    values = numeric(values)
    stored = getattr(values, "group", None)  # of a sparse matrix that anndata left on disk
    if stored is not None and values.format == "csc":
        # Rows of columns on disk would each read everything.
        with from_disk(name):
            check_stored(stored, values.shape[1], name)
            values = values.to_memory()
        values = numeric(values)
    if sparse.issparse(values):
        # Rows of a CSR matrix are copied without a look at their indices, columns are not.
        (check_rows if values.format == "csr" else check_sparse)(values, name)
        values = _one_index(values)
    whole = len(rows) == values.shape[0]
    if isinstance(values, np.ndarray) or sparse.issparse(values):
        return _float32(values if whole else values[rows], name)
    return StoredMatrix(values, name).take(rows)


def can_stay(values: Any) -> bool:
    """Whether rows of a matrix can be read from its file: it is there, and not by columns."""
    return is_on_disk(values) and getattr(values, "format", "csr") == "csr"


def reader(values: Any, name: str) -> Callable[[slice], sparse.csr_matrix]:
    """Return what reads rows of a matrix as CSR float32, from its file where they can stay there.

    ``name`` is what errors call it.
    """
    if can_stay(values):
        matrix = StoredMatrix(values, name)
        return lambda part: matrix.read(part.start, part.stop)
    n = values.shape[0]
    whole = take_rows(values, np.arange(n), name)
    return lambda part: whole if part.stop - part.start == n else whole[part]


class StoredMatrix:
    """A matrix on disk of which rows are read: CSR or dense, in HDF5 or zarr.

    Parameters
    ----------
    values
        As anndata leaves it on disk.
    name
        What errors call it.

    Raises
    ------
    InputError
        If its row pointers are not sound, or it is not numeric. Indices are checked as they are
        read.
    """

    def __init__(self, values: Any, name: str) -> None:
        values = numeric(values)
        self.name, self.shape = name, tuple(int(side) for side in values.shape)
        self._stored = stored_in(values)
        self._ends: NDArray[np.int32] | NDArray[np.int64] | None = None
        if hasattr(self._stored, "keys"):
            with from_disk(name):
                check_stored(self._stored, self.shape[0], name)
                ends = self._stored["indptr"][...]
                few = not len(ends) or ends[-1] <= np.iinfo(np.int32).max
                self._ends = ends.astype(np.int32 if few else np.int64)

    def __reduce__(self) -> tuple[Any, tuple[str, str, str, int]]:
        """Travel as the place of the file: no two processes share what one has opened."""
        file = file_of(self._stored)
        return _reopened, (str(file), str(self._stored.name), self.name, _changed(file))

    @property
    def most_rows(self) -> int:
        """Rows read at a time: a whole number of steps, so that tasks see the same ones."""
        n_rows, n_columns = self.shape
        a_row = n_columns if self._ends is None else self._ends[-1] / max(n_rows, 1)
        steps = int(_BLOCK_VALUES / max(a_row, 1)) // STEP
        return STEP * max(min(steps, BLOCK // STEP), 1)

    def n_values(self, rows: NDArray[np.int64]) -> int:
        """Return how many values are stored for these rows (n,), zeros among them."""
        if self._ends is None:
            return len(rows) * self.shape[1]
        return int((self._ends[rows + 1] - self._ends[rows]).sum())

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return the rows from ``start`` to ``stop`` as CSR float32."""
        with from_disk(self.name):
            if self._ends is None:
                block = self._stored[start:stop]
            else:
                ends = self._ends[start : stop + 1]
                part = slice(int(ends[0]), int(ends[-1]))
                indices, data = self._stored["indices"][part], self._stored["data"][part]
                check_indices(indices, self.shape[1], self.name)
                shape = (stop - start, self.shape[1])
                if indices.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
                    indices = indices.astype(np.int64)
                block = sparse.csr_matrix((_native(data), indices, ends - ends[0]), shape=shape)
        return _float32(numeric(block), self.name)

    def take(self, rows: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return rows (n,) in any order as CSR float32; near ones are read together."""
        ascending = bool((np.diff(rows) > 0).all())
        wanted, place = (rows, rows) if ascending else np.unique(rows, return_inverse=True)
        blocks = (
            block if len(run) == block.shape[0] else block[run - run[0]]
            for run in self._runs(wanted)
            for block in [self.read(int(run[0]), int(run[-1]) + 1)]
        )
        n_values = None if self._ends is None else self.n_values(wanted)
        whole = _stacked(blocks, (len(wanted), self.shape[1]), n_values)
        return whole if ascending else whole[place]

    def _runs(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield ascending rows in runs that are read at once."""
        most = self.most_rows
        cut = np.flatnonzero(np.diff(rows) > _GAP) + 1
        for run in np.split(rows, cut) if len(rows) else []:
            while len(run):
                n = int(np.searchsorted(run, run[0] + most))
                yield run[:n]
                run = run[n:]


def _stacked(
    blocks: Iterator[sparse.csr_matrix], shape: tuple[int, int], n_values: int | None
) -> sparse.csr_matrix:
    """Return blocks of rows as one matrix, with only one of them beside it in memory.

    ``n_values`` is how many values all have together; where it is not known they are all kept.
    """
    if not shape[0]:
        return sparse.csr_matrix(shape, dtype=np.float32)
    if n_values is None:
        return sparse.csr_matrix(sparse.vstack([*blocks], format="csr"))
    data, indices, ends = np.empty(n_values, np.float32), None, [np.zeros(1, np.int64)]
    start = 0
    for block in blocks:
        if indices is None:
            indices = np.empty(n_values, block.indices.dtype)
        part = slice(start, start + block.nnz)
        data[part], indices[part] = block.data, block.indices
        ends.append(block.indptr[1:].astype(np.int64) + start)
        start = part.stop
    return sparse.csr_matrix((data, indices, np.concatenate(ends)), shape=shape)


def _changed(file: Path | None) -> int:
    """Return when a file or folder was last changed."""
    return -1 if file is None else file.stat().st_mtime_ns


def _reopened(file: str, place: str, name: str, changed: int) -> StoredMatrix:
    """Open a matrix in a process of its own, once for each file, and check it again.

    ``changed`` is when the file was changed as it was opened first: it must still be the same.
    """
    try:
        there = _changed(Path(file))
    except OSError as error:
        raise InputError(
            f"A worker does not find '{file}'.", "Put it where all workers see it."
        ) from error
    if there != changed:
        raise InputError(
            f"'{file}' is another file where a worker sees it, or has changed meanwhile.",
            "Start again, and leave it as it is.",
        )
    return _opened(file, place, name, changed)


@lru_cache(maxsize=4)
def _opened(file: str, place: str, name: str, changed: int) -> StoredMatrix:
    with from_disk(name):
        return StoredMatrix(opened_at(Path(file), place), name)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Linear expression of the cells of a section, read from its file when it is asked for.

    Stands where a CSR matrix in memory would: ``rows[cells]`` is one. What else is asked of it
    reads all cells, once, and keeps them.

    Attributes
    ----------
    matrix
        The matrix on disk.
    rows
        (n,) row of each cell in it.
    section_name, logged
        What errors say; whether ``expm1`` is applied.
    unseen
        (n,) bool of cells that may hold anything, or None: damaged ones are empty.
    pick
        (n_stored_genes, n_genes) that brings them to another panel, or None.
    """

    matrix: StoredMatrix
    rows: NDArray[np.int64]
    section_name: str
    logged: bool = False
    unseen: NDArray[np.bool_] | None = None
    pick: sparse.csr_matrix | None = None

    # Columns of what is read ascend, so that sums round alike.
    has_sorted_indices = True

    @classmethod
    def checked(
        cls,
        values: Any,
        rows: NDArray[np.int64],
        matrix_name: str,
        section_name: str,
        *,
        scale: ExpressionScale,
        marked_logged: bool,
        unseen: NDArray[np.bool_] | None,
    ) -> StoredRows:
        """Return rows of a matrix on disk, once some of them look sound.

        They are judged as ``check_linear`` judges all of a matrix in memory. Where that would
        refuse them, all rows are read and judged. Rows that are read later are checked then.
        """
        matrix = StoredMatrix(values, matrix_name)
        if unseen is not None and unseen.all():  # somebody has to have a say
            unseen = None
        judged = np.arange(len(rows)) if unseen is None else np.flatnonzero(~unseen)
        run = _JUDGED // _RUNS
        starts = np.linspace(0, max(len(judged) - run, 0), _RUNS).astype(np.int64)
        some = np.unique((starts[:, None] + np.arange(run)).ravel())

        def judge(cells: NDArray[np.int64]) -> None:
            check_linear(
                matrix.take(rows[cells]), section_name, scale=scale, marked_logged=marked_logged
            )

        give_back()  # what names and positions were read with
        try:
            judge(judged[some[some < len(judged)]])
        except ReadingError:
            judge(judged)
        give_back()
        return cls(matrix, rows, section_name, scale == "log1p", unseen)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), (self.matrix if self.pick is None else self.pick).shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, cells: Any) -> sparse.csr_matrix:
        """Return (m, n_genes) of cells: a slice, a mask (n,), or indices (m,) in any order."""
        return self._read(np.atleast_1d(np.arange(len(self.rows))[cells]))

    def _read(self, index: NDArray[np.int64], *, sort: bool = True) -> sparse.csr_matrix:
        values = self.matrix.take(self.rows[index])
        if sort:
            values.sort_indices()
        hidden = None if self.unseen is None else self.unseen[index]
        seen = values if hidden is None or not hidden.any() else values[~hidden]
        check_values(seen, self.section_name)
        if self.logged:
            check_logarithms(seen, self.section_name)
            values = undo_log(values)
        if hidden is not None:
            values = without_damage(values, hidden)
        if self.pick is not None:
            values = sparse.csr_matrix(values @ self.pick)
            values.sort_indices()
        return values

    def blocks(self) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Yield all cells, as many at a time as are read at once, with the slice of each."""
        for part in self.spans():
            yield part, self[part]

    def spans(self) -> list[slice]:
        """Return the slices of cells that are read at once."""
        step, n = self.matrix.most_rows, len(self.rows)
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def as_stored(self) -> Iterator[sparse.csr_matrix]:
        """Yield all cells block by block, the columns of each in the order of the file."""
        for part in self.spans():
            yield self._read(np.arange(part.start, part.stop), sort=False)

    def take(self, cells: NDArray[np.int64] | NDArray[np.bool_] | slice) -> StoredRows:
        """Return the rows of some cells, still on disk."""
        unseen = None if self.unseen is None else self.unseen[cells]
        return replace(self, rows=self.rows[cells], unseen=unseen)

    def aligned(self, pick: sparse.csr_matrix) -> StoredRows:
        """Return the same cells on another panel, still on disk."""
        whole = pick if self.pick is None else sparse.csr_matrix(self.pick @ pick)
        return replace(self, pick=whole)

    @cached_property
    def in_memory(self) -> sparse.csr_matrix:
        """All cells, read once."""
        parts = [values for _, values in self.blocks()]
        return sparse.csr_matrix(sparse.vstack(parts, format="csr"))

    @property
    def nnz(self) -> int:
        """Values that are stored, zeros among them."""
        return self.matrix.n_values(self.rows) if self.pick is None else int(self.in_memory.nnz)

    def sum(self, axis: int) -> NDArray[np.float64] | Any:
        """Return sums as a CSR matrix gives them; those of rows are made block by block."""
        if axis != 1:
            return self.in_memory.sum(axis)
        return np.concatenate([values.sum(1) for _, values in self.blocks()])

    def __getattr__(self, name: str) -> Any:
        """Answer as the matrix in memory does."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.in_memory, name)


def blocks_of(expression: Any) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Yield the cells of a matrix in memory or on disk, a few at a time, with the slice of each.

    What is on disk is read in larger blocks.
    """
    read = expression.blocks() if isinstance(expression, StoredRows) else None
    for block, values in read or [(slice(0, expression.shape[0]), expression)]:
        n = values.shape[0]
        for start in range(0, n, STEP):
            stop = min(start + STEP, n)
            part = values if n <= STEP else values[start:stop]
            yield slice(block.start + start, block.start + stop), part


def numeric(values: Any) -> Any:
    """Return a matrix of a type that SciPy can work with, or raise ReadingError."""
    dtype = np.dtype(getattr(values, "dtype", np.float32))
    if dtype.kind not in "biuf":
        raise _not_numeric(f" (its type is {dtype})")
    if sparse.issparse(values) and (dtype == np.float16 or not dtype.isnative):
        if values.format not in COMPRESSED:
            values = values.tocsr()
        data = values.data.astype(np.float32)
        return type(values)((data, values.indices, values.indptr), values.shape)
    return values


def _native(data: NDArray[Any]) -> NDArray[Any]:
    """Return values that SciPy can hold: of no half precision, in the machine's order of bytes."""
    if data.dtype.kind in "biuf" and (data.dtype == np.float16 or not data.dtype.isnative):
        return data.astype(np.float32)
    return data


def _float32(values: Any, name: str) -> sparse.csr_matrix:
    if sparse.issparse(values):
        check_sparse(values, name)
        values = _one_index(values)
    try:
        return sparse.csr_matrix(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _not_numeric() from error


def _one_index(values: Any) -> Any:
    """Return a sound matrix whose row pointers and indices are of one type, as SciPy needs it."""
    if values.format not in COMPRESSED or values.indptr.dtype == values.indices.dtype:
        return values
    made = type(values)(values.shape, dtype=values.dtype)
    made.data, made.indices, made.indptr = values.data, values.indices, values.indptr
    unify_index(made)
    return made


def _not_numeric(why: str = "") -> ReadingError:
    return ReadingError(
        f"The expression is not numeric{why}.",
        f"Name a layer that holds numbers ({where('layer')}).",
        "layer",
    )
