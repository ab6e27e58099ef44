"""Everything a user does, as small frozen values that are applied in one place, the journal."""

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

__all__ = [
    "Action",
    "Activate",
    "AddRun",
    "AskNiches",
    "ChangeView",
    "Choose",
    "CloseSections",
    "Discard",
    "FoundNiches",
    "Keep",
    "MergeNiches",
    "OpenSections",
    "RecolorNiche",
    "RenameNiche",
    "RenameRun",
    "SetEdits",
    "SetShapes",
    "SetStrokes",
    "ShowDraw",
    "ShowRuns",
    "UpdateRun",
]
