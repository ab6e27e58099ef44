"""The list of runs: adding, keeping, discarding, naming and looking at them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.run_preview import following, of_run_view, showing
from napari_gest.app.runs.base import RunEntry, RunKind, is_closed
from napari_gest.app.state import State
from napari_gest.app.view_state import VIEWS_OF
from napari_gest.errors import InputError


class AddRun(Action):
    """Add a run that has ended, and look at it."""

    do: Literal["add_run"] = "add_run"
    id: str
    name: str = ""
    kind: str = ""
    entry: Any = Field(default=None, exclude=True, repr=False)

    @classmethod
    def of(cls, entry: RunEntry) -> AddRun:
        """Return the action that adds a run."""
        return cls(id=entry.id, name=entry.name, kind=entry.kind, entry=entry)

    def apply(self, state: State) -> State:
        """Return the state with the run. Where its section was closed meanwhile, it is dropped."""
        if self.entry is None or is_closed(self.entry, state):
            return state
        entry = replace(self.entry, name=_free_name(self.entry.name, self.id, state))
        added = replace(state, runs=(*state.runs, entry), view=showing(state.view, entry))
        return added.with_shown(entry.kind, (entry.id,))


class UpdateRun(Action):
    """Put another outcome in the place of a run's, such as an effect with its p-values.

    ``partial`` says whether it is that of a run which goes on or was cut off; by default that
    stays as it is.
    """

    do: Literal["update_run"] = "update_run"
    id: str
    partial: bool | None = None
    seconds: float | None = Field(default=None, exclude=True)
    outcome: Any = Field(default=None, exclude=True, repr=False)

    def apply(self, state: State) -> State:
        """Return the state with the outcome; the same where there is none, or the run is gone."""
        if self.outcome is None or self.id not in {entry.id for entry in state.runs}:
            return state
        entry = state.entry(self.id)
        partial = entry.partial if self.partial is None else self.partial
        seconds = entry.seconds if self.seconds is None else self.seconds
        return state.with_entry(
            replace(entry, outcome=self.outcome, partial=partial, seconds=seconds)
        )


class ShowDraw(Action):
    """Look at another draw of a run of generation; new ones join those there are.

    Once a session is read again, its runs have all draws from the start, so those that join are
    no part of the journal.
    """

    do: Literal["show_draw"] = "show_draw"
    id: str
    draw: int
    added: Any = Field(default=(), exclude=True, repr=False)

    @property
    def title(self) -> str:
        return "draw shown"

    def apply(self, state: State) -> State:
        """Return the state in which it is looked at; the same where there is no such draw."""
        entry = next((one for one in state.listed("generation") if one.id == self.id), None)
        if entry is None or not hasattr(entry.outcome, "n_draws"):  # cells of a file
            return state
        outcome = entry.outcome
        if self.added and outcome.n_draws < self.draw:  # done again they are there already
            outcome = outcome.with_draws(tuple(self.added))
        if not 1 <= self.draw <= outcome.n_draws or (
            outcome is entry.outcome and outcome.number == self.draw
        ):
            return state
        return state.with_entry(replace(entry, outcome=outcome.showing(self.draw)))

    def revert(self, before: State) -> Revert:
        """Return what looks at the draw before; those that joined stay."""
        found = (e.outcome for e in before.listed("generation") if e.id == self.id)
        old = getattr(next(found, None), "number", 1)
        return lambda now: ShowDraw(id=self.id, draw=old).apply(now)


class Keep(Action):
    """Write the result of a run into the open tissue, never into X."""

    do: Literal["keep"] = "keep"
    id: str

    @property
    def title(self) -> str:
        return "keeping"

    def apply(self, state: State) -> State:
        """Return the state in which the run is kept.

        Raises
        ------
        InputError
            If a section of it was closed.
        """
        entry = state.entry(self.id)
        if is_closed(entry, state):
            raise InputError("The section of this result was closed.", "Open it and run again.")
        kept = getattr(entry.outcome, "kept", None)  # what is kept may be one of several cuts
        if kept is not None:
            state = state.with_entry(replace(entry, outcome=kept()))
        return replace(state, kept=(*(i for i in state.kept if i != self.id), self.id))

    def revert(self, before: State) -> Revert:
        place = before.kept
        old = before.entry(self.id).outcome

        def back(now: State) -> State:
            known = {entry.id for entry in now.runs}
            if self.id not in known:
                return now
            entry = now.entry(self.id)
            if hasattr(old, "kept_as"):
                now = now.with_entry(replace(entry, outcome=entry.outcome.kept_as(old)))
            wanted = {*now.kept} - {self.id} | {self.id} & {*place}
            return replace(now, kept=_in_order(wanted, place, now.kept))

        return back


class Discard(Action):
    """Throw a run away; what it had written into the open tissue goes with it."""

    do: Literal["discard"] = "discard"
    id: str

    @property
    def title(self) -> str:
        return "discarding"

    def apply(self, state: State) -> State:
        """Return the state without the run."""
        entry = state.entry(self.id)
        left = replace(state, kept=tuple(i for i in state.kept if i != self.id))
        left = left.with_entry(replace(entry, discarded=True))
        ids = tuple(i for i in state.shown.get(entry.kind, ()) if i != self.id)
        if not ids:  # look at the one before
            ids = tuple(one.id for one in list(left.listed(entry.kind))[-1:])
        return following(left.with_shown(entry.kind, ids))

    def revert(self, before: State) -> Revert:
        kept, shown, view = before.kept, before.shown, before.view
        kind = before.entry(self.id).kind

        def back(now: State) -> State:
            if self.id not in {entry.id for entry in now.runs}:
                return now
            entry = now.entry(self.id)
            name = _free_name(entry.name, self.id, now)
            again = now.with_entry(replace(entry, name=name, discarded=False))
            if self.id in kept:
                again = replace(again, kept=_in_order({*now.kept, self.id}, kept, now.kept))
            if view.view in VIEWS_OF.get(kind, ()):
                again = replace(again, view=replace(again.view, view=view.view))
            if view.of_run is not None and view.of_run[0] == self.id:
                again = replace(again, view=of_run_view(again.view, *view.of_run))
            listed = {entry.id for entry in again.listed(kind)}
            ids = tuple(i for i in shown.get(kind, ()) if i in listed)
            return again.with_shown(kind, ids or (self.id,))

        return back


class RenameRun(Action):
    """Give a run another name."""

    do: Literal["rename_run"] = "rename_run"
    id: str
    name: str

    @property
    def title(self) -> str:
        return "name of a run"

    def apply(self, state: State) -> State:
        """Return the state with the name.

        Raises
        ------
        InputError
            If the name is empty or another run has it.
        """
        name = self.name.strip()
        others = {entry.name for entry in state.listed() if entry.id != self.id}
        if not name or name in others:
            raise InputError(
                f"There is a run '{name}' already." if name else "A run needs a name.",
                "Type another name.",
            )
        return state.with_entry(replace(state.entry(self.id), name=name))

    def revert(self, before: State) -> Revert:
        old = before.entry(self.id).name

        def back(now: State) -> State:
            if self.id not in {entry.id for entry in now.runs}:
                return now
            name = _free_name(old, self.id, now)  # another run may have taken it since
            return now.with_entry(replace(now.entry(self.id), name=name))

        return back


class ShowRuns(Action):
    """Look at other runs of a kind, the first in place and others beside it."""

    do: Literal["show_runs"] = "show_runs"
    kind: RunKind
    ids: tuple[str, ...]

    def apply(self, state: State) -> State:
        """Return the state in which these are looked at."""
        listed = {entry.id for entry in state.listed(self.kind)}
        ids = tuple(i for i in self.ids if i in listed)
        return following(state.with_shown(self.kind, ids))


def _in_order(wanted: set[str], before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    """Return ids in the order that they had before; those that are new since come last."""
    return tuple(i for i in dict.fromkeys((*before, *now)) if i in wanted)


def _free_name(name: str, id: str, state: State) -> str:
    """Return a name for a run that no other on the list has: this one, or it with a number."""
    taken = {entry.name for entry in state.listed() if entry.id != id}
    free, number = name, 2
    while free in taken:
        free = f"{name} ({number})"
        number += 1
    return free
