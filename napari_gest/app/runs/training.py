"""Training of a model on open tissue: what was asked for, and where the model lies."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from napari_gest.app import model_registry
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import drawn_region
from napari_gest.app.runs.base import Load, RunKind
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.app.script import Script
from napari_gest.errors import InputError
from napari_gest.files import check_name, remove_folder
from napari_gest.tasks.progress import Progress
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from napari_gest.app.state import State
    from napari_gest.tasks.training.train import Fitted


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """The folder of a trained model."""

    folder: Path
    model_digest: ClassVar[str] = ""

    @property
    def agreement_text(self) -> str:
        """Where it lies."""
        return str(self.folder)

    def add_to(self, script: Script) -> None:
        """Say where the model lies: it is no part of the tissue that a script writes."""
        script.add(f"# a model that was trained; it lies in {str(self.folder)!r}")

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
    config
        Fields of ``TrainConfig`` that differ from what suits the tissue.
    paths
        Files the sections were read from.
    unseen
        What was left out: the label of its section, and the column of obs or the area.
    """

    kind: ClassVar[RunKind] = "training"

    snapshots: tuple[Snapshot, ...]
    sections: tuple[Section, ...]
    folder: Path
    model: ModelInfo | None = None
    share: float = 1.0
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[Path | None, ...] = ()
    unseen: tuple[str, str | Roi] | None = None

    @classmethod
    def of(
        cls,
        state: State,
        name: str,
        share: float,
        start: ModelInfo | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> TrainingRun:
        """Return the training on all open sections with the genes of the one in use.

        Parameters
        ----------
        state
            With its sections, region and seed.
        name
            Of the new model, and of its folder.
        share
            Of the number of steps that suits the tissue.
        start
            Model to continue from; None trains a new one.
        config
            Fields of ``TrainConfig`` that differ from what suits the tissue.

        Raises
        ------
        InputError
            If the name is not usable or taken, or nothing is left to learn from.
        """
        active = state.opened
        if active is None:
            raise InputError("No tissue is open.", "Open tissue first (step 1).")
        opened = [o for o in state.sections.values() if o.section.genes == active.section.genes]
        sections, unseen = [], None
        for one in opened:
            section = one.section
            if one is active and (state.region("unseen") or state.mask_key):
                cells, shapes = unseen_cells(state)
                section = section.subset(~cells)
                unseen = (one.label, state.mask_key or drawn_region(shapes))
            sections.append(section)
        return cls(
            tuple(Snapshot(o.label, o.section) for o in opened),
            tuple(sections),
            _folder(name),
            start,
            share,
            state.choices.seed,
            _checked(config or {}),
            tuple(o.path for o in opened),
            unseen,
        )

    @property
    def title(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> str:
        """How long it trains, and what differs from the usual."""
        said = [f"{self.share:g} of the usual steps"]
        return ", ".join([*said, *(f"{name} {value}" for name, value in self.config.items())])

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
        unfinished = model_registry.TRAINED_HERE.parent / "unfinished" / self.folder.name
        request = FitRequest(
            sections=sections,
            model_config=model_config,
            train_config=train_config.model_copy(update=self._changes(train_config)),
            seed=self.seed,
            checkpoint_dir=unfinished,
            start=start,
            name=self.folder.name,
        )
        fitted: Fitted = yield from request.run()
        fitted.model.save(self.folder)
        remove_folder(unfinished, STATE)
        return TrainingOutcome(self.folder)

    def _changes(self, usual: TrainConfig) -> dict[str, Any]:
        length = {
            name: max(int(self.share * getattr(usual, name)), 1)
            for name in ("n_steps", "validate_every")
        }
        return length | dict(self.config)

    def script(self) -> str:
        """Return Python code that trains the same model with the public functions."""
        from napari_gest.tasks.training.train import configs_for

        script = Script()
        names = []
        for snapshot, path, learned in zip(self.snapshots, self.paths, self.sections, strict=True):
            name = script.section(snapshot.section, path)
            if learned is not snapshot.section:
                name = self._add_known(script, name, snapshot.section, path)
            names.append(name)
        usual = configs_for(self.sections)[1] if self.model is None else TrainConfig()
        script.header("from napari_gest.tasks.training.train import configs_for")
        start = "None" if self.model is None else script.model(self.model)
        call = "fit" if self.model is None else "fine_tune"
        script.use(call)
        first = "sections, shape" if self.model is None else f"{start}, sections"
        script.add(
            f"sections = [{', '.join(names)}]",
            f"shape, config = configs_for(sections, {start})",
            f"config = config.model_copy(update={self._changes(usual)!r})",
            f"trained = {call}({first}, config, seed={self.seed}, name={self.folder.name!r})",
            f"trained.save({self.folder.name!r})",
        )
        return script.text(None)

    def _add_known(self, script: Script, section: str, whole: Section, path: Path | None) -> str:
        """Add the lines that leave the unseen cells out of a section; return what is left."""
        assert self.unseen is not None
        _, left_out = self.unseen
        unseen = script.unseen(section, whole, path, left_out)
        script.add(f"known = {section}.subset(~{unseen})")
        return "known"


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields of a ``TrainConfig``; an InputError says which one is not possible."""
    try:
        TrainConfig(**config)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"'{'.'.join(map(str, first['loc']))}' of the training is not possible:"
            f" {first['msg'][:1].lower()}{first['msg'][1:]}.",
            "Change it under Settings of training.",
        ) from error
    return dict(config)


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
