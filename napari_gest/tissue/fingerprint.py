"""Fingerprints of cells, by which a model recognises the cells it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.tissue.rows import StoredRows, blocks_of

_ODD = np.uint64(0x9E3779B97F4A7C15)


def fingerprints(
    expression: sparse.csr_matrix | StoredRows, genes: Sequence[str]
) -> NDArray[np.uint32]:
    """Return (n,) uint32, a hash of each cell's expression; 0 for a cell without any.

    A cell with the same values has the same fingerprint in every file and every order of cells
    and genes.

    Parameters
    ----------
    expression
        (n, G) CSR float32, linear, in memory or on disk.
    genes
        G names, in column order.
    """
    names = np.array(
        [int.from_bytes(blake2b(g.encode(), digest_size=8).digest(), "little") for g in genes],
        np.uint64,
    )
    out = np.empty(expression.shape[0], np.uint32)
    for part, values in blocks_of(expression):
        out[part] = _fingerprints(values, names)
    return out


def _fingerprints(expression: sparse.csr_matrix, names: NDArray[np.uint64]) -> NDArray[np.uint32]:
    filled = sparse.csr_matrix(expression, dtype=np.float32, copy=True)
    filled.eliminate_zeros()
    bits = filled.data.view(np.uint32).astype(np.uint64)
    # A sum over genes, so that their order does not matter; each term is mixed well first.
    terms = (names[filled.indices] ^ bits) * _ODD
    terms ^= terms >> np.uint64(29)
    terms *= _ODD
    total = np.concatenate([[np.uint64(0)], np.cumsum(terms, dtype=np.uint64)])
    sums = total[filled.indptr[1:]] - total[filled.indptr[:-1]]
    return (sums >> np.uint64(32)).astype(np.uint32)
