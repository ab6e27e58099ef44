"""The hash by which a section is recognised, from parts of it that come one after another."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_HASHED = 1_000_000  # indices at a time: a copy of all would be as large as X


class SectionDigest:
    """Hash of genes and positions, then of all values, then of the gene of each value.

    Parameters
    ----------
    genes
        G names.
    coords_um
        (n, 2) positions, um.
    """

    def __init__(self, genes: Sequence[str], coords_um: NDArray[np.float64]) -> None:
        self._hash = blake2b("\n".join(genes).encode(), digest_size=16)
        self._hash.update(np.ascontiguousarray(coords_um).data)
        self._ends = [np.zeros(1, np.int64)]

    def add_values(self, expression: sparse.csr_matrix) -> None:
        """Take in the values of the next cells, CSR (m, G), in the order of the file."""
        self._hash.update(np.ascontiguousarray(expression.data).data)
        self._ends.append(expression.indptr[1:].astype(np.int64) + self._ends[-1][-1])

    def add_genes(self, indices: NDArray[np.integer]) -> None:
        """Take in the genes of the next values, once all values were taken in."""
        for start in range(0, len(indices), _HASHED):
            self._hash.update(indices[start : start + _HASHED].astype(np.int64).data)

    @property
    def n_values(self) -> int:
        """Values that were taken in."""
        return int(self._ends[-1][-1])

    def end(self) -> str:
        """Return the hash, once all genes were taken in."""
        self.add_genes(np.concatenate(self._ends))
        return self._hash.hexdigest()
