"""The check of one region: how far to trust what a model generates there."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import Shape, drawn_region
from napari_gest.app.runs.base import Load, RunEntry, RunKind, device_said
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.script import Script
from napari_gest.app.state import State
from napari_gest.tasks.generation.check_report import Check
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class KeptCheck:
    """A check, to be written into the tissue beside what was generated."""

    about_others: ClassVar[bool] = True  # written after what it is about, which would drop it

    check: Check

    @property
    def rows(self) -> NDArray[np.int64]:
        """No rows: it is of no single cells."""
        return np.empty(0, np.int64)

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the check; return the name of the key that changed."""
        return self.check.write(adata)


@dataclass(frozen=True, eq=False)
class CheckOutcome:
    """What came of a check.

    Attributes
    ----------
    run
        What was asked for.
    check
        What it says.
    beyond
        The part of the region that is deeper than the gain reaches; None where there is none.
    model_digest
        Fingerprint of the model's weights.
    """

    run: CheckRun
    check: Check
    beyond: Roi | None
    model_digest: str = ""

    @property
    def agreement_text(self) -> str:
        """For how many genes it promises a gain."""
        return f"better for {self.check.n_likely} of {len(self.check.table)} genes"

    def add_to(self, script: Script) -> None:
        """Add the lines that give the check, and write it, to a script."""
        self.run.add_to(script, self.check)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept."""
        return [((state.sections[self.run.generation.snapshot.label],), self._kept)]

    @cached_property
    def _kept(self) -> KeptCheck:
        return KeptCheck(self.check)

    @property
    def shrunk(self) -> tuple[Shape, ...]:
        """The region without the part beyond, as shapes; none where a column marks the cells."""
        generation = self.run.generation
        if self.beyond is None or not generation.shapes:
            return ()
        left = drawn_region(generation.shapes).geometry.difference(self.beyond.geometry)
        label = generation.snapshot.label
        return tuple(
            Shape(role="unseen", section=label, kind="polygon", corners=tuple(map(tuple, ring)))
            for ring in Roi(left).to_vertices()
        )


@dataclass(frozen=True, eq=False)
class CheckRun:
    """A check to come.

    Attributes
    ----------
    generation
        The run of generation that it is about: its section, region, model and seed.
    """

    kind: ClassVar[RunKind] = "check"

    generation: GenerationRun

    @property
    def title(self) -> str:
        """What was generated, or is to be."""
        return f"check of {self.generation.title}"

    @property
    def settings(self) -> str:
        """What marks the cells."""
        return self.generation.where

    @property
    def model(self) -> ModelInfo:
        """The model that is checked."""
        return self.generation.model

    @property
    def seed(self) -> int:
        """Seed of everything random in it."""
        return self.generation.seed

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section that it belongs to."""
        return self.generation.snapshots

    def check(self) -> None:
        """Raise InputError if the region leaves nothing to generate or nothing to learn from."""
        self.generation.check()

    def changed_since(self, state: State) -> str | None:
        """Tell whether the region was drawn anew, or another column chosen."""
        generation = self.generation
        if state.active == generation.snapshot.label and state.mask_key != generation.mask_key:
            return "Something else marks the region now."
        return generation.changed_since(state)

    def asks_the_same(self, other: CheckRun) -> bool:
        """Tell whether another check is of the same section, region and model.

        Read-out and seed do not count: the check is of expected expression, and what it says
        depends little on the seed.
        """
        one, two = self.generation, other.generation
        return (
            one.snapshot.section is two.snapshot.section
            and one.model.load_name == two.model.load_name
            and np.array_equal(one.unseen, two.unseen)
            and (one.shapes, one.mask_key) == (two.shapes, two.mask_key)
        )

    def work(self, load: Load) -> Generator[Progress, None, CheckOutcome]:
        """Load the model, hide patches and compare; for a worker thread."""
        generation = self.generation
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.generation.check import CheckRequest
        from napari_gest.tasks.threads import stay_in_background

        stay_in_background()
        new = generation.new_cells()
        section, unseen = generation.snapshot.section, generation.unseen
        model = load(self.model.name)
        request = CheckRequest(section, model, unseen, new, self.seed, device=generation.device)
        check = yield from request.run()
        return CheckOutcome(self, check, self._beyond(check), model.digest)

    def _beyond(self, check: Check) -> Roi | None:
        from napari_gest.tissue.depth import beyond_depth

        if not check.depth_um:
            return None
        generation = self.generation
        known = generation.snapshot.section.coords_um[~generation.unseen]
        return beyond_depth(Roi(generation.outline), known, check.depth_um)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        script = Script()
        self.add_to(script, object())
        return script.text("checked")

    def add_to(self, script: Script, check: object) -> None:
        """Add the lines that give a check, and write it, to a script."""
        arguments, new = self.generation.add_region(script)
        made, said = script.result(check, "check"), device_said(self.generation.device)
        script.use("check_generation")
        script.add(
            f"{made} = check_generation({arguments}, seed={self.seed}{new}{said})",
            f"print({made}.verdict)",
        )
        # What is generated, also with rows of its own, would drop it.
        adata = script.adata(self.generation.snapshot.section, self.generation.path)
        script.at_end(f"{made}.write({adata})")


def known_check(state: State, run: CheckRun) -> RunEntry | None:
    """Return the latest check of the same section, region and model, or None."""
    listed = [e for e in state.listed("check") if e.run.asks_the_same(run)]
    return listed[-1] if listed else None


def believable(state: State) -> frozenset[str] | None:
    """Return the genes to choose from, where only believable ones are wanted.

    They are those of the check that is looked at, if it is of the section in use. None where all
    genes are to be seen.
    """
    entry = state.shown_run("check") if state.choices.believable else None
    if entry is None or entry.run.generation.snapshot.label != state.active:
        return None
    return frozenset(entry.outcome.check.believable)
