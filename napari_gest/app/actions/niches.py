"""Niches of a search: how many are shown, and names, merges and colours given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.run_preview import of_run_view
from napari_gest.app.runs.niche_outcome import NicheEdit, NicheOutcome
from napari_gest.app.state import State
from napari_gest.errors import InputError

if TYPE_CHECKING:
    from napari_gest.tasks.niches.niches import Clustered

_PREVIEW = InputError(
    "This is a preview.", "Wait until the niches themselves are found, then change them."
)


class AskNiches(Action):
    """Show another number of niches, or those of a resolution."""

    do: Literal["ask_niches"] = "ask_niches"
    id: str
    by: Literal["number", "resolution"]
    value: float
    found: Any = Field(default=None, exclude=True, repr=False)

    def apply(self, state: State) -> State:
        """Return the state that shows them; of a number a preview until they are found."""
        asked = (self.by, self.value)

        def change(outcome: NicheOutcome) -> NicheOutcome:
            unknown = self.by == "resolution" and asked not in outcome.edits  # it was not saved
            if self.found is None and (asked == outcome.asked or unknown):
                return outcome
            return outcome.asking(asked, self.found)

        return _seen(_changed(state, self.id, change, others=True), self.id)


class FoundNiches(Action):
    """Put niches in the place of their preview, or tell how stable they are.

    A journal says only which of the two; what was found is read with the result of the run.
    """

    do: Literal["found_niches"] = "found_niches"
    id: str
    by: Literal["number", "resolution"]
    value: float
    stable: bool = False
    niches: Any = Field(default=None, exclude=True, repr=False)
    stability: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _of_what(cls, given: Any) -> Any:
        stable = isinstance(given, dict) and given.get("stability") is not None
        return {**given, "stable": True} if stable else given

    def apply(self, state: State) -> State:
        """Return the state with the niches."""
        asked = (self.by, self.value)

        def change(outcome: NicheOutcome) -> NicheOutcome:
            if asked not in outcome.edits:
                return outcome
            if self.stability is not None:
                return outcome.with_stability(asked, self.stability)
            if self.stable or self.niches is None:  # it was not saved
                return outcome
            if isinstance(self.niches, NicheEdit):  # read from a saved session
                return outcome.with_first(asked, self.niches)
            return outcome.with_found(asked, self.niches)

        return _changed(state, self.id, change, others=not self.stable)


class NicheChange(Action):
    """A change by hand of the niches shown."""

    id: str

    def call(self) -> str:
        """Return the call on the niches that does the same."""
        raise NotImplementedError

    def change(self, niches: Clustered) -> Clustered:
        """Return the changed niches."""
        raise NotImplementedError

    def renames(self) -> dict[str, str]:
        """Return new names by the old ones, of niches that stay the same."""
        return {}

    def apply(self, state: State) -> State:
        """Return the state with the change.

        Raises
        ------
        InputError
            If what is shown is a preview, or a name is taken.
        """
        outcome: NicheOutcome = state.entry(self.id).outcome
        if outcome.is_preview:
            raise _PREVIEW
        niches = self.change(outcome.niches)
        new = self.renames()
        changed = _changed(state, self.id, lambda o: o.with_edit(niches, self.call()), new)
        return _seen(changed, self.id)

    def revert(self, before: State) -> Revert:
        old: NicheOutcome = before.entry(self.id).outcome
        asked, edits = old.asked, old.edits[old.asked]
        again = {new: name for name, new in self.renames().items()}

        def back(now: State) -> State:
            changed = _changed(now, self.id, lambda o: o.with_edits(asked, edits), again)
            return _seen(changed, self.id)

        return back


class RenameNiche(NicheChange):
    """Give a niche another name."""

    do: Literal["rename_niche"] = "rename_niche"
    old: str
    new: str

    @property
    def title(self) -> str:
        return "name of a niche"

    def call(self) -> str:
        return f"renamed({{{self.old!r}: {self.new!r}}})"

    def change(self, niches: Clustered) -> Clustered:
        return niches.renamed(self.renames())

    def renames(self) -> dict[str, str]:
        return {self.old: self.new}


class MergeNiches(NicheChange):
    """Make one niche of several, under the first of their names."""

    do: Literal["merge_niches"] = "merge_niches"
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        return "merging niches"

    def call(self) -> str:
        return f"merged({list(self.names)!r})"

    def change(self, niches: Clustered) -> Clustered:
        return niches.merged(list(self.names))


class RecolorNiche(NicheChange):
    """Give a niche another colour, "#rrggbb"."""

    do: Literal["recolor_niche"] = "recolor_niche"
    name: str
    color: str

    @property
    def title(self) -> str:
        return "colour of a niche"

    def call(self) -> str:
        return f"recolored({{{self.name!r}: {self.color!r}}})"

    def change(self, niches: Clustered) -> Clustered:
        return niches.recolored({self.name: self.color})


def _changed(
    state: State,
    id: str,
    change: Callable[[NicheOutcome], NicheOutcome],
    renames: Mapping[str, str] = MappingProxyType({}),
    others: bool = False,
) -> State:
    """Return the state with another outcome of a run; the same where the run is gone.

    A niche that is hidden stays so under its new name, by the old one in ``renames``. No niche
    stays hidden that is there no more; of other niches, ``others``, all are shown.
    """
    for entry in state.runs:
        if entry.id == id:
            outcome: NicheOutcome = change(entry.outcome)
            if outcome is entry.outcome:
                return state
            state = state.with_entry(replace(entry, outcome=outcome))
            view = state.view
            if view.of_run == (id, "niches") and outcome.niches is not entry.outcome.niches:
                named = frozenset(renames.get(name, name) for name in view.hidden)
                hidden = frozenset() if others else named.intersection(outcome.niches.names)
                state = replace(state, view=replace(view, hidden=hidden))
            return state
    return state


def _seen(state: State, id: str) -> State:
    """Return the state whose view is of the niches of a run, so that a change of them is seen."""
    if state.view.of_run == (id, "niches") or id not in {entry.id for entry in state.listed()}:
        return state
    return replace(state, view=of_run_view(state.view, id, "niches"))
