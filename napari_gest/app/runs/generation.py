"""Generation of the cells of a region: what was asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape, drawn_region, of_role, outline_of
from napari_gest.app.runs.base import Load, RunKind, device_said
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.script import Script
from napari_gest.app.state import Mode, State
from napari_gest.app.wording import counted
from napari_gest.errors import InputError
from napari_gest.model.devices import Device, check_device
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.roi import Roi, mask_from_obs

if TYPE_CHECKING:
    from shapely import MultiPolygon

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generation.generate import Agreement, Generated, GenerateRequest


# What read-outs are called in the window. Typical cells come with their mean.
READOUTS: dict[Mode, str] = {
    "sample": "typical cells and mean",
    "weighted": "mean only",
    "pick": "most likely profile",
}


@dataclass(frozen=True, eq=False)
class Prepared:
    """First payload of a run: where new cells were placed, (m, 2) um x y, or None."""

    new_coords_um: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Begun:
    """Payload of a run that begins to generate.

    Attributes
    ----------
    so_far
        Returns what there is of it whenever it is asked.
    generation
        The moving parts, which can draw the region again once it has ended.
    """

    so_far: Callable[[], Generated]
    generation: Any = None


@dataclass(frozen=True, eq=False)
class GenerationRun:
    """A run to come.

    Attributes
    ----------
    snapshot
        Section it starts from.
    unseen
        (n_obs,) bool, the cells to generate; all false if the region has none.
    model
        Model to use.
    mode
        Read-out.
    seed
        Seed of everything random in it.
    shapes
        The shapes drawn; empty where ``mask_key`` names an obs column.
    mask_key
        The obs column that marks the cells, or None.
    path
        File of the section, for the script.
    draws
        How often the region is drawn before the run ends; more can follow.
    device
        Where the network computes.
    """

    kind: ClassVar[RunKind] = "generation"

    snapshot: Snapshot
    unseen: NDArray[np.bool_]
    model: ModelInfo
    mode: Mode = "sample"
    seed: int = 0
    shapes: tuple[Shape, ...] = ()
    mask_key: str | None = None
    path: Path | None = None
    draws: int = 1
    device: Device = "auto"

    @classmethod
    def of(cls, state: State, model: ModelInfo) -> GenerationRun:
        """Return the run of what is drawn and chosen now.

        Raises
        ------
        InputError
            If no section is open, nothing is drawn, or the column is no mask.
        """
        unseen, shapes = unseen_cells(state)
        opened, choices = state.opened, state.choices
        assert opened is not None
        snapshot = Snapshot.of(opened)
        return cls(
            snapshot,
            unseen,
            model,
            choices.mode,
            choices.seed,
            shapes,
            state.mask_key,
            opened.path,
            device=choices.device,
        )

    @property
    def title(self) -> str:
        n = int(self.unseen.sum())
        return counted(n, self.snapshot.section) if n else "new cells"

    @property
    def settings(self) -> str:
        """The read-out, and what marks the cells."""
        return f"{READOUTS[self.mode]}, {self.where}"

    @property
    def where(self) -> str:
        """What marks the cells, in a few words."""
        return f"column {self.mask_key}" if self.mask_key is not None else "drawn region"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        return (self.snapshot,)

    @property
    def roi(self) -> Roi | None:
        """The region drawn, um; None where a column marks the cells."""
        return drawn_region(self.shapes) if self.shapes else None

    @cached_property
    def outline(self) -> MultiPolygon:
        """What is generated, um: the region drawn, or around the cells that a column marks."""
        return outline_of(self.snapshot.section.coords_um[self.unseen], self.roi)

    def check(self) -> None:
        """Raise InputError if the region leaves nothing to generate or nothing to learn from."""
        if self.unseen.all():
            raise InputError(
                "The region holds every cell of the section.",
                "Leave some tissue outside it: the model generates from what surrounds a region.",
            )
        check_device(self.device)
        if not self.shapes and not self.unseen.any():
            raise InputError("No cell is marked.", "Choose another column, or draw a region.")

    def changed_since(self, state: State) -> str | None:
        """Tell whether the region was drawn anew, or another column chosen."""
        drawn = of_role(state.shapes, "unseen", self.snapshot.label)
        if self.mask_key is None and state.mask_key is None and drawn != self.shapes:
            return "The region was changed since."
        return None

    def work(self, load: Load) -> Generator[Progress, None, GenerationOutcome]:
        """Place cells if there are none, load the model and generate; for a worker thread."""
        section = self.snapshot.section
        _ = self.outline  # kept by the run: the window need not wait for it
        if not self.unseen.any():
            yield Progress("Placing new cells", 0, 1)
        new = self.new_cells()
        yield Progress("Loading the model", 0, 1, payload=Prepared(new))
        request = self._request(load(self.model.name), new)
        generation = request.begin()
        begun = Begun(generation.so_far, generation)
        yield Progress("Generating cells", 0, 1, payload=begun)
        result = yield from generation.steps()
        if self.mode != "sample":  # names are told of means too
            result = yield from generation.with_candidates(result)
        agreement = result.agreement(section) if self.unseen.any() else None
        outcome = self.outcome(result.first_draws(1), agreement)
        return outcome.with_draws(result.further) if result.further else outcome

    def resume(self, load: Load, result: Generated) -> Generator[Progress, None, Any]:
        """Return the moving parts of a run whose result is known; for a worker thread.

        They can draw the region again. What they need for it is fitted anew.
        """
        new = result.coords_um[len(result.index) :]
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.generation.sample import SampledGeneration

        generation = self._request(load(self.model.name), new if len(new) else None).begin()
        assert isinstance(generation, SampledGeneration)
        yield from generation.resume()
        return generation

    def _request(self, model: GeST, new: NDArray[np.float64] | None) -> GenerateRequest:
        from napari_gest.tasks.generation.generate import GenerateRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        return GenerateRequest(
            self.snapshot.section,
            model,
            self.unseen,
            mode=self.mode,
            seed=self.seed,
            new_coords_um=new,
            draws=self.draws,
            expected=self.mode == "sample",
            device=self.device,
        )

    def new_cells(self) -> NDArray[np.float64] | None:
        """Return (m, 2) um where cells are placed in a drawn region without any; else None.

        Raises
        ------
        InputError
            If there is no room for one.
        """
        if self.roi is None or self.unseen.any():
            return None
        from napari_gest.tissue.placement import place_cells

        occupied = self.snapshot.section.occupied_um
        new = place_cells(self.roi, occupied, np.random.default_rng(self.seed))
        if not len(new):
            raise InputError(
                "The region is too small for a cell.", "Draw a larger one, near the tissue."
            )
        return new

    def outcome(self, result: Generated, agreement: Agreement | None = None) -> GenerationOutcome:
        """Return the outcome that a result of one draw is, whole or of a run that was cut off."""
        cells = GeneratedCells.showing(self.snapshot, result)
        return GenerationOutcome(self, result, agreement, cells)

    def begun(self, prepared: Prepared) -> GeneratedCells:
        """Return the cells that are to be filled, once it is known where new ones lie."""
        genes, draws = self.model.genes, self.mode == "sample"
        return GeneratedCells(self.snapshot, genes, self.unseen, prepared.new_coords_um, draws)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        script = Script()
        self.add_to(script, object())
        return script.text("generated")

    def add_region(self, script: Script) -> tuple[str, str]:
        """Add the lines that give the region to a script.

        Returns
        -------
        What follows in a call: section, model and unseen cells; and new cells, or nothing.
        """
        section, model = script.section(self.snapshot.section, self.path), script.model(self.model)
        extra = ""
        left_out = self.roi if self.mask_key is None else self.mask_key
        if left_out is not None:
            script.add(
                f"unseen = {script.unseen(section, self.snapshot.section, self.path, left_out)}"
            )
        if isinstance(left_out, Roi) and not self.unseen.any():
            script.use("place_cells")
            script.header("import numpy as np")
            rng = f"np.random.default_rng({self.seed})"
            script.add(f"new = place_cells(roi, {section}.occupied_um, {rng})")
            extra = ", new_coords_um=new"
        return f"{section}, {model}, unseen", extra

    def add_to(self, script: Script, result: object, draw: int = 1) -> None:
        """Add the lines that give a result, and write a draw of it, to a script."""
        region, extra = self.add_region(script)
        adata = script.adata(self.snapshot.section, self.path)
        script.use("generate")
        asked = [f"mode={self.mode!r}", f"seed={self.seed}"]
        if self.mode == "sample":
            asked.append("expected=True")
        if draw > 1:
            asked.append(f"draws={draw}")
        made = script.result(result)
        call = f"generate({region}, {', '.join(asked)}{extra}{device_said(self.device)})"
        if draw == 1:
            script.add(f"{made} = {call}")
        else:  # other runs speak of the first draw
            every, made_first = made.replace("result", "every_draw"), made
            script.add(f"{every} = {call}", f"{made_first} = {every}.first_draws(1)")
            made = made.replace("result", "drawn")
            script.add(f"{made} = {every}.of_draw({draw})")
        script.add(f"{made}.write({adata})")
        if extra:  # rows for new cells are added last: results speak of the rows there were
            script.at_end(f"{adata} = {made}.to_anndata({adata})")


def unseen_cells(state: State) -> tuple[NDArray[np.bool_], tuple[Shape, ...]]:
    """Return (n_obs,) the cells of the section in use to generate, and the shapes if drawn.

    Raises
    ------
    InputError
        If no section is open, nothing is drawn, or the column is no mask.
    """
    opened = state.opened
    if opened is None:
        raise InputError("No tissue is open.", "Open tissue first (step 1).")
    if state.mask_key is not None:
        return mask_from_obs(opened.adata, state.mask_key, opened.section.rows), ()
    shapes = state.region("unseen")
    return drawn_region(shapes).contains(opened.section.coords_um), shapes
