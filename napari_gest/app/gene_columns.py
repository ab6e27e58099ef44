"""Expression by gene, so that the window can look at one gene after another."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.files import Scratch
from napari_gest.tasks.progress import finish
from napari_gest.tissue.rows import StoredRows
from napari_gest.tissue.section import Section
from napari_gest.tissue.section_digest import SectionDigest

_ROWS = 16_384  # cells of a block at most: sorting them stays in the processor's cache
_VALUE_BYTES = 10  # of a value with its cell and, until all are hashed, its gene
_SPARE_BYTES = 1_000_000_000  # left free on the disk
_VALUES, _CELLS, _GENES = "values", "cells", "genes"
_HASHED = 1_000_000  # genes read back at a time, between looks at whether to go on


@dataclass(frozen=True, eq=False)
class GeneColumns:
    """Columns of a sparse matrix of cells x genes, in blocks of cells.

    Blocks take a quarter less memory than one large matrix, and are sorted a little sooner. Where
    expression is left in its file, so are they: in a temporary one, sorted by gene.

    Attributes
    ----------
    totals
        (n_cells,) float64 sum of all genes of each cell.
    starts
        (n_blocks,) first cell of each block.
    ends
        Where each gene ends in each block, (n_genes + 1,) each.
    blocks
        Of each block: values and cells (within the block), sorted by gene. Empty with ``files``.
    files
        What holds them instead, one block after another.
    hashing
        The digest of a section whose file was read for them, until it is ended.
    """

    totals: NDArray[np.float64]
    starts: list[int]
    ends: list[NDArray[np.int64]]
    blocks: list[tuple[NDArray[np.float32], NDArray[np.uint16]]]
    files: Scratch | None = field(default=None, repr=False)
    hashing: StoredDigest | None = field(default=None, repr=False)

    @classmethod
    def of(cls, section: Section) -> GeneColumns:
        """Sort the expression of a section by gene; its digest is known afterwards."""
        made = finish(cls.sorting(section))
        made.end_digest()
        return made

    @classmethod
    def sorting(cls, section: Section) -> Generator[float, None, GeneColumns]:
        """Sort the expression of a section by gene; yields the share that is done.

        Takes some seconds of a processor for 3 M cells. What is left in a file is read once, so
        that its digest is begun here, too.
        """
        expression, n = section.expression, section.n_obs
        files = digest = None
        if isinstance(expression, StoredRows) and _has_room(expression.nnz):
            files = Scratch(secrets.token_hex(8))
            digest = None if "digest" in vars(section) else StoredDigest(section, files)
        made = cls(np.empty(n), [], [], [], files, digest)
        start = 0
        for values in _as_stored(expression):
            if digest is not None:
                digest.add(values)
            for inside in range(0, values.shape[0], _ROWS):
                made._add(start + inside, values[inside : inside + _ROWS])
                yield (start + inside) / n
            start += values.shape[0]
        return made

    def end_digest(self, stop: Event | None = None) -> None:
        """Give the section the digest that sorting has begun, if it has; as `StoredDigest.end`."""
        if self.hashing is not None:
            self.hashing.end(stop)

    def _add(self, start: int, part: sparse.csr_matrix) -> None:
        by_gene = part.tocsc()
        cells, first = by_gene.indices.astype(np.uint16), 0
        self.totals[start : start + part.shape[0]] = np.asarray(part.sum(axis=1)).ravel()
        if self.files is None:
            self.blocks.append((by_gene.data, cells))
        else:
            self.files.append(_VALUES, by_gene.data)
            self.files.append(_CELLS, cells)
            first = int(self.ends[-1][-1]) if self.ends else 0
        self.starts.append(start)
        self.ends.append(by_gene.indptr.astype(np.int64) + first)

    def __getitem__(self, gene: int) -> NDArray[np.float32]:
        """Return (n,) the expression of the gene at this index."""
        out = np.zeros(len(self.totals), np.float32)
        for number, (start, ends) in enumerate(zip(self.starts, self.ends, strict=True)):
            values, cells = self._part(number, int(ends[gene]), int(ends[gene + 1]))
            # A file may store a value in parts.
            np.add.at(out[start:], cells, values)
        return out

    def sums(self, genes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (n,) sums of the genes at these indices; reads all of them."""
        n = len(self.totals)
        out, wanted = np.zeros(n), np.zeros(len(self.ends[0]) - 1 if self.ends else 0, bool)
        wanted[genes] = True
        for number, (start, stop) in enumerate(
            zip(self.starts, [*self.starts[1:], n], strict=True)
        ):
            ends = self.ends[number]
            values, cells = self._part(number, int(ends[0]), int(ends[-1]))
            counted = np.repeat(wanted, np.diff(ends))
            out[start:stop] = np.bincount(cells[counted], values[counted], minlength=stop - start)
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


class StoredDigest:
    """`Section.digest` of expression that comes block by block and is read once.

    The digest is of all values, then of all their genes: these wait in a file until `end`.
    """

    def __init__(self, section: Section, files: Scratch) -> None:
        self._digest = SectionDigest(section.genes, section.coords_um)
        self._section: Section | None = section
        self._files = files
        self._gene = np.dtype(np.uint16 if len(section.genes) <= 2**16 else np.int32)
        self._beside = ThreadPoolExecutor(1)  # hashing does not need the GIL
        self._waits: Future[None] | None = None

    def add(self, values: sparse.csr_matrix) -> None:
        """Take in the next cells (n, G), their columns in the order of the file."""
        if self._waits is not None:
            self._waits.result()
        self._waits = self._beside.submit(self._digest.add_values, values)
        self._files.append(_GENES, values.indices.astype(self._gene))

    def end(self, stop: Event | None = None) -> None:
        """Give the section its digest, once; leave it without where ``stop`` is set meanwhile."""
        section, self._section = self._section, None
        if section is None:
            return
        self._beside.shutdown()
        digest = self._digest
        del self._digest  # it holds 8 bytes a cell, and the columns stay
        n = digest.n_values
        for start in range(0, n, _HASHED):
            if stop is not None and stop.is_set():
                return
            digest.add_genes(self._files.part(_GENES, self._gene, start, min(start + _HASHED, n)))
        self._files.drop(_GENES)
        vars(section)["digest"] = digest.end()


def _as_stored(expression: sparse.csr_matrix | StoredRows) -> Iterator[sparse.csr_matrix]:
    """Yield the expression of all cells, as many at a time as are read at once."""
    return expression.as_stored() if isinstance(expression, StoredRows) else iter([expression])


def _has_room(n_values: int) -> bool:
    """Tell whether the disk of temporary files has room for so many values."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return free > n_values * _VALUE_BYTES + _SPARE_BYTES
