"""Generated cells on their way to being kept: filled in step by step. Knows no layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.session import Snapshot

if TYPE_CHECKING:
    from napari_gest.app.runs.generation import Plan
    from napari_gest.tasks.generation.generate import Generated, Painted


class Trial:
    """The cells of one run: the unseen ones of the section first, then the new ones.

    Attributes
    ----------
    snapshot
        What the run started from.
    cells
        (n,) index into the section, -1 for a new cell.
    coords_um
        (n, 2), um, x y.
    genes
        G gene names.
    expression, sd
        (n, G) float32, model space; missing until filled.
    entropy
        (n,) float32, nats; missing until filled.
    filled
        (n,) bool.
    result
        The finished result, or None while running.
    kept
        Whether it was written into the AnnData.
    plan
        What was asked for.
    so_far
        Returns the cells made by now, once the run has begun to make any.
    cut_off
        Whether this is what a cancelled run had made.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        genes: tuple[str, ...],
        unseen: NDArray[np.bool_],
        new_coords_um: NDArray[np.float64] | None = None,
        plan: Plan | None = None,
    ) -> None:
        section = snapshot.section
        index = np.flatnonzero(unseen)
        new = np.empty((0, 2)) if new_coords_um is None else new_coords_um
        self.snapshot = snapshot
        self.genes = genes
        self.cells = np.concatenate([index, np.full(len(new), -1)])
        self.coords_um = np.concatenate([section.coords_um[index], new])
        n = len(self.cells)
        self.expression = np.full((n, len(genes)), np.nan, np.float32)
        self.sd = np.full((n, len(genes)), np.nan, np.float32)
        self.entropy = np.full(n, np.nan, np.float32)
        self.filled = np.zeros(n, bool)
        self.result: Generated | None = None
        self.kept = False
        self.plan = plan
        self.so_far: Callable[[], Generated] | None = None
        self.cut_off = False

    def fill(self, painted: Painted) -> None:
        """Take in the cells of one frontier."""
        index = painted.index
        self.expression[index] = painted.expression
        self.sd[index] = painted.sd
        self.entropy[index] = painted.entropy
        self.filled[index] = True

    def finish(self, result: Generated) -> None:
        """Take in the finished result, which is what is kept."""
        self.result = result
        self.expression, self.sd, self.entropy = result.expression, result.sd, result.entropy
        self.filled[:] = True

    def part(self) -> Trial | None:
        """Return what was made of a run that was cut off, as a finished trial; None if nothing."""
        made = self.so_far() if self.so_far is not None else None
        if made is None or not len(made.rows):
            return None
        unseen = np.zeros(self.snapshot.section.n_obs, bool)
        unseen[made.index] = True
        new = made.coords_um[len(made.index) :]
        trial = Trial(self.snapshot, self.genes, unseen, new, self.plan)
        trial.finish(made)
        trial.cut_off = True
        return trial

    @property
    def has_truth(self) -> bool:
        return bool((self.cells >= 0).any())

    def gene(self, name: str) -> NDArray[np.float32]:
        """Return (n,) generated values of a gene; missing where not filled or not in the panel."""
        return self._column(self.expression, name)

    def gene_sd(self, name: str) -> NDArray[np.float32]:
        """Return (n,) standard deviation of a gene; missing where not filled."""
        return self._column(self.sd, name)

    def from_section(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) the cells' own entries of ``values`` (n_obs,); missing for new cells."""
        taken = np.full(len(self.cells), np.nan, np.float32)
        old = self.cells >= 0
        taken[old] = values[self.cells[old]]
        return taken

    def _column(self, matrix: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        if name not in self.genes:
            return np.full(len(self.cells), np.nan, np.float32)
        return matrix[:, self.genes.index(name)]
