"""Generated cells that a file holds already: shown as a run that is kept and not run again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from shapely import MultiPolygon

from napari_gest.app.kept_regions import regions_in
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import Load, RunEntry, RunKind
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.errors import InputError
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    from napari_gest.app.script import Script
    from napari_gest.app.state import State

NAME = "from the file"
KEEPS = (
    "These cells are in the tissue that was opened, and saving writes them again."
    " Delete their layer to take them off the canvas."
)
WHY_NOT = "These cells were read from the file, which does not say all that made them."


@dataclass(frozen=True, eq=False)
class FileRun:
    """Stands for the run that made the cells of a file."""

    kind: ClassVar[RunKind] = "generation"

    snapshot: Snapshot
    seed: int = 0
    mode: str = ""
    model: None = None
    outline: MultiPolygon | None = None

    @property
    def title(self) -> str:
        """Where the cells are from."""
        return NAME

    @property
    def settings(self) -> str:
        """The read-out, where the file says it."""
        return self.mode

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section they belong to."""
        return (self.snapshot,)

    def changed_since(self, state: State) -> str | None:
        """Return nothing: they are what the file holds."""
        return None

    def check(self) -> None:
        """Refuse to run again."""
        raise InputError(WHY_NOT, "Draw a region and generate it anew.")

    def work(self, load: Load) -> Generator[Progress, None, Any]:
        """Refuse to run again."""
        self.check()
        yield Progress("", 0, 1)

    def script(self) -> str:
        """Refuse to be written as code."""
        raise InputError(WHY_NOT, "Read the file instead: it holds the cells.")


@dataclass(frozen=True, eq=False)
class FileOutcome:
    """The cells of a file.

    Attributes
    ----------
    run
        Stands for what made them.
    result
        The cells.
    cells
        The same cells, as the canvas shows them.
    """

    run: FileRun
    result: Generated
    cells: GeneratedCells
    agreement: None = None
    agreement_text: ClassVar[str] = ""
    model_digest: ClassVar[str] = ""

    def add_to(self, script: Script) -> None:
        """Add nothing: the file that a script reads holds them."""

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return nothing: they are in the tissue already."""
        return []


def is_from_file(entry: RunEntry) -> bool:
    """Tell whether a run stands for the cells of a file."""
    return isinstance(entry.run, FileRun)


def entry_of(opened: Opened) -> RunEntry | None:
    """Return a run that stands for the generated cells that a section was opened with."""
    result = opened.found_generated
    if result is None:
        return None
    about = result.settings
    snapshot = Snapshot(opened.label, opened.section)
    seed = about.get("seed", 0)
    seed = int(seed) if isinstance(seed, int | np.integer) else 0
    run = FileRun(snapshot, seed, str(about.get("mode", "")), outline=opened.found_outline)
    cells = GeneratedCells.showing(snapshot, result)
    name = f"{opened.label}, {NAME}"
    return RunEntry(f"file:{opened.label}", name, run, FileOutcome(run, result, cells))


def shapes_of(opened: Opened) -> tuple[Shape, ...]:
    """Return the region that the cells of a section were generated for, where the file has it."""
    return regions_in(opened.adata, opened.section.name, opened.label)
