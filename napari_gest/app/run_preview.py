"""What a view of a run shows: its colours before it is kept, and what takes its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from napari_gest.app.colors import Categories
from napari_gest.app.first_view import first_view
from napari_gest.app.preview import Preview
from napari_gest.app.runs.base import RunEntry, RunKind
from napari_gest.app.runs.labels import Labelled
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.state import State
from napari_gest.app.view_state import ViewState

# What of a run is shown first.
_FIRST: dict[RunKind, str] = {"niches": "niches", "labels": "label"}
# By what it is made of: niches, of their search; labels, of what is shown of them.
_MADE: WeakKeyDictionary[Any, dict[Any, Preview]] = WeakKeyDictionary()


def preview_of(state: State) -> Preview | None:
    """Return the values of the run that the view is of; None where it is of none."""
    if state.view.of_run is None:
        return None
    id_, what = state.view.of_run
    for entry in state.listed():
        if entry.id == id_:
            return _preview(entry.outcome, what)
    return None


def showing(view: ViewState, entry: RunEntry) -> ViewState:
    """Return the view of a run that has just ended, where it is of a kind with colours."""
    if entry.kind not in _FIRST:
        return view
    return of_run_view(view, entry.id, _FIRST[entry.kind])


def following(state: State) -> State:
    """Return the state whose view is of no run that is gone or is not looked at any more.

    It turns to the run of the same kind that is looked at, or else to what a tissue that was just
    opened shows.
    """
    view = state.view
    if view.of_run is None:
        return state
    id_, what = view.of_run
    kind: RunKind = "niches" if what == "niches" else "labels"
    shown = [entry.id for entry in state.shown_runs(kind)]
    if id_ in shown:
        return state
    if shown:
        return replace(state, view=of_run_view(view, shown[0], what))
    return replace(state, view=ViewState() if state.opened is None else first_view(state.opened))


def of_run_view(view: ViewState, id_: str, what: str) -> ViewState:
    """Return the view that shows a run in place of a gene or a column."""
    return replace(
        view,
        gene=None,
        column=None,
        of_run=(id_, what),
        view=view.plain_view,
        hidden=frozenset(),
        value_limits=None,
    )


def _preview(outcome: Any, what: str) -> Preview | None:
    if isinstance(outcome, NicheOutcome):
        made, key = _MADE.setdefault(outcome.niches, {}), id(outcome.search)
        if key not in made:
            made.clear()
            made[key] = outcome.search.preview(outcome.niches)
        return made[key]
    if isinstance(outcome, Labelled):
        made = _MADE.setdefault(outcome, {})
        if what not in made:
            made[what] = _labels(outcome, what)
        return made[what]
    return None


def _labels(outcome: Labelled, what: str) -> Preview:
    annotated, section = outcome.annotated, outcome.run.target.label
    if what == "confidence":
        return Preview("confidence of labels", {section: annotated.confidence})
    named = Categories(annotated.classes, outcome.colors, annotated.labels)
    return Preview("labels", {section: named})
