"""Expression by gene, so that the window can look at one gene after another."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.files import Scratch
from napari_gest.tasks.progress import finish
from napari_gest.tissue.rows import StoredRows

_ROWS = 16_384  # cells of a block: sorting them stays in the processor's cache
_VALUE_BYTES = 6  # of a value with its cell
_SPARE_BYTES = 1_000_000_000  # left free on the disk
_VALUES, _CELLS = "values", "cells"


@dataclass(frozen=True, eq=False)
class GeneColumns:
    """Columns of a sparse matrix of cells x genes, in blocks of cells.

    Blocks take a quarter less memory than one large matrix, and are sorted a little sooner. Where
    expression is left in its file, so are they: in a temporary one, sorted by gene.

    Attributes
    ----------
    totals
        (n_cells,) float64 sum of all genes of each cell.
    ends
        Where each gene ends in each block, (n_genes + 1,) each.
    blocks
        Of each block: values and cells (within the block), sorted by gene. Empty with ``files``.
    files
        What holds them instead, one block after another.
    """

    totals: NDArray[np.float64]
    ends: list[NDArray[np.int64]]
    blocks: list[tuple[NDArray[np.float32], NDArray[np.uint16]]]
    files: Scratch | None = field(default=None, repr=False)

    @classmethod
    def of(cls, expression: sparse.csr_matrix | StoredRows) -> GeneColumns:
        """Sort ``expression`` (n, G) by gene."""
        return finish(cls.sorting(expression))

    @classmethod
    def sorting(
        cls, expression: sparse.csr_matrix | StoredRows
    ) -> Generator[float, None, GeneColumns]:
        """Sort ``expression`` (n, G) by gene; yields the share that is done.

        Takes some seconds of a processor for 3 M cells.
        """
        stored = isinstance(expression, StoredRows)
        files = Scratch(secrets.token_hex(8)) if stored and _has_room(expression.nnz) else None
        totals, ends, blocks, first = np.empty(expression.shape[0]), [], [], 0
        for start, part in _parts(expression):
            made = part.tocsc()
            cells = made.indices.astype(np.uint16)
            totals[start : start + part.shape[0]] = np.asarray(part.sum(axis=1)).ravel()
            if files is None:
                blocks.append((made.data, cells))
            else:
                files.append(_VALUES, made.data)
                files.append(_CELLS, cells)
            ends.append(made.indptr.astype(np.int64) + (first if files is not None else 0))
            first += made.nnz
            yield (start + part.shape[0]) / len(totals)
        return cls(totals, ends, blocks, files)

    def __getitem__(self, gene: int) -> NDArray[np.float32]:
        """Return (n,) the expression of the gene at this index."""
        out = np.zeros(len(self.totals), np.float32)
        for number, ends in enumerate(self.ends):
            values, cells = self._part(number, int(ends[gene]), int(ends[gene + 1]))
            # A file may store a value in parts.
            np.add.at(out[number * _ROWS :], cells, values)
        return out

    def sums(self, genes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (n,) sums of the genes at these indices; reads all of them."""
        n = len(self.totals)
        out, wanted = np.zeros(n), np.zeros(len(self.ends[0]) - 1 if self.ends else 0, bool)
        wanted[genes] = True
        for number, ends in enumerate(self.ends):
            values, cells = self._part(number, int(ends[0]), int(ends[-1]))
            counted = np.repeat(wanted, np.diff(ends))
            own = slice(number * _ROWS, min((number + 1) * _ROWS, n))
            size = own.stop - own.start
            out[own] = np.bincount(cells[counted], values[counted], minlength=size)
        return out

    def _part(
        self, number: int, start: int, stop: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        if self.files is None:
            values, cells = self.blocks[number]
            return values[start:stop], cells[start:stop]
        return (
            self.files.part(_VALUES, np.float32, start, stop),
            self.files.part(_CELLS, np.uint16, start, stop),
        )


def _parts(
    expression: sparse.csr_matrix | StoredRows,
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Yield blocks of ``_ROWS`` cells, the last one less, with the first cell of each."""
    n = expression.shape[0]
    if not isinstance(expression, StoredRows):
        yield from ((start, expression[start : start + _ROWS]) for start in range(0, n, _ROWS))
        return
    step = max(expression.matrix.most_rows // _ROWS, 1) * _ROWS  # what is read at once
    for start in range(0, n, step):
        some = expression.take(slice(start, start + step))[:]
        for inside in range(0, some.shape[0], _ROWS):
            yield start + inside, some[inside : inside + _ROWS]


def _has_room(n_values: int) -> bool:
    """Tell whether the disk of temporary files has room for so many values."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return free > n_values * _VALUE_BYTES + _SPARE_BYTES
