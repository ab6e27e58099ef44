"""Generation in mode ``sample``: whole cells are drawn from donors, from the rim inward."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.tasks.generation.emission import (
    N_CANDIDATES,
    draw_once,
    normalized,
    sharpened,
)
from napari_gest.tasks.generation.generated import Draw, Generated, Painted
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import GenerateRequest


class SampledGeneration(Generation):
    """A run that draws cells. The field is fitted once, whatever the number of draws."""

    def __init__(self, request: GenerateRequest) -> None:
        super().__init__(request)
        self.temperature = request.temperature * self.emission.temperature
        self.donor = np.full(len(self.coords), -1, np.int64)
        self.candidates = np.full((len(self.coords), N_CANDIDATES), -1, np.int64)
        self.number = 0  # of the current draw, from 1 on
        self.whole: Generated | None = None  # once the region is drawn
        # The part of mode "weighted", if it is requested.
        self.mean_run: Generation | None = None
        self.mean_result: Generated | None = None
        assert len(self.donor_places)  # raises an error before any work if there are none

    def begin_draw(self, number: int) -> None:
        """Reset the content, and prepare draw ``number``, from 1 on."""
        self.random = np.random.default_rng([self.request.seed, number - 1])
        self.free = np.ones(len(self.donors), bool)
        self.common = self.donors.draw_common(self.coords, self.depth, self.random)
        self.generated[:] = False
        self.number = number

    def steps(self) -> Generator[Progress, None, Generated]:
        if self.request.expected:
            yield from self.expect()
        else:
            self.field = yield from self.fit_field()
        self.begin_draw(1)
        yield from self.fill()
        made = self.named(self.drawn())
        if self.mean_result is not None:
            made = replace(made, expected=self.mean_result.expression)
        self.whole = made
        for number in range(2, self.request.draws + 1):
            stage = f"Drawing the region again ({number} of {self.request.draws})"
            draw = yield from self.another(number, stage)
            self.whole = self.whole.with_draws((draw,))
        return self.whole

    def resume(self) -> Generator[Progress, None, None]:
        """Fit everything that draws need, without drawing: to resume a run that was released."""
        self.field = yield from self.fit_field()

    def expect(self) -> Generator[Progress, None, None]:
        """Compute the result of mode ``weighted``, and reuse its field."""
        asked = replace(self.request, mode="weighted", expected=False, draws=1, types=None)
        self.mean_run = Generation(asked)
        self.mean_result = yield from self.mean_run.steps()
        self.field = self.mean_run.field
        self.mean_run = None

    def another(
        self, number: int, stage: str = "Drawing the region again"
    ) -> Generator[Progress, None, Draw]:
        """Return draw ``number``, from 2 on; all fits are reused.

        It does not depend on earlier draws, and equals that of a run with ``draws=number``.
        """
        self.begin_draw(number)
        for tick in self.fill():
            yield replace(tick, stage=stage, payload=None)
        again = self.drawn()
        assert again.donor is not None
        return Draw(again.expression, again.meta_cell, again.donor)

    def so_far(self) -> Generated:
        """Return the cells made so far: expected ones, if requested, until all are drawn."""
        if self.whole is not None:
            return self.whole
        if self.mean_result is not None:
            return self.mean_result
        return self.drawn() if self.mean_run is None else self.mean_run.so_far()

    def drawn(self) -> Generated:
        """Return the cells drawn so far."""
        made, done = super().so_far(), self.by_row[self.painted[self.by_row]]
        settings = made.settings | {
            "field": 0.0 if self.field is None else self.request.field,
            "emission": self.emission.model_dump(),
            "draw": 1,
            "draws": 1,
            "repeated_donors": int(len(done) - len(np.unique(self.donor[done]))),
        }
        return replace(
            made,
            donor=self.donor_cells[self.donor[done]],
            candidates=self.donor_cells[self.candidates[done]],
            settings=settings,
        )

    def type_codes(self, probability: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (n,) the names of the donors; the likeliest name where a donor has none."""
        assert self.request.types is not None
        of_donor = self.request.types.one_hot(self.donor_cells[self.donor])
        return np.where(of_donor.any(1), of_donor.argmax(1), probability.argmax(1))

    def expected(
        self,
        cells: NDArray[np.int64],
        probability: NDArray[np.float32],
        residual: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Return (f, G) expected expression of ``cells``, by decoder, residuals and field."""
        expected = probability @ self.mean.numpy()
        if residual is not None:
            expected = np.maximum(expected + residual, 0)
        if self.field is not None:
            share = np.float32(self.request.field) * self.measured
            expected = expected + share * (self.field[cells] - expected)
        return np.asarray(expected, np.float32)

    def paint(
        self, cells: NDArray[np.int64], probability: Tensor, residual: NDArray[np.float32] | None
    ) -> Painted:
        """Return the cells of a frontier: a donor for each, which enters the content unchanged."""
        if self.request.top_k is not None and self.request.top_k < probability.shape[-1]:
            least = probability.topk(self.request.top_k, -1).values[:, -1:]
            probability = probability.masked_fill(probability < least, 0.0)
        enough = self.free.sum() >= len(cells)
        common = None if self.common is None else self.common[cells]
        sharp = sharpened(probability.numpy(), self.emission.sharpness)
        given = sharp, self.expected(cells, sharp, residual), self.coords[cells]
        log_weights = self.donors.log_weights(*given, self.free if enough else None, common)
        drawn = draw_once(log_weights, self.free, self.random)
        spread = np.zeros_like(given[1])  # not reported for further draws
        if self.number == 1:
            # Reported values are over all donors, including used ones, and by the calibrated
            # probability.
            plain = probability.numpy()
            given = plain, self.expected(cells, plain, residual), self.coords[cells]
            weights = normalized(self.donors.log_weights(*given))
            spread = self.donors.spread_of(weights)
            self.candidates[cells] = self.donors.quantiles(weights, N_CANDIDATES)
            if self.type_share is not None:
                self.type_share[cells] = self.type_probability(weights)
        token = self.donors.token[drawn]
        values = self.donors.values[drawn]
        rest = values - self.model.tokenizer.c_expr[token]
        rest[:, ~self.measured] = 0
        self.residual[cells] = rest
        self.donor[cells] = drawn
        self.mixture[cells] = F.one_hot(torch.from_numpy(token), len(self.mean)).float()
        return Painted(
            self.place_by_row[cells],
            values,
            spread,
            torch.special.entr(probability).sum(-1).numpy(),
            token.astype(np.int32),
            drawn=True,
        )
