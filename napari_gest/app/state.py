"""All that a session holds, as one frozen value. Only actions make another one of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from napari_gest.app.obs_columns import masks
from napari_gest.app.opened import Opened, Snapshot
from napari_gest.app.regions import Role, Shape, Stroke, of_role
from napari_gest.app.runs.base import RunEntry, RunKind
from napari_gest.app.view_state import ViewState
from napari_gest.model.devices import Device
from napari_gest.tissue.edits import Edit

Mode = Literal["weighted", "pick", "sample"]


@dataclass(frozen=True)
class Choices:
    """What is set for the next run.

    Attributes
    ----------
    model
        Name of a model in the registry.
    mode
        Read-out of generation.
    seed
        Seed of the next run.
    mask_key
        obs column that marks the cells to generate; None where a region is drawn.
    check
        A check follows each run of generation.
    believable
        Only genes that the check believes in are listed.
    device
        Where networks compute.
    """

    model: str | None = None
    mode: Mode = "sample"
    seed: int = 0
    mask_key: str | None = None
    check: bool = True
    believable: bool = False
    device: Device = "auto"


@dataclass(frozen=True)
class Label:
    """Cells of one label of an obs column."""

    column: str
    name: str


@dataclass(frozen=True)
class EditChoices:
    """What is changed in the cells of the region to edit.

    Attributes
    ----------
    genes
        Edits of genes.
    only
        Only these cells of the region are edited; all where None.
    become
        The cells become copies of these.
    remove
        The cells are taken out.
    strength
        How strong the edits are; 1 is as they stand.
    readout
        Name of a read-out of the surroundings; the usual one where empty.
    """

    genes: tuple[Edit, ...] = ()
    only: Label | None = None
    become: Label | None = None
    remove: bool = False
    strength: float = 1.0
    readout: str = ""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class State:
    """What is open, drawn, chosen, shown and made.

    Attributes
    ----------
    sections
        Open sections by label, in the order they were opened.
    active
        Label of the section in use.
    shapes, strokes
        Regions and strokes of the brush, on all sections: shapes by role, those of a role and
        strokes in the order they were drawn.
    choices, edits
        What is set for the next run.
    view
        What the canvas shows.
    runs
        Runs that have ended, oldest first, those discarded too.
    kept
        Ids of the runs that are kept, in the order they were kept.
    shown
        Ids of the runs that are looked at, by kind, the first chosen first.
    """

    sections: Mapping[str, Opened] = field(default_factory=_nothing)
    active: str | None = None
    shapes: tuple[Shape, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    choices: Choices = field(default_factory=Choices)
    edits: EditChoices = field(default_factory=EditChoices)
    view: ViewState = field(default_factory=ViewState)
    runs: tuple[RunEntry, ...] = ()
    kept: tuple[str, ...] = ()
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)

    @property
    def opened(self) -> Opened | None:
        """The section in use."""
        return None if self.active is None else self.sections.get(self.active)

    def has(self, snapshot: Snapshot) -> bool:
        """Tell whether the section that a run started from is still open."""
        opened = self.sections.get(snapshot.label)
        return opened is not None and opened.section is snapshot.section

    @property
    def mask_key(self) -> str | None:
        """The obs column that marks the cells to generate, where the section in use has it."""
        key, opened = self.choices.mask_key, self.opened
        return key if key is not None and opened is not None and key in masks(opened) else None

    def region(self, role: Role) -> tuple[Shape, ...]:
        """Return the shapes of a role on the section in use."""
        return of_role(self.shapes, role, self.active)

    def active_strokes(self) -> tuple[Stroke, ...]:
        """Return the strokes of the brush on the section in use."""
        return tuple(s for s in self.strokes if s.section == self.active)

    def entry(self, id: str) -> RunEntry:
        """Return a run.

        Raises
        ------
        KeyError
            If there is none of this id.
        """
        for entry in self.runs:
            if entry.id == id:
                return entry
        raise KeyError(id)

    def listed(self, kind: RunKind | None = None) -> Iterator[RunEntry]:
        """Yield the runs that were not discarded, of one kind or of all, oldest first."""
        for entry in self.runs:
            if not entry.discarded and kind in (None, entry.kind):
                yield entry

    def shown_runs(self, kind: RunKind) -> tuple[RunEntry, ...]:
        """Return the runs of a kind that are looked at, the first chosen first."""
        listed = {entry.id: entry for entry in self.listed(kind)}
        return tuple(listed[id] for id in self.shown.get(kind, ()) if id in listed)

    def shown_run(self, kind: RunKind) -> RunEntry | None:
        """Return the run of a kind that is looked at first."""
        return next(iter(self.shown_runs(kind)), None)

    def with_entry(self, entry: RunEntry) -> State:
        """Return the state with another entry in the place of the one with its id."""
        runs = tuple(entry if one.id == entry.id else one for one in self.runs)
        return replace(self, runs=runs)

    def with_shown(self, kind: RunKind, ids: tuple[str, ...]) -> State:
        """Return the state in which other runs of a kind are looked at.

        Where none is any more, the views of that kind end.
        """
        shown = MappingProxyType({**self.shown, kind: ids})
        view = self.view.without(kind) if not ids else self.view
        return replace(self, shown=shown, view=view)

    def changed_fields(self, other: State) -> frozenset[str]:
        """Return the names of the fields that differ from those of another state."""
        names = (f.name for f in fields(self))
        return frozenset(name for name in names if getattr(self, name) != getattr(other, name))
