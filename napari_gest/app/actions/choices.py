"""What is chosen for the next run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator

from napari_gest.app.actions.base import Action, Revert, typed
from napari_gest.app.state import Choices, EditChoices, State


class Choose(Action):
    """Change fields of ``Choices``: model, mode, seed, mask_key, device."""

    do: Literal["choose"] = "choose"
    changes: dict[str, Any]

    @classmethod
    def of(cls, **changes: Any) -> Choose:
        """Return the action that changes these fields."""
        return cls(changes=changes)

    @field_validator("changes")
    @classmethod
    def _known(cls, changes: dict[str, Any]) -> dict[str, Any]:
        return typed(Choices, changes)

    def apply(self, state: State) -> State:
        """Return the state with these choices. Values are shown in the space of the model."""
        choices: Choices = replace(state.choices, **self.changes)
        view = state.view
        if choices.model != state.choices.model:  # limits are in the model's space
            view = replace(view, value_limits=None)
        return replace(state, choices=choices, view=view)


class SetEdits(Action):
    """Put other edits in the place of those of the region to edit."""

    do: Literal["set_edits"] = "set_edits"
    edits: EditChoices = Field(default_factory=EditChoices)

    @property
    def title(self) -> str:
        return "edits"

    def apply(self, state: State) -> State:
        """Return the state with these edits."""
        return replace(state, edits=self.edits)

    def revert(self, before: State) -> Revert:
        old = before.edits
        return lambda now: replace(now, edits=old)
