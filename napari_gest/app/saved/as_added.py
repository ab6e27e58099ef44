"""A saved run as it was when it was added; the lines of the journal then change it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from napari_gest.app.actions import Action, AskNiches, FoundNiches
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.runs.niche_outcome import NicheOutcome


def as_added(entry: RunEntry, name: str = "") -> RunEntry:
    """Return a run as it was when it was added.

    Parameters
    ----------
    entry
        The run, as it was saved.
    name
        The name it had.
    """
    outcome = entry.outcome
    if isinstance(outcome, NicheOutcome):
        _, number = next(iter(outcome.edits))  # what was asked for first
        outcome = NicheOutcome.of(outcome.search, int(number))
    elif isinstance(outcome, GenerationOutcome):
        outcome = outcome.as_made()
    return replace(entry, name=name or entry.run.title, outcome=outcome, discarded=False)


def with_found(action: Action | str, entries: Mapping[str, RunEntry]) -> Action | str:
    """Return an action with the niches that it speaks of, where they were saved.

    Parameters
    ----------
    action
        As it was read.
    entries
        Runs by id, as they were saved.
    """
    if not isinstance(action, AskNiches | FoundNiches) or action.id not in entries:
        return action
    outcome = entries[action.id].outcome
    if not isinstance(outcome, NicheOutcome):
        return action
    asked = (action.by, action.value)
    first = next(iter(outcome.edits.get(asked, ())), None)
    if first is None or first.niches.settings.get("method") == "tree":
        return action  # the tree gives those
    if isinstance(action, FoundNiches):
        stability = outcome.stability.get(asked) if action.stable else None
        return action.model_copy(update={"niches": first, "stability": stability})
    if action.by == "resolution":
        return action.model_copy(update={"found": first.niches})
    return action
