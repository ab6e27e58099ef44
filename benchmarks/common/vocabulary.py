"""Meta cells of measured and generated cells, on the panel of a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.datasets import Loaded
from napari_gest.model.gest import GeST


def tokens(model: GeST, loaded: Loaded, values: NDArray) -> NDArray[np.int64]:
    """Return (n,) the meta cell of each cell of ``values`` (n, G), model space."""
    full = np.zeros((len(values), len(model.genes)), np.float32)
    measured = np.zeros(len(model.genes), bool)
    chosen = columns(model.genes, loaded.genes)
    full[:, chosen], measured[chosen] = values, True
    return np.asarray(model.tokenizer.tokens(full, measured), np.int64)


def columns(genes: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each of ``wanted`` among ``genes``."""
    place = {gene: i for i, gene in enumerate(genes)}
    return np.array([place[gene] for gene in wanted])
