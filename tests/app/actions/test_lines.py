"""Actions come back from the lines of a journal."""

from __future__ import annotations

import json

import pytest

from napari_gest.app.actions import (
    Activate,
    AskNiches,
    ChangeView,
    Choose,
    CloseSections,
    Discard,
    FoundNiches,
    Keep,
    MergeNiches,
    RecolorNiche,
    RenameNiche,
    RenameRun,
    SetEdits,
    SetShapes,
    SetStrokes,
    ShowRuns,
)
from napari_gest.app.actions.lines import action_of
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.state import EditChoices, Label
from napari_gest.tissue.edits import Edit

_CORNERS = ((0.1, 1 / 3), (1e-9, 2.0), (5.0, -7.25))
ACTIONS = [
    Activate(label="a \u00e9"),
    AskNiches(id="run-1", by="number", value=5),
    FoundNiches(id="run-1", by="resolution", value=0.7),
    ChangeView.of(gene="g", value_limits=(0.1, 2.5), hidden=frozenset({"b", "a"})),
    ChangeView.of(of_run=("run-1", "niches"), band=None),
    Choose.of(seed=3, mode="sample", model=None, mask_key="m"),
    CloseSections(labels=("a", "b")),
    Discard(id="run-1"),
    Keep(id="run-1"),
    MergeNiches(id="run-1", names=("a", "b")),
    RecolorNiche(id="run-1", name="a", color="#ff0000"),
    RenameNiche(id="run-1", old="a", new="'b'"),
    RenameRun(id="run-1", name="mine"),
    SetEdits(
        edits=EditChoices(
            genes=(Edit("g", "multiply", 0.1), Edit("h", "knockout")),
            only=Label("column", "name"), strength=1 / 3,
        )
    ),
    SetShapes(
        role="named",
        shapes=(Shape(role="named", section="s", kind="ellipse", corners=_CORNERS, name="n"),),
    ),
    SetStrokes(
        strokes=(Stroke(section="s", mode="add", wkt="POLYGON ((0 0, 0 1, 1 1, 0 0))"),),
        clear_shapes=True,
    ),
    ShowRuns(kind="niches", ids=("run-1", "run-2")),
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.do)
def test_an_action_is_the_same_after_a_line(action):
    assert action_of(json.loads(json.dumps(action.model_dump(mode="json")))) == action


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"do": "dance"},
        {"do": 5},
        {"do": "keep"},
        {"do": "keep", "id": 5},
        {"do": "keep", "id": "run-1", "more": 1},
        {"do": "choose", "changes": {"color": 1}},
        {"do": "choose", "changes": {"seed": "many"}},
        {"do": "choose", "changes": {"mode": "guess"}},
        {"do": "choose", "changes": {"model": ["a"]}},
        {"do": "change_view", "changes": {"colour": 1}},
        {"do": "change_view", "changes": {"view": "upside down"}},
        {"do": "change_view", "changes": {"gene": 5}},
        {"do": "change_view", "changes": {"value_limits": [1]}},
        {"do": "change_view", "changes": {"hidden": 5}},
        {"do": "change_view", "changes": {"of_run": "run-1"}},
        {"do": "set_shapes", "role": "other", "shapes": []},
        {"do": "set_strokes", "strokes": [{"section": "s", "mode": "add", "wkt": "no wkt"}]},
        {"do": "set_strokes", "strokes": [{"section": "s", "mode": "add", "wkt": "POINT (0 0)"}]},
        {"do": "set_edits", "edits": {"genes": [{"gene": "g", "op": "melt"}]}},
    ],
)
def test_a_line_that_is_no_action_is_refused(line):
    with pytest.raises(ValueError, match="validation error"):
        action_of(line)
