"""Generation: unseen cells, from the rim of known tissue inward (Sec. 4.4, 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_gest.errors import InputError
from napari_gest.limits import check_choice, check_number
from napari_gest.model.config import EmissionConfig
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.model.sampling import MODES, Mode
from napari_gest.seeds import check_seed
from napari_gest.tasks.generation.cell_types import CellTypes
from napari_gest.tasks.generation.generated import Agreement, Draw, Generated, Painted
from napari_gest.tasks.generation.generation import WINDOW_TARGETS, Generation
from napari_gest.tasks.generation.sample import SampledGeneration
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.reading import MOST_UM
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import symmetries

__all__ = ["Agreement", "Draw", "GenerateRequest", "Generated", "Painted", "generate"]

# Chosen on sections that no table scores: docs/decisions/0009.
FIELD_SHARE = 0.7
# Beyond these the logits leave single precision.
_TEMPERATURES = (1e-6, 1e6)
_MOST_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """A request to generate cells.

    Attributes
    ----------
    section
        The section. Expression of unseen cells is never read.
    model
        The model.
    unseen
        (n_obs,) bool: cells to generate.
    mode
        ``weighted`` is the mean over meta cells, ``pick`` the likeliest meta cell (Sec. 4.4).
        ``sample`` draws whole cells from measured donors; generated cells are then as noisy and
        as sparse as measured tissue (decision 28).
    seed
        Seed of the draws in mode ``sample`` and of the section's field. The same seed gives the
        same cells whatever the order of rows and genes (decision 25).
    new_coords_um
        (m, 2) positions of cells to add, um, (x, y).
    temperature
        Divides the logits; below 1 predictions sharpen.
    top_k
        Mode ``sample`` draws among this many most probable meta cells.
    draws
        How often mode ``sample`` draws the region. The first draw is the result, the others are
        alternative results. They reuse all fits.
    emission
        Settings of mode ``sample``; those of the model by default.
    expected
        Mode ``sample`` first computes the result of mode ``weighted``, so that the result also
        holds the expected expression of each cell. The section's field is fitted once for both.
        Expected cells come first; the drawn cells do not change.
    frontier
        Cells decoded together before they join the content. 1 is sequential generation.
    passes
        Rotations and reflections of each window whose predictions are averaged, 1 to 8.
    residuals
        Add to the expected expression the smoothed residuals of the surrounding cells: their
        differences from their meta cells. These hold the tissue's own gradients and batch, which
        a fixed vocabulary cannot express. Not used by mode ``pick``.
    field
        Share of the section's own field (``SectionField``) in the expected expression, 0 to 1.
        0 without residuals is the paper's read-out. Not used by mode ``pick``.
    device
        Where the network computes: ``cpu``, ``cuda``, ``mps``, or ``auto``, an NVIDIA GPU where
        there is one. The field is fitted on the processor.
    """

    section: Section
    model: GeST
    unseen: NDArray[np.bool_]
    mode: Mode = "weighted"
    seed: int = 0
    new_coords_um: NDArray[np.float64] | None = None
    temperature: float = 1.0
    top_k: int | None = None
    frontier: int = WINDOW_TARGETS
    passes: int = 4
    residuals: bool = True
    field: float = FIELD_SHARE
    draws: int = 1
    emission: EmissionConfig | None = None
    types: CellTypes | None = None
    expected: bool = False
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if the request is not valid; takes almost no time."""
        n = self.section.n_obs
        if self.unseen.shape != (n,) or self.unseen.dtype != bool:
            raise InputError(
                f"The mask has shape {self.unseen.shape} and type {self.unseen.dtype}.",
                f"Give one boolean for each of the section's {n} cells.",
            )
        new = self._new
        if not np.isfinite(new).all() or new.ndim != 2 or new.shape[1] != 2:
            raise InputError(
                "Positions of new cells are not (m, 2) numbers.", "Give x and y in um."
            )
        if len(new) and np.abs(new).max() > MOST_UM:
            raise InputError(
                f"New cells lie farther than {MOST_UM:g} um from the origin.", "Give x and y in um."
            )
        if not self.unseen.any() and not len(new):
            raise InputError(
                "There is nothing to generate: no cell is marked as unseen.",
                "Mark cells, draw a region over some, or place new ones.",
            )
        if self.unseen.all():
            raise InputError(
                "Every cell of the section is marked as unseen.",
                "Leave some tissue known: the model generates from what surrounds a region.",
            )
        check_choice("mode", self.mode, MODES)
        check_number("frontier", self.frontier, 1, whole=True)
        check_number("passes", self.passes, 1, len(symmetries()), whole=True)
        check_number("temperature", self.temperature, *_TEMPERATURES)
        check_number("field", self.field, 0, 1)
        if self.top_k is not None:
            check_number("top_k", self.top_k, 1, whole=True)
        check_number("draws", self.draws, 1, _MOST_DRAWS, whole=True)
        if self.draws > 1 and self.mode != "sample":
            raise InputError(
                f"draws is {self.draws} in mode '{self.mode}'.",
                "More than one needs mode 'sample'; the others draw nothing.",
            )
        if self.expected and self.mode != "sample":
            raise InputError(
                f"The expected cells are requested in mode '{self.mode}'.",
                "Give mode 'sample'; what mode 'weighted' returns is the expected expression.",
            )
        if self.types is not None:
            self.types.check(n, self.unseen)
        check_seed(self.seed)
        check_device(self.device)
        self.section.measured(self.model.genes)

    def begin(self) -> Generation:
        """Return the run, checked and ready for its first step."""
        self.check()
        return SampledGeneration(self) if self.mode == "sample" else Generation(self)

    def run(self) -> Generator[Progress, None, Generated]:
        """Generate; yields after every frontier, returns the result.

        Yields
        ------
        Progress whose payload is a ``Painted``: the cells just done.
        """
        return (yield from self.begin().steps())

    @property
    def _new(self) -> NDArray[np.float64]:
        if self.new_coords_um is None:
            return np.empty((0, 2))
        try:
            return np.asarray(self.new_coords_um, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return np.full((1, 2), np.nan)  # which ``check`` refuses


def generate(
    section: Section,
    model: GeST,
    unseen: NDArray[np.bool_],
    *,
    mode: Mode = "weighted",
    seed: int = 0,
    new_coords_um: NDArray[np.float64] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    frontier: int = WINDOW_TARGETS,
    passes: int = 4,
    residuals: bool = True,
    field: float = FIELD_SHARE,
    draws: int = 1,
    emission: EmissionConfig | None = None,
    types: CellTypes | None = None,
    expected: bool = False,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Generated:
    """Generate the unseen cells of a section.

    Parameters
    ----------
    section, model, unseen
        As in ``GenerateRequest``, as are all that follow but the last.
    mode, seed, new_coords_um, temperature, top_k, frontier, passes
        Read-out, randomness, positions of new cells, and details of decoding.
    residuals, field
        Parts of the expected expression besides the decoder's.
    draws, emission
        Settings of mode ``sample``.
    types
        Names of the section's cells, from which generated cells are named.
    expected
        Mode ``sample`` also returns the mean of each cell, which is computed first.
    device
        Where the network computes.
    on_progress
        Called after every frontier.

    Raises
    ------
    InputError
        If the request is not valid; raised before any work.
    """
    request = GenerateRequest(
        section,
        model,
        unseen,
        mode=mode,
        seed=seed,
        new_coords_um=new_coords_um,
        temperature=temperature,
        top_k=top_k,
        frontier=frontier,
        passes=passes,
        residuals=residuals,
        field=field,
        draws=draws,
        emission=emission,
        types=types,
        expected=expected,
        device=device,
    )
    return finish(request.run(), on_progress)
