"""What all actions have in common."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from napari_gest.app import actions
from napari_gest.app.actions import Action, Choose
from napari_gest.app.state import State

KINDS = [getattr(actions, name) for name in actions.__all__ if name != "Action"]


def test_each_has_a_name_of_its_own_in_the_journal():
    names = [get_args(kind.model_fields["do"].annotation)[0] for kind in KINDS]
    assert len(set(names)) == len(names) == len(KINDS)
    for kind, name in zip(KINDS, names, strict=True):
        assert kind.model_fields["do"].default == name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_frozen_and_says_what_it_does(kind):
    assert kind.model_config["frozen"]
    assert kind.model_config["extra"] == "forbid"
    assert kind.__doc__
    assert kind.apply is not Action.apply


def test_an_action_cannot_be_changed():
    action = Choose.of(seed=1)
    with pytest.raises(ValidationError):
        action.changes = {}


def test_by_itself_it_does_nothing_and_is_not_undone():
    action = Action(do="an_action")
    assert action.title == "an action"
    assert action.revert(State()) is None
    with pytest.raises(NotImplementedError):
        action.apply(State())
