"""What is chosen for the next run, and the edits of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_gest.app.actions import ChangeView, Choose, SetEdits
from napari_gest.app.state import Choices, EditChoices, Label
from napari_gest.tissue.edits import Edit


def test_choices_change_one_by_one(work):
    work.do(Choose.of(seed=3, mode="sample"))
    work.do(Choose.of(mask_key="region"))
    assert work.session.state.choices == Choices(None, "sample", 3, "region")
    assert work.undoes is None


def test_limits_are_those_of_the_model(work):
    work.do(ChangeView.of(gene="g", value_limits=(0.0, 1.0)))
    work.do(Choose.of(seed=3))
    assert work.session.state.view.value_limits == (0.0, 1.0)
    work.do(Choose.of(model="m"))
    assert work.session.state.view.value_limits is None


def test_there_are_no_other_choices():
    with pytest.raises(ValidationError):
        Choose.of(color="red")
    with pytest.raises(ValidationError):
        Choose(changes={}, other=1)


def test_edits_are_taken_back_whole(work):
    edits = EditChoices(
        (Edit("g", "multiply", 2.0),), only=Label("region", "a"), become=None, strength=0.5
    )
    work.do(SetEdits(edits=edits))
    work.do(SetEdits(edits=EditChoices(remove=True)))
    assert work.undoes == "edits"
    work.undo()
    assert work.session.state.edits == edits
    work.undo()
    assert work.session.state.edits == EditChoices()


def test_lines_can_be_read_again():
    action = Choose.of(model="m", seed=2)
    assert Choose.model_validate_json(action.model_dump_json()) == action
    edits = SetEdits(
        edits=EditChoices((Edit("g", "set", 2.0),), only=Label("region", "a"), readout="x")
    )
    assert SetEdits.model_validate_json(edits.model_dump_json()) == edits
