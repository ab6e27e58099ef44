"""Drawing, moving and removing shapes, and strokes of the brush."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from napari_gest.app.actions.base import Action, Revert
from napari_gest.app.regions import Role, Shape, Stroke
from napari_gest.app.state import State

_ROLES: tuple[Role, ...] = get_args(Role)


class SetShapes(Action):
    """Put shapes in the place of all that were drawn for a role."""

    do: Literal["set_shapes"] = "set_shapes"
    role: Role
    shapes: tuple[Shape, ...]

    @property
    def title(self) -> str:
        return {"unseen": "region", "named": "named regions", "edited": "region to edit"}[self.role]

    def apply(self, state: State) -> State:
        """Return the state with these shapes; a section newly drawn on is then in use."""
        shapes = _put(state, self.role, self.shapes)
        new = [s for s in self.shapes if s not in state.shapes and s.section in state.sections]
        return replace(state, shapes=shapes, active=new[-1].section if new else state.active)

    def revert(self, before: State) -> Revert:
        old = tuple(s for s in before.shapes if s.role == self.role)
        return lambda now: replace(now, shapes=_put(now, self.role, old))


class SetStrokes(Action):
    """Put strokes in the place of all that were painted.

    With ``clear_shapes`` the shapes to edit on the section in use go, as one step of undo.
    """

    do: Literal["set_strokes"] = "set_strokes"
    strokes: tuple[Stroke, ...]
    clear_shapes: bool = False

    @property
    def title(self) -> str:
        return "brush" if self.strokes else "clearing"

    def apply(self, state: State) -> State:
        """Return the state with these strokes."""
        shapes = state.shapes
        if self.clear_shapes:
            shapes = tuple(s for s in shapes if (s.role, s.section) != ("edited", state.active))
        strokes = tuple(s for s in self.strokes if s.section in state.sections)
        return replace(state, strokes=strokes, shapes=shapes)

    def revert(self, before: State) -> Revert:
        strokes = before.strokes
        shapes = tuple(s for s in before.shapes if s.role == "edited")

        def back(now: State) -> State:
            kept = tuple(s for s in strokes if s.section in now.sections)
            put = _put(now, "edited", shapes) if self.clear_shapes else now.shapes
            return replace(now, strokes=kept, shapes=put)

        return back


def _put(state: State, role: Role, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Return all shapes, with others for a role; those on sections that are closed are left out."""
    others = [s for s in state.shapes if s.role != role]
    new = [s for s in shapes if s.role == role and s.section in state.sections]
    # By role, so that the same shapes are the same value, whichever was drawn first.
    return tuple(sorted([*others, *new], key=lambda shape: _ROLES.index(shape.role)))
