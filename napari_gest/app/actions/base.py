"""What all actions have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter

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


def typed(kind: type, changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes of fields of a dataclass, each of the type of its field.

    Raises
    ------
    ValueError
        If there is no such field, or a value is of another type.
    """
    adapters = _adapters(kind)
    unknown = changes.keys() - adapters.keys()
    if unknown:
        raise ValueError(f"a {kind.__name__} has no {', '.join(sorted(unknown))}")
    return {name: adapters[name].validate_python(_plain(v)) for name, v in changes.items()}


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in get_type_hints(kind).items()}


def _plain(value: Any) -> Any:
    """Return a value without numpy's numbers."""
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") else value
