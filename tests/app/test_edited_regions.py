"""The region to edit and the views of effects, by actions alone."""

from __future__ import annotations

import pytest
from app_stubs import entry_of, shape

from napari_gest.app.actions import (
    AddRun,
    ChangeView,
    CloseSections,
    Discard,
    SetShapes,
    SetStrokes,
    ShowRuns,
)
from napari_gest.app.regions import Stroke

ONE, TWO = "section_1", "section_2"


def _stroke(section: str) -> Stroke:
    return Stroke(section=section, mode="add", wkt="POLYGON ((0 0, 0 9, 9 9, 0 0))")


def test_clearing_leaves_what_lies_on_other_sections(work):
    session = work.session
    work.do(SetShapes(role="edited", shapes=(shape(ONE, "edited"), shape(TWO, "edited"))))
    work.do(SetStrokes(strokes=(_stroke(ONE), _stroke(TWO))))
    before = session.state
    active, other = before.active, ONE if before.active == TWO else TWO
    others = tuple(s for s in before.strokes if s.section != active)
    work.do(SetStrokes(strokes=others, clear_shapes=True))
    assert not session.state.region("edited")
    assert not session.state.active_strokes()
    assert [s.section for s in session.state.shapes] == [other]
    assert [s.section for s in session.state.strokes] == [other]
    work.undo()  # both in one step
    assert (session.state.shapes, session.state.strokes) == (before.shapes, before.strokes)
    work.redo()
    assert [s.section for s in session.state.shapes] == [other]


@pytest.mark.parametrize("last", ["hidden", "discarded", "closed"])
def test_the_view_of_an_effect_ends_with_the_last_one_shown(work, last):
    session = work.session
    entry = entry_of(session.state, "run-1", kind="perturbation")
    work.do(AddRun.of(entry))
    gene = session.state.opened.section.genes[0]
    work.do(ChangeView.of(gene=gene, view="delta"))
    work.do(
        {
            "hidden": ShowRuns(kind="perturbation", ids=()),
            "discarded": Discard(id="run-1"),
            "closed": CloseSections(labels=(entry.run.snapshots[0].label,)),
        }[last]
    )
    assert (session.state.view.view, session.state.view.gene) == ("measured", gene)
    if last == "discarded":
        work.undo()
        assert session.state.view.view == "delta"
