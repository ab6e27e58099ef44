"""Dose response: one edit at several strengths."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest.errors import InputError
from napari_gest.limits import check_number, shown
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.perturbation.perturb import Perturbed
from napari_gest.tasks.progress import Clock, Progress, finish, relay
from napari_gest.tissue.edits import MAX_STRENGTH

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class DoseRequest:
    """The edit of a result at several strengths.

    Attributes
    ----------
    perturbed
        The result; what answered for it answers again.
    strengths
        Ascending strengths, 0 or more; at 0 every effect is exactly 0.
    """

    perturbed: Perturbed
    strengths: Sequence[float] = STRENGTHS

    def check(self) -> None:
        """Raise InputError if the strengths are not usable."""
        if not isinstance(self.strengths, Sequence) or not len(self.strengths):
            raise InputError(
                f"The strengths are {shown(self.strengths)}.",
                "Give a list of numbers of 0 or more; 1 is as it is.",
            )
        for strength in self.strengths:
            check_number("one of the strengths", strength, 0, MAX_STRENGTH)
        if not self.perturbed.request.edits:
            raise InputError(
                "There is no edit of a gene whose strength could change.", "Give edits of genes."
            )

    def run(self) -> Generator[Progress, None, pd.DataFrame]:
        """Yield progress; return a table of gene, strength and mean effect on the surroundings."""
        self.check()
        perturbed = self.perturbed
        measured = perturbed.request.measured
        genes = np.asarray(perturbed.genes)[measured]
        clock = Clock("Dose response", len(self.strengths))
        tables = []
        for done, strength in enumerate(self.strengths, 1):
            effect = (yield from self._answer(strength, clock, done - 1)) - perturbed.control
            mean = effect[:, measured].mean(0, dtype=np.float64)
            require_finite(f"The effect at strength {strength:g}", effect=mean)
            tables.append(pd.DataFrame({"gene": genes, "strength": strength, "effect": mean}))
            yield clock.tick(done)
        return pd.concat(tables, ignore_index=True)

    def _answer(
        self, strength: float, clock: Clock, done: int
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        edited = self.perturbed.request.edited(strength)
        steps = self.perturbed.predictor.expression(edited, clock.stage)
        return (yield from relay(steps, lambda _: clock.tick(done)))


def dose_response(
    perturbed: Perturbed,
    strengths: Sequence[float] = STRENGTHS,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> pd.DataFrame:
    """Return a table of gene, strength and mean effect on the surroundings, model space.

    Parameters
    ----------
    perturbed, strengths
        As in ``DoseRequest``.
    on_progress
        Called after every strength.

    Raises
    ------
    InputError
        If the strengths are not usable, or no gene was edited.
    """
    return finish(DoseRequest(perturbed, strengths).run(), on_progress)
