"""What the canvas shows."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_gest.app.actions import ChangeView
from napari_gest.app.state import State


def test_a_new_source_takes_the_place_of_the_one_before():
    state = State()
    for source in ("gene", "column", "gene"):
        state = ChangeView.of(**{source: "x"}).apply(state)
        chosen = {name: getattr(state.view, name) for name in ("gene", "column")}
        assert [name for name, value in chosen.items() if value is not None] == [source]


def test_other_fields_leave_the_source():
    state = ChangeView.of(gene="x", view="difference").apply(State())
    state = ChangeView.of(hidden=["a"], difference_limits=(-1.0, 1.0)).apply(state)
    assert state.view.gene == "x"
    assert state.view.view == "difference"
    assert state.view.hidden == {"a"}


def test_effects_are_on_genes():
    state = ChangeView.of(gene="x", view="delta").apply(State())
    assert state.view.view == "delta"
    assert ChangeView.of(column="c").apply(state).view.view == "measured"
    generated = ChangeView.of(gene="x", view="generated").apply(State())
    assert ChangeView.of(column="c").apply(generated).view.view == "generated"


def test_a_view_has_no_other_fields():
    with pytest.raises(ValidationError, match="a ViewState has no colour, size"):
        ChangeView.of(size=1, colour="red")


def test_lines_can_be_read_again():
    action = ChangeView.of(gene="x", hidden={"b", "a"}, value_limits=(0.0, 2.0), band=(5, 9))
    again = ChangeView.model_validate_json(action.model_dump_json())
    assert again.apply(State()) == action.apply(State())
    assert again.changes["hidden"] == frozenset("ab")
