"""The map of the check: where in a section generation works well."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.preview import Preview
from napari_gest.app.runs.base import Load, RunKind, device_said
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.script import Script
from napari_gest.app.state import State
from napari_gest.errors import InputError
from napari_gest.model.devices import Device, check_device
from napari_gest.tasks.generation.check_map_report import CheckMap
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class KeptMap:
    """A map of the check, to be written into ``obs`` of its tissue."""

    report: CheckMap
    rows: NDArray[np.int64]

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the expected gain of each cell; return the name of the column."""
        return self.report.write(adata, self.rows)


@dataclass(frozen=True, eq=False)
class CheckMapOutcome:
    """What came of a map.

    Attributes
    ----------
    run
        What was asked for.
    report
        The gain in each tile.
    model_digest
        Fingerprint of the model's weights.
    """

    run: CheckMapRun
    report: CheckMap
    model_digest: str = ""

    @property
    def agreement_text(self) -> str:
        """In how many tiles it promises a gain."""
        gain = self.report.table["expected_gain"].dropna()
        return f"a gain in {int((gain > 0).sum())} of {len(gain)} tiles"

    def add_to(self, script: Script) -> None:
        """Add the lines that give the map, and write it, to a script."""
        self.run.add_to(script, self.report)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept."""
        return [((state.sections[self.run.snapshot.label],), self._kept)]

    @cached_property
    def _kept(self) -> KeptMap:
        return KeptMap(self.report, self.run.snapshot.section.rows)

    @cached_property
    def preview(self) -> Preview:
        """The gain of each cell, as the canvas shows it."""
        title = f"error saved over the mean of {self.report.neighbours} neighbours · share"
        gain = self.report.gain_of_cells
        return Preview(title, {self.run.snapshot.section: gain}, centred=True)


@dataclass(frozen=True, eq=False)
class CheckMapRun:
    """A map to come.

    Attributes
    ----------
    snapshot
        The section.
    model
        The model that is checked.
    seed
        Seed of everything random in it.
    region
        A run of generation whose region counts as unknown, and says how large a tile is; None
        where no region is drawn.
    path
        File of the section, for the script.
    device
        Where the network computes.
    """

    kind: ClassVar[RunKind] = "map"

    snapshot: Snapshot
    model: ModelInfo
    seed: int = 0
    region: GenerationRun | None = None
    path: Path | None = None
    device: Device = "auto"

    @classmethod
    def of(cls, state: State, model: ModelInfo) -> CheckMapRun:
        """Return the map of the section in use.

        Raises
        ------
        InputError
            If no section is open, or the column that marks cells is no mask.
        """
        opened = state.opened
        if opened is None:
            raise InputError("No tissue is open.", "Open tissue first (step 1).")
        drawn = state.region("unseen") or state.mask_key is not None
        region = GenerationRun.of(state, model) if drawn else None
        snapshot = Snapshot.of(opened)
        choices = state.choices
        return cls(snapshot, model, choices.seed, region, opened.path, choices.device)

    @property
    def title(self) -> str:
        """What it is."""
        return "where it works well"

    @property
    def settings(self) -> str:
        """How large a tile is."""
        return "tiles of the region's size" if self._unseen is not None else "tiles of usual size"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section that it belongs to."""
        return (self.snapshot,)

    @property
    def _unseen(self) -> NDArray[np.bool_] | None:
        region = self.region
        return region.unseen if region is not None and region.unseen.any() else None

    def check(self) -> None:
        """Raise InputError if the region leaves nothing to learn from."""
        check_device(self.device)
        if self.region is not None:
            self.region.check()

    def changed_since(self, state: State) -> str | None:
        """Return nothing: it is of the whole section, and one draws where it is good."""
        return None

    def work(self, load: Load) -> Generator[Progress, None, CheckMapOutcome]:
        """Load the model, hide the tiles and compare; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.generation.check_map import CheckMapRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        model = load(self.model.name)
        request = CheckMapRequest(
            self.snapshot.section, model, self._unseen, seed=self.seed, device=self.device
        )
        report = yield from request.run()
        return self.outcome(report, model.digest)

    def outcome(self, report: CheckMap, model_digest: str = "") -> CheckMapOutcome:
        """Return the outcome that a report is, of the whole or of a run that was cut off."""
        return CheckMapOutcome(self, report, model_digest)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        script = Script()
        self.add_to(script, object())
        return script.text("mapped")

    def add_to(self, script: Script, report: object) -> None:
        """Add the lines that give a map, and write it, to a script."""
        section, model = script.section(self.snapshot.section, self.path), script.model(self.model)
        unseen = ""
        if self.region is not None and self._unseen is not None:
            self.region.add_region(script)
            unseen = ", unseen=unseen"
        made, said = script.result(report, "where"), device_said(self.device)
        script.use("check_map")
        adata = script.adata(self.snapshot.section, self.path)
        script.add(
            f"{made} = check_map({section}, {model}{unseen}, seed={self.seed}{said})",
            f"print({made}.verdict)",
            f"{made}.write({adata}, {section}.rows)",
        )
