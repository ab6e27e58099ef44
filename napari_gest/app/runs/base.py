"""What generation, niches, labels and perturbation have in common: a run, and its entry."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.model.devices import Device
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    from napari_gest.app.script import Script
    from napari_gest.app.state import State
    from napari_gest.model.gest import GeST

RunKind = Literal["generation", "niches", "labels", "perturbation", "training", "check", "map"]
# Kinds that nobody has to decide on: a model has a folder of its own, and a check that is lost can
# be made again in seconds.
UNDECIDED: tuple[RunKind, ...] = ("training", "check")
Load = Callable[[str], "GeST"]


class Run(Protocol):
    """What was asked for, frozen when the run began."""

    kind: RunKind

    @property
    def title(self) -> str:
        """A short name of the run."""

    @property
    def settings(self) -> str:
        """What was set besides model and seed, in a few words."""

    @property
    def model(self) -> ModelInfo | None:
        """The model it uses; None of a training from scratch."""

    @property
    def seed(self) -> int:
        """Seed of everything random in it."""

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The sections that it is about, to which its result is written."""

    def check(self) -> None:
        """Raise InputError where it is plain before work begins that nothing can come of it."""

    def work(self, load: Load) -> Generator[Progress, None, Any]:
        """Load the model and run; for a worker thread. Returns the outcome."""

    def changed_since(self, state: State) -> str | None:
        """Return what was changed since the run began, such as its region; None if nothing."""

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""


class Outcome(Protocol):
    """What a run returns, as far as the list of runs is concerned."""

    @property
    def agreement_text(self) -> str:
        """How it agrees with measured cells, in a few words; empty where nothing tells."""

    @property
    def model_digest(self) -> str:
        """Fingerprint of the weights of the model that made it; "" where it is not known."""

    def add_to(self, script: Script) -> None:
        """Add the lines that give it to a script."""

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write into each AnnData when the run is kept, with its sections."""


@dataclass(frozen=True, eq=False)
class RunEntry:
    """A run that has ended, in the list of runs.

    Attributes
    ----------
    id
        Unique in the session, such as "run-3".
    name
        Given by the user, or else the title of the run.
    run
        What was asked for.
    outcome
        What came of it.
    finished
        When it ended, local time as ISO 8601.
    seconds
        How long it took.
    partial
        Whether it was cancelled, and the outcome is what it had made.
    discarded
        Whether it was thrown away; undo brings it back.
    """

    id: str
    name: str
    run: Any
    outcome: Any
    finished: str = ""
    seconds: float = 0.0
    partial: bool = False
    discarded: bool = False

    @property
    def kind(self) -> RunKind:
        return self.run.kind


def why_stale(entry: RunEntry, state: State) -> str | None:
    """Return why a run no longer belongs to what is open; None where it does.

    The one place that decides it: a run belongs to its sections, as they were read, and to its
    region, as it was drawn.
    """
    for snapshot in entry.run.snapshots:
        if not state.has(snapshot):
            return f"The section '{snapshot.label}' was closed."
    return entry.run.changed_since(state)


def on_device(run: Any, device: Device) -> Any:
    """Return a run whose network computes on a device; the same one where it has no network."""
    names = {f.name for f in fields(run)}
    if "device" in names:
        run = replace(run, device=device)
    for part in names & {"generation", "region"}:
        if getattr(run, part) is not None:
            run = replace(run, **{part: on_device(getattr(run, part), device)})
    return run


def device_said(device: Device) -> str:
    """Return what a call in a script says of the device: nothing of the usual one."""
    return "" if device == "auto" else f", device={device!r}"


def is_closed(entry: RunEntry, state: State) -> bool:
    """Tell whether a section of a run was closed, so that it can no longer be kept."""
    return not all(state.has(snapshot) for snapshot in entry.run.snapshots)


def is_gone(entry: RunEntry, state: State) -> bool:
    """Tell whether all sections of a run were closed; until then what was kept of it stays."""
    return not any(state.has(snapshot) for snapshot in entry.run.snapshots)
