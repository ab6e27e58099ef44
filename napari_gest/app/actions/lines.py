"""From a line of a journal to the action it is."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from napari_gest.app.actions.base import Action
from napari_gest.app.actions.choices import Choose, SetEdits
from napari_gest.app.actions.niches import (
    AskNiches,
    FoundNiches,
    MergeNiches,
    RecolorNiche,
    RenameNiche,
)
from napari_gest.app.actions.regions import SetShapes, SetStrokes
from napari_gest.app.actions.runs import (
    AddRun,
    Discard,
    Keep,
    RenameRun,
    ShowDraw,
    ShowRuns,
    UpdateRun,
)
from napari_gest.app.actions.tissue import Activate, CloseSections, OpenSections
from napari_gest.app.actions.view import ChangeView

AnyAction = Annotated[
    Activate | AddRun | AskNiches | ChangeView | Choose | CloseSections | Discard | FoundNiches
    | Keep | MergeNiches | OpenSections | RecolorNiche | RenameNiche | RenameRun | SetEdits
    | SetShapes | SetStrokes | ShowDraw | ShowRuns | UpdateRun,
    Field(discriminator="do"),
]  # fmt: skip
NAMES = frozenset(kind.model_fields["do"].default for kind in get_args(get_args(AnyAction)[0]))
_ADAPTER: TypeAdapter[Action] = TypeAdapter(AnyAction)


def action_of(line: dict[str, Any]) -> Action:
    """Return the action that a line of a journal is.

    Raises
    ------
    ValueError
        If it is none; pydantic's ValidationError is one.
    """
    return _ADAPTER.validate_python(line)
