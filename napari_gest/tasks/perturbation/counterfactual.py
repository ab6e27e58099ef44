"""The same surroundings twice: what the model says before and after an edit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.model.devices import Device
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.progress import Progress, relay
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.section import Section

Input = Literal["token", "continuous"]
Answer = Generator[Progress, None, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Edited:
    """What an edit makes of some cells of a section.

    Attributes
    ----------
    cells
        (m,) ascending index of the edited cells in the section.
    before, after
        (m, G) float32, model space on the model's genes. Both are scaled by the cell's total
        before the edit, so an edit of one gene leaves the others as they are.
    removed
        (r,) index of cells that are taken out.
    """

    cells: NDArray[np.int64]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    removed: NDArray[np.int64]

    @classmethod
    def nothing(cls, n_genes: int) -> Edited:
        """Return the edit that changes nothing."""
        empty, no_cells = np.empty((0, n_genes), np.float32), np.empty(0, np.int64)
        return cls(no_cells, empty, empty, no_cells)

    def changed_tokens(self, model: GeST, measured: NDArray[np.bool_]) -> int:
        """Return how many edited cells have another meta cell than before."""
        if not len(self.cells):
            return 0
        old, new = (model.tokenizer.tokens(v.copy(), measured) for v in (self.before, self.after))
        return int((old != new).sum())


class Predictor(Protocol):
    """Predicts what ``index`` cells of a section express, given an edit of others."""

    @property
    def index(self) -> NDArray[np.int64]:
        """(n,) ascending index of the cells in the section."""
        ...

    def expression(self, edited: Edited | None, stage: str) -> Answer:
        """Yield progress and return (n, G) float32, model space; None is the tissue as it is."""
        ...

    def evidence(
        self, edited: Edited, effect: NDArray[np.float32], inside: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return (G,) how strong the mean effect on cells ``inside`` is, comparable over edits."""
        ...


@dataclass(frozen=True, eq=False)
class RegenerationPredictor:
    """The paper's form (Sec. 5.4): the surroundings are hidden and generated.

    Order, seed and frontier are those of ``generate``, before and after the edit. Residuals are
    not inherited: an edit would pass to the neighbours as it is, which is the naive answer.

    Attributes
    ----------
    section, model
        The tissue and the model.
    index
        (n,) ascending index of the cells to generate.
    input
        ``token``: an edited cell enters as the meta cell nearest to it. ``continuous``: it keeps
        its meta cell, and the edit is added to its embedding through the same linear layer.
    seed, frontier, passes, device
        As in ``GenerateRequest``.
    """

    section: Section
    model: GeST
    index: NDArray[np.int64]
    input: Input
    seed: int
    frontier: int
    passes: int
    device: Device = "auto"

    def request(self) -> GenerateRequest:
        """Return the request of the control generation."""
        unseen = np.zeros(self.section.n_obs, bool)
        unseen[self.index] = True
        return GenerateRequest(
            self.section,
            self.model,
            unseen,
            seed=self.seed,
            frontier=self.frontier,
            passes=self.passes,
            residuals=False,
            field=0.0,
            device=self.device,
        )

    def expression(self, edited: Edited | None, stage: str) -> Answer:
        """Yield progress and return (n, G) float32, model space."""
        edited = edited or Edited.nothing(len(self.model.genes))
        generated = _Edited(self.request(), edited, self.input).steps()
        made = yield from relay(generated, lambda tick: replace(tick, stage=stage, payload=None))
        return made.expression

    def evidence(
        self, edited: Edited, effect: NDArray[np.float32], inside: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return (G,) mean effect on cells ``inside`` over the vocabulary's spread."""
        return np.asarray(effect[inside].mean(0, dtype=np.float64) / self.model.tokenizer.spread)


class _Edited(Generation):
    """Generation in a tissue some of whose cells were edited or taken out."""

    def __init__(self, request: GenerateRequest, edited: Edited, input: Input) -> None:
        super().__init__(request)
        self.edited, self.input = edited, input
        self.place_of = np.full(request.section.n_obs, -1)
        self.place_of[edited.cells] = np.arange(len(edited.cells))
        # Depth and so the order of cells stay those of the whole tissue.
        self.forget(edited.removed)

    def values(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        values = super().values(cells)
        if self.input == "token":
            place = self.place_of[cells]
            values[place >= 0] = self.edited.after[place[place >= 0]]
        return values

    def shift(self, cells: NDArray[np.int64]) -> Tensor | None:
        place = self.place_of[cells]
        if self.input == "token" or (place < 0).all():
            return None
        change = np.zeros((len(cells), len(self.model.genes)), np.float32)
        inside = place[place >= 0]
        change[place >= 0] = self.edited.after[inside] - self.edited.before[inside]
        return self.model.shift_of(change)


def model_space(
    section: Section, model: GeST, cells: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (n, G) model space of cells on the model's genes, and which genes were measured."""
    taken = np.arange(section.n_obs) if cells is None else cells
    expression = section.expression_of(taken, model.genes)
    return log_normalize(expression, model.target_sum), section.measured(model.genes)
