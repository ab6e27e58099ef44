"""The cells of several sections in model space, made where and when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.section import Section


class ModelSpace:
    """Stands for the dense matrix (n, n_genes) of all cells, which would take gigabytes.

    Parameters
    ----------
    sections
        One or more, with the same genes; their cells come one after another.
    target_sum
        Total every cell is scaled to.
    """

    def __init__(self, sections: Sequence[Section], target_sum: float) -> None:
        self._sections, self._target_sum = list(sections), target_sum
        self._starts = np.cumsum([0, *(section.n_obs for section in sections)])
        self.shape = int(self._starts[-1]), len(sections[0].genes)

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Return (m, n_genes) float32 of some cells, one after another."""
        start, stop, _ = part.indices(self.shape[0])
        made = []
        for section, first in zip(self._sections, self._starts, strict=False):
            low, high = max(start - first, 0), min(stop - first, section.n_obs)
            if low < high:
                cells = np.arange(low, high)
                values = section.expression_of(cells, section.genes)
                made.append(log_normalize(values, self._target_sum))
        return np.concatenate(made) if made else np.empty((0, self.shape[1]), np.float32)
