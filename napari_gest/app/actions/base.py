"""What all actions have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from napari_gest.app.state import State

Revert = Callable[["State"], "State"]


class Action(BaseModel):
    """One thing a user does. Frozen; its fields, but for those excluded, are a line of the journal.

    ``do`` names the kind of action in the journal.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    do: str

    @property
    def title(self) -> str:
        """What is undone, for the tooltip of the button."""
        return self.do.replace("_", " ")

    def apply(self, state: State) -> State:
        """Return the state after it.

        Raises
        ------
        InputError
            If it is not possible now; nothing has changed then.
        """
        raise NotImplementedError

    def revert(self, before: State) -> Revert | None:
        """Return what undoes it, given the state it was applied to; None where nothing can.

        What it returns changes only what the action had changed, so that whatever was done since
        without being undoable, such as opening tissue, stays.
        """
        return None
