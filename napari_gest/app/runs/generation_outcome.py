"""What came of a run of generation: the cells, their draws, and which of these is shown or kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_gest.app.kept_regions import KeptCells
from napari_gest.app.opened import Opened, Result
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.script import Script

if TYPE_CHECKING:
    from napari_gest.app.runs.generation import GenerationRun
    from napari_gest.app.state import State
    from napari_gest.tasks.generation.generate import Agreement, Draw, Generated

MOST_DRAWS = 20
_MOST_VALUES = 200_000_000  # of all draws together: 0.8 GB


@dataclass(frozen=True, eq=False)
class KeptDraw:
    """The draw that was kept, and what is written of it."""

    number: int
    result: Result


@dataclass(frozen=True, eq=False)
class GenerationOutcome:
    """What a run of generation returns.

    Attributes
    ----------
    run
        What was asked for.
    result
        The cells as the run made them, with its first draw alone. It stays the same object:
        niches of these cells refer to it.
    agreement
        How well they agree with measured ones, where there are any.
    cells
        The cells of the draw that is shown, as the canvas shows them.
    further
        The draws that were made after the first.
    number
        Which draw is shown, from 1 on.
    kept_draw
        What was kept, where it was.
    """

    run: GenerationRun
    result: Generated
    agreement: Agreement | None
    cells: GeneratedCells
    further: tuple[Draw, ...] = ()
    number: int = 1
    kept_draw: KeptDraw | None = None

    @property
    def agreement_text(self) -> str:
        """The error after scaling each gene, and that of the baseline."""
        if self.agreement is None or self.agreement.neighbours is None:
            return ""
        return (
            f"RMSE z {self.agreement.rmse_z:.3f}, neighbours {self.agreement.neighbours.rmse_z:.3f}"
        )

    @property
    def n_draws(self) -> int:
        """Draws there are; 1 of runs that draw nothing."""
        return 1 + len(self.further)

    def of_draw(self, number: int, more: tuple[Draw, ...] = ()) -> Generated:
        """Return the cells of a draw, as a run that was asked for no more draws gives them.

        ``more`` are draws that have not joined the others yet.
        """
        if number == 1:
            return self.result
        further = (*self.further, *more)[: number - 1]
        return self.result.with_draws(further).of_draw(number)

    def why_no_more(self, extra: int = 0) -> str | None:
        """Return why there can be no more draws than there are and ``extra`` ones; or None."""
        if not self.result.is_drawn:
            return "This run has no drawn cells. Run with 'Typical cells and mean' (step 4)."
        if self.n_draws + extra >= MOST_DRAWS:
            return f"There are {self.n_draws} draws. Run with another seed for more."
        if (self.n_draws + extra + 1) * self.result.expression.size > _MOST_VALUES:
            return "More draws of so many cells would fill the memory."
        return None

    def with_draws(self, draws: tuple[Draw, ...]) -> GenerationOutcome:
        """Return the outcome with more draws behind those there are."""
        return replace(self, further=(*self.further, *draws)).showing(self.number)

    def showing(self, number: int) -> GenerationOutcome:
        """Return the outcome of which another draw is shown."""
        cells = GeneratedCells.showing(
            self.run.snapshot, self.of_draw(number), number, self.n_draws
        )
        return replace(self, number=number, cells=cells)

    def kept(self) -> GenerationOutcome:
        """Return the outcome once the draw that is shown is kept."""
        if self.kept_draw is not None and self.kept_draw.number == self.number:
            return self
        return replace(self, kept_draw=KeptDraw(self.number, self._written(self.number)))

    def kept_as(self, other: GenerationOutcome) -> GenerationOutcome:
        """Return the outcome of which is kept what was kept of another."""
        return replace(self, kept_draw=other.kept_draw)

    def as_made(self) -> GenerationOutcome:
        """Return the outcome as it was when it was made, but with the draws of today."""
        return replace(self.showing(1), kept_draw=None)

    @property
    def model_digest(self) -> str:
        """Fingerprint of the model's weights."""
        return str(self.result.settings.get("model_digest", ""))

    def add_to(self, script: Script, draw: int | None = None) -> None:
        """Add the lines that give a draw to a script: by default the one kept, or else shown."""
        if draw is None:
            draw = self.number if self.kept_draw is None else self.kept_draw.number
        self.run.add_to(script, self.result, draw)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept."""
        kept = self.kept_draw
        result = self._written(self.number) if kept is None else kept.result
        return [((state.sections[self.run.snapshot.label],), result)]

    def _written(self, number: int) -> Result:
        result, shapes = self.of_draw(number), self.run.shapes
        return KeptCells(result, shapes) if shapes else result
