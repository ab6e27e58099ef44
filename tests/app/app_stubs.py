"""Runs of a moment, whose results write one column of obs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from anndata import AnnData

from napari_gest.app.journal import Journal
from napari_gest.app.opened import Opened, Snapshot
from napari_gest.app.regions import Shape, of_role
from napari_gest.app.runs.base import RunEntry, RunKind
from napari_gest.app.state import State
from napari_gest.errors import InputError

SQUARE = ((0.0, 0.0), (0.0, 60.0), (60.0, 60.0), (60.0, 0.0))


@dataclass(frozen=True, eq=False)
class StubResult:
    """A result for the cells of some sections of one file.

    Attributes
    ----------
    rows
        Row of each cell in the AnnData.
    key
        The column it writes.
    fails
        Whether it breaks off in the middle, when something is written already.
    """

    rows: np.ndarray
    key: str
    fails: bool = False

    def write(self, adata: AnnData) -> frozenset[str]:
        column = np.zeros(adata.n_obs, bool)
        if self.key in adata.obs:
            column = adata.obs[self.key].to_numpy(copy=True)
        column[self.rows] = True
        adata.obs[self.key] = column
        if self.fails:
            raise InputError("The disk is full.", "Make room.")
        return frozenset({self.key})

    def to_anndata(self, adata: AnnData) -> AnnData:
        copy = adata.copy()
        self.write(copy)
        return copy


@dataclass(frozen=True, eq=False)
class StubOutcome:
    """What a stub run returns: a result for each AnnData of its sections."""

    key: str
    labels: tuple[str, ...]
    fails_on: tuple[str, ...] = ()
    agreement_text: str = ""
    n_draws: int = 1
    number: int = 1
    made: dict[Any, StubResult] = field(default_factory=dict)

    def with_draws(self, draws: tuple[Any, ...]) -> StubOutcome:
        return replace(self, n_draws=self.n_draws + len(draws))

    def showing(self, number: int) -> StubOutcome:
        return replace(self, number=number)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], StubResult]]:
        found: dict[int, list[Opened]] = {}
        for label in self.labels:
            opened = state.sections[label]
            found.setdefault(id(opened.adata), []).append(opened)
        results = []
        for key, sections in found.items():
            if key not in self.made:
                rows = np.concatenate([opened.section.rows for opened in sections])
                fails = any(opened.label in self.fails_on for opened in sections)
                self.made[key] = StubResult(rows, self.key, fails)
            results.append((tuple(sections), self.made[key]))
        return results


@dataclass(frozen=True, eq=False)
class StubRun:
    """What was asked for."""

    kind: RunKind
    snapshots: tuple[Snapshot, ...]
    shapes: tuple[Shape, ...] = ()
    title: str = "a run"
    seed: int = 0
    model: None = None
    settings: ClassVar[str] = "as usual"

    def changed_since(self, state: State) -> str | None:
        drawn = of_role(state.shapes, "unseen", self.snapshots[0].label)
        return None if drawn == self.shapes else "The region was changed since."


def entry_of(
    state: State,
    id: str,
    labels: Sequence[str] | None = None,
    kind: RunKind = "generation",
    key: str | None = None,
    fails_on: Sequence[str] = (),
    **fields: Any,
) -> RunEntry:
    """Return the entry of a stub run on sections; on the one in use by default."""
    labels = tuple(labels or [state.active])
    snapshots = tuple(Snapshot(label, state.sections[label].section) for label in labels)
    run = StubRun(kind, snapshots, of_role(state.shapes, "unseen", labels[0]))
    outcome = StubOutcome(key or f"gest_stub_{id}", labels, tuple(fails_on))
    return RunEntry(id, fields.pop("name", "a run"), run, outcome, **fields)


def shape(section: str, role: str = "unseen", at: float = 0.0, name: str = "") -> Shape:
    """Return a square on a section."""
    corners = tuple((x + at, y + at) for x, y in SQUARE)
    return Shape(role=role, section=section, kind="polygon", corners=corners, name=name)


def own_keys(adata: AnnData) -> set[str]:
    """Return the project's own keys in an AnnData."""
    found = {*adata.obs, *adata.obsm, *adata.layers, *adata.uns}
    return {str(key) for key in found if str(key).startswith("gest")}


def heard_by(journal: Journal) -> list[frozenset[str]]:
    """Return a list that grows by what the session tells of each action."""
    heard: list[frozenset[str]] = []
    journal.session.changed.connect(heard.append)
    return heard
