"""Training of a model on open tissue: what was asked for, and where the model lies."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from napari_gest.app import model_registry
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.runs.base import Load, RunKind
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.errors import InputError
from napari_gest.files import check_name, remove_folder
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from napari_gest.app.state import State
    from napari_gest.tasks.training.train import Fitted


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """The folder of a trained model."""

    folder: Path

    @property
    def agreement_text(self) -> str:
        """Where it lies."""
        return str(self.folder)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return nothing: a model is no part of the tissue."""
        return []


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A training to come.

    Attributes
    ----------
    snapshots
        Sections it started from, as they are open.
    sections
        What it learns from: the same sections without the cells to generate.
    folder
        Where the model goes.
    start
        Name of the model to continue from; None trains a new one.
    model
        What that model says about itself.
    share
        Of the number of steps that suits the tissue.
    seed
        Seed of everything random in it.
    """

    kind: ClassVar[RunKind] = "training"

    snapshots: tuple[Snapshot, ...]
    sections: tuple[Section, ...]
    folder: Path
    model: ModelInfo | None = None
    share: float = 1.0
    seed: int = 0

    @classmethod
    def of(
        cls, state: State, name: str, share: float, start: ModelInfo | None = None
    ) -> TrainingRun:
        """Return the training on all open sections with the genes of the one in use.

        Raises
        ------
        InputError
            If the name is not usable or taken, or nothing is left to learn from.
        """
        active = state.opened
        if active is None:
            raise InputError("No tissue is open.", "Open tissue first (step 1).")
        opened = [o for o in state.sections.values() if o.section.genes == active.section.genes]
        sections = []
        for one in opened:
            section = one.section
            if one is active and (state.region("unseen") or state.mask_key):
                section = section.subset(~unseen_cells(state)[0])
            sections.append(section)
        snapshots = tuple(Snapshot(o.label, o.section) for o in opened)
        return cls(snapshots, tuple(sections), _folder(name), start, share)

    @property
    def title(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> str:
        """How long it trains."""
        return f"{self.share:g} of the usual steps"

    def check(self) -> None:
        """Raise InputError if there is nothing to learn from."""
        if not sum(section.n_obs for section in self.sections):
            raise InputError("No cell is left to learn from.", "Draw a smaller region.")

    def changed_since(self, state: State) -> str | None:
        """Return nothing: a model stays what it has learned."""
        return None

    def work(self, load: Load) -> Generator[Progress, None, TrainingOutcome]:
        """Train, and write the model; for a worker thread. A cut-off training can go on."""
        yield Progress("Preparing", 0, 1)
        from napari_gest.tasks.threads import share_processors
        from napari_gest.tasks.training.train import STATE, FitRequest, configs_for

        share_processors()
        start = None if self.model is None else load(self.model.name)
        sections = list(self.sections)
        model_config, train_config = configs_for(sections, start)
        length = {
            name: max(int(self.share * getattr(train_config, name)), 1)
            for name in ("n_steps", "validate_every")
        }
        unfinished = model_registry.TRAINED_HERE.parent / "unfinished" / self.folder.name
        request = FitRequest(
            sections=sections,
            model_config=model_config,
            train_config=train_config.model_copy(update=length),
            seed=self.seed,
            checkpoint_dir=unfinished,
            start=start,
            name=self.folder.name,
        )
        fitted: Fitted = yield from request.run()
        fitted.model.save(self.folder)
        remove_folder(unfinished, STATE)
        return TrainingOutcome(self.folder)

    def script(self) -> str:
        """Return the command that trains the same model."""
        return f"napari-gest fit --out {str(self.folder)!r}\n"


def _folder(name: str) -> Path:
    name = name.strip()
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise InputError(
            "The new model has no usable name." if name else "The new model has no name.",
            "Type one, of letters, digits, spaces, dots and dashes.",
        )
    folder = model_registry.TRAINED_HERE / name
    check_name(folder)
    if folder.exists():
        raise InputError(f"There is a model '{name}' already.", "Type another name.")
    return folder
