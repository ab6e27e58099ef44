"""Training of a model on open tissue: what was asked for, and where the model lies."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from napari_gest.app import model_registry
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import drawn_region
from napari_gest.app.runs.base import Load, RunKind, device_said
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.app.script import Script
from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import check_name, remove_folder
from napari_gest.model.about import read_about
from napari_gest.model.devices import Device, check_device
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
    model
        What the base or the model that it starts from says about itself; None starts from nothing.
    share
        Of the number of steps that suits the tissue.
    budget_s
        Seconds that it may take, in place of a number of steps.
    seed
        Seed of everything random in it.
    config
        Fields of ``TrainConfig`` that differ from what suits the tissue.
    paths
        Files the sections were read from.
    unseen
        What was left out: the label of its section, and the column of obs or the area.
    device
        Where the network computes.
    """

    kind: ClassVar[RunKind] = "training"

    snapshots: tuple[Snapshot, ...]
    sections: tuple[Section, ...]
    folder: Path
    model: ModelInfo | None = None
    share: float = 1.0
    budget_s: float | None = None
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[Path | None, ...] = ()
    unseen: tuple[str, str | Roi] | None = None
    device: Device = "auto"

    @classmethod
    def of(
        cls,
        state: State,
        name: str,
        share: float,
        start: ModelInfo | None = None,
        config: Mapping[str, Any] | None = None,
        budget_s: float | None = None,
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
            Base or model to start from; None starts from nothing.
        config
            Fields of ``TrainConfig`` that differ from what suits the tissue.
        budget_s
            Seconds that it may take, in place of a number of steps.

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
            tuple(map(Snapshot.of, opened)),
            tuple(sections),
            _folder(name),
            start,
            share,
            budget_s,
            state.choices.seed,
            _checked(config or {}),
            tuple(o.path for o in opened),
            unseen,
            state.choices.device,
        )

    @property
    def title(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> str:
        """How long it trains, and what differs from the usual."""
        said = [f"{self.share:g} of the usual steps"]
        if self.budget_s is not None:
            said = [f"{self.budget_s:g} s"]
        if self.model is not None:
            said.append(f"from {self.model.name}")
        return ", ".join([*said, *(f"{name} {value}" for name, value in self.config.items())])

    def check(self) -> None:
        """Raise InputError if there is nothing to learn from."""
        check_device(self.device)
        if not sum(section.n_obs for section in self.sections):
            raise InputError("No cell is left to learn from.", "Draw a smaller region.")

    def changed_since(self, state: State) -> str | None:
        """Return nothing: a model stays what it has learned."""
        return None

    def work(self, load: Load) -> Generator[Progress, None, TrainingOutcome]:
        """Train, and write the model; for a worker thread. A cut-off training can go on."""
        began = time.monotonic()
        yield Progress("Preparing", 0, 1)
        from napari_gest.tasks.threads import share_processors
        from napari_gest.tasks.training.budget import Budget
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
            budget=None if self.budget_s is None else Budget(self.budget_s, began),
            device=self.device,
        )
        fitted: Fitted = yield from request.run()
        fitted.model.save(self.folder)
        remove_folder(unfinished, STATE)
        return TrainingOutcome(self.folder)

    def _changes(self, usual: TrainConfig) -> dict[str, Any]:
        if self.budget_s is not None:
            return dict(self.config)
        length = {
            name: max(int(self.share * getattr(usual, name)), 1)
            for name in ("n_steps", "validate_every")
        }
        return length | dict(self.config)

    def script(self) -> str:
        """Return Python code that trains the same model with the public functions."""
        from napari_gest.tasks.training.start import FROM_SCRATCH, start_of
        from napari_gest.tasks.training.train import configs_for

        script = Script()
        names = []
        for snapshot, path, learned in zip(self.snapshots, self.paths, self.sections, strict=True):
            name = script.section(snapshot.section, path)
            if learned is not snapshot.section:
                name = self._add_known(script, name, snapshot.section, path)
            names.append(name)
        start = repr(FROM_SCRATCH) if self.model is None else script.model(self.model)
        begin = start_of(FROM_SCRATCH if self.model is None else self.model.load_name)
        planned = self._planned()
        changes = self._changes(configs_for(self.sections, begin)[1]) | planned
        budget = ""
        if self.budget_s is not None and not planned:
            budget = f"budget={self.budget_s:g}, "
        script.header("from napari_gest.tasks.training.train import configs_for")
        script.use("fit")
        said = device_said(self.device)
        script.add(
            f"sections = [{', '.join(names)}]",
            f"shape, config = configs_for(sections, {'None' if begin is None else start})",
            f"config = config.model_copy(update={changes!r})",
            "trained = fit(",
            f"    sections, shape, config, start={start}, {budget}seed={self.seed},"
            f" name={self.folder.name!r}{said}",
            ")",
            f"trained.save({self.folder.name!r})",
        )
        return script.text(None)

    def _planned(self) -> dict[str, Any]:
        """Return the length that a budget came to, as the trained model tells it."""
        if self.budget_s is None:
            return {}
        try:
            training = read_about(self.folder).card["training"]
            return {name: training[name] for name in ("n_steps", "validate_every", "warmup")}
        except (CheckpointError, KeyError, TypeError):  # it is not there any more
            return {}

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


def free_name(label: str) -> str:
    """Return a name for a model of a section that no model trained here has."""
    plain = re.sub(r"[^\w .+-]", "-", label).strip(" .+-") or "tissue"
    name, number = plain, 2
    while (model_registry.TRAINED_HERE / name).exists():
        name, number = f"{plain} {number}", number + 1
    return name
