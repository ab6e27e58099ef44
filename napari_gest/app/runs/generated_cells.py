"""Generated cells as they are shown: filled in step by step, or one draw of a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.opened import Snapshot

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import Generated, Painted


class GeneratedCells:
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
    draws
        Whether the run draws cells; what others make are means.
    drawing
        Whether drawn cells are there, or have begun to take the place of those expected.
    expression, sd
        (n, G) float32, model space; missing until filled. While cells are drawn, those that are
        still to come have what is expected of them.
    expected
        (n, G) float32, model space: the mean; missing until filled, or where nobody asked for it.
    entropy
        (n,) float32, nats; missing until filled.
    donor
        (n,) index in the section of the cell that each was drawn from; None where it is not known.
    candidates
        (n, k) index in the section of donors that could have given each; None likewise.
    filled
        (n,) bool.
    result
        The finished result, or None while running.
    number, of
        Which draw of how many this is.
    so_far
        Returns the cells made by now, once the run has begun to make any.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        genes: tuple[str, ...],
        unseen: NDArray[np.bool_],
        new_coords_um: NDArray[np.float64] | None = None,
        draws: bool = False,
    ) -> None:
        section = snapshot.section
        index = np.flatnonzero(unseen)
        new = np.empty((0, 2)) if new_coords_um is None else new_coords_um
        self.snapshot = snapshot
        self.genes = genes
        self.draws, self.drawing = draws, False
        self.cells = np.concatenate([index, np.full(len(new), -1)])
        self.coords_um = np.concatenate([section.coords_um[index], new])
        n = len(self.cells)
        self.expression = np.full((n, len(genes)), np.nan, np.float32)
        self.expected: NDArray[np.float32] | None = np.full((n, len(genes)), np.nan, np.float32)
        self.sd = np.full((n, len(genes)), np.nan, np.float32)
        self.entropy = np.full(n, np.nan, np.float32)
        self.donor: NDArray[np.int64] | None = None
        self.candidates: NDArray[np.int64] | None = None
        self.filled = np.zeros(n, bool)
        self.result: Generated | None = None
        self.number, self.of = 1, 1
        self.so_far: Callable[[], Generated] | None = None

    @classmethod
    def showing(
        cls, snapshot: Snapshot, result: Generated, number: int = 1, of: int = 1
    ) -> GeneratedCells:
        """Return the cells of a result of one draw, which is number ``number`` of ``of``."""
        made = cls.__new__(cls)
        n_old = len(result.index)
        made.snapshot, made.genes, made.draws = snapshot, result.genes, result.is_drawn
        made.cells = np.full(len(result.rows), -1)
        made.cells[:n_old] = result.index
        made.coords_um = result.coords_um
        made.so_far = None
        made.number, made.of = number, of
        made.filled = np.ones(len(result.rows), bool)
        made.finish(result)
        return made

    def fill(self, painted: Painted) -> None:
        """Take in the cells of one frontier, drawn ones in the place of those expected."""
        index = painted.index
        self.drawing = painted.drawn
        if not painted.drawn and self.expected is not None:
            self.expected[index] = painted.expression
        self.expression[index] = painted.expression
        self.sd[index] = painted.sd
        self.entropy[index] = painted.entropy
        self.filled[index] = True

    def finish(self, result: Generated) -> None:
        """Take in the finished result, which is what is kept."""
        self.result = result
        self.expression, self.sd, self.entropy = result.expression, result.sd, result.entropy
        self.expected = result.mean
        self.donor, self.candidates = result.donor, result.candidates
        self.draws = self.drawing = result.is_drawn
        self.filled[:] = True

    @property
    def has_truth(self) -> bool:
        return bool((self.cells >= 0).any())

    @property
    def has_expected(self) -> bool:
        return self.expected is not None

    def gene(self, name: str) -> NDArray[np.float32]:
        """Return (n,) generated values of a gene; missing where not filled or not in the panel."""
        return self._column(self.expression, name)

    def gene_expected(self, name: str) -> NDArray[np.float32]:
        """Return (n,) expected values of a gene; of a run without them what it made."""
        return self._column(self.expression if self.expected is None else self.expected, name)

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
