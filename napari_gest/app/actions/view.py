"""What the canvas shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import field_serializer, field_validator

from napari_gest.app.actions.base import Action, typed
from napari_gest.app.state import State
from napari_gest.app.view_state import EFFECT_VIEWS, ViewState

_SOURCES = ("gene", "column", "of_run")


class ChangeView(Action):
    """Change fields of the ``ViewState``.

    What is shown is one of gene, column and run: a new one takes the place of the others.
    """

    do: Literal["change_view"] = "change_view"
    changes: dict[str, Any]

    @classmethod
    def of(cls, **changes: Any) -> ChangeView:
        """Return the action that changes these fields."""
        return cls(changes=changes)

    @field_validator("changes")
    @classmethod
    def _known(cls, changes: dict[str, Any]) -> dict[str, Any]:
        return typed(ViewState, changes)

    @field_serializer("changes")
    def _plain(self, changes: dict[str, Any]) -> dict[str, Any]:
        return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in changes.items()}

    def apply(self, state: State) -> State:
        """Return the state with this view."""
        changes = self.changes
        of_run = changes.get("of_run")
        if of_run is not None and of_run[0] not in {entry.id for entry in state.listed()}:
            return state
        if any(changes.get(source) is not None for source in _SOURCES):
            changes = dict.fromkeys(_SOURCES) | changes
        if changes.get("of_run") is not None:
            changes = {"view": state.view.plain_view} | changes
        view = replace(state.view, **changes)
        if view.gene is None and view.view in EFFECT_VIEWS:  # effects are on genes
            view = replace(view, view="measured")
        return replace(state, view=view)
