"""Shapes and strokes are drawn, moved and removed, each on the section it lies on."""

from __future__ import annotations

import pytest
import shapely
from app_stubs import shape

from napari_gest.app.actions import Activate, CloseSections, SetShapes, SetStrokes
from napari_gest.app.regions import Stroke

ONE, TWO = "section_1", "section_2"


def stroke(section: str, at: float = 0.0) -> Stroke:
    return Stroke(section=section, mode="add", wkt=shapely.Point(at, 0).buffer(1).wkt)


@pytest.mark.parametrize(
    ("role", "title"),
    [("unseen", "region"), ("named", "named regions"), ("edited", "region to edit")],
)
def test_the_section_drawn_on_is_in_use(work, role, title):
    work.do(SetShapes(role=role, shapes=(shape(TWO, role),)))
    assert work.session.state.active == TWO
    assert work.undoes == title
    work.do(SetShapes(role=role, shapes=(shape(TWO, role), shape(ONE, role))))
    assert work.session.state.active == ONE


def test_what_was_drawn_before_activates_nothing(work):
    work.do(SetShapes(role="unseen", shapes=(shape(ONE), shape(TWO))))
    work.do(Activate(label=ONE))
    work.do(SetShapes(role="unseen", shapes=(shape(TWO),)))  # one is removed
    assert work.session.state.active == ONE
    work.undo()
    assert work.session.state.active == ONE
    assert work.session.state.shapes == (shape(ONE), shape(TWO))


def test_roles_do_not_mix(work):
    named = shape(ONE, "named", name="a")
    work.do(SetShapes(role="named", shapes=(named,)))
    work.do(SetShapes(role="unseen", shapes=(shape(ONE), named)))  # of another role
    assert set(work.session.state.shapes) == {shape(ONE), named}
    work.do(SetShapes(role="unseen", shapes=()))
    assert work.session.state.shapes == (named,)


def test_the_same_shapes_are_the_same_whatever_was_drawn_first(work):
    unseen, named = shape(ONE), shape(ONE, "named")
    work.do(SetShapes(role="named", shapes=(named,)))
    work.do(SetShapes(role="unseen", shapes=(unseen,)))
    state = work.session.state
    work.do(SetShapes(role="named", shapes=(named,)))  # read from its layer once more
    assert work.session.state is state
    assert work.undoes == "region"


def test_shapes_and_strokes_of_closed_sections_do_not_come_back(work):
    work.do(SetShapes(role="unseen", shapes=(shape(ONE), shape(TWO))))
    work.do(SetStrokes(strokes=(stroke(ONE), stroke(TWO))))
    work.do(SetShapes(role="unseen", shapes=()))
    work.do(SetStrokes(strokes=()))
    work.do(CloseSections(labels=(TWO,)))
    work.undo()
    work.undo()
    assert work.session.state.shapes == (shape(ONE),)
    assert work.session.state.strokes == (stroke(ONE),)
    work.undo()
    work.redo()
    assert work.session.state.strokes == (stroke(ONE),)


def test_clearing_takes_strokes_and_shapes_to_edit_as_one_step(work):
    edited, unseen = shape(ONE, "edited"), shape(ONE)
    work.do(SetShapes(role="unseen", shapes=(unseen,)))
    work.do(SetShapes(role="edited", shapes=(edited,)))
    work.do(SetStrokes(strokes=(stroke(ONE), stroke(ONE, 3))))
    assert work.undoes == "brush"
    work.do(SetStrokes(strokes=(), clear_shapes=True))
    assert work.undoes == "clearing"
    assert (work.session.state.shapes, work.session.state.strokes) == ((unseen,), ())
    work.undo()
    assert work.session.state.region("edited") == (edited,)
    assert work.session.state.strokes == (stroke(ONE), stroke(ONE, 3))


def test_lines_can_be_read_again():
    for action in (
        SetShapes(role="named", shapes=(shape(ONE, "named", 0.1, "a"),)),
        SetStrokes(strokes=(stroke(ONE, 1 / 3),), clear_shapes=True),
    ):
        assert type(action).model_validate_json(action.model_dump_json()) == action
