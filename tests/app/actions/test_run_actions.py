"""Runs are added, kept, discarded, named and looked at; none drops another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from app_stubs import entry_of, own_keys

from napari_gest.app.actions import (
    AddRun,
    ChangeView,
    CloseSections,
    Discard,
    Keep,
    RenameRun,
    ShowRuns,
    UpdateRun,
)
from napari_gest.errors import InputError

ONE, TWO = "section_1", "section_2"


@pytest.fixture
def add(work):
    """Adds a stub run."""

    def add(id: str, labels=None, **fields):
        entry = entry_of(work.session.state, id, labels, **fields)
        work.do(AddRun.of(entry))
        return entry

    return add


def ids(entries) -> list[str]:
    return [entry.id for entry in entries]


def test_a_new_run_is_looked_at_and_never_drops_an_old_one(work, add):
    add("run-1")
    add("run-2")
    add("run-3", kind="niches")
    state = work.session.state
    assert ids(state.runs) == ["run-1", "run-2", "run-3"]
    assert state.shown_run("generation").id == "run-2"
    assert state.shown_run("niches").id == "run-3"
    assert not any(entry.discarded for entry in state.runs)


def test_names_are_unique(work, add):
    for number in range(1, 4):
        add(f"run-{number}")
    assert [e.name for e in work.session.state.runs] == ["a run", "a run (2)", "a run (3)"]


def test_a_run_of_a_closed_section_is_not_added(work):
    entry = entry_of(work.session.state, "run-1", [ONE, TWO])
    work.do(CloseSections(labels=(TWO,)))
    work.do(AddRun.of(entry))
    work.do(AddRun(id="run-2"))  # a line of a journal, without what it is about
    assert work.session.state.runs == ()


def test_another_outcome_takes_the_place_of_one(work, add):
    entry = add("run-1")
    other = replace(entry.outcome, agreement_text="better")
    work.do(UpdateRun(id="run-1", outcome=other))
    work.do(UpdateRun(id="gone", outcome=other))
    assert not work.session.state.entry("run-1").partial
    work.do(UpdateRun(id="run-1", outcome=other, partial=True))
    assert work.session.state.entry("run-1").partial
    assert work.session.state.entry("run-1").outcome is other
    assert work.undoes is None


def test_to_keep_writes_and_can_be_undone(work, add, tissue):
    add("run-1")
    work.do(Keep(id="run-1"))
    assert own_keys(tissue) == {"gest_stub_run-1"}
    work.undo()
    assert work.session.state.kept == ()
    assert own_keys(tissue) == set()


def test_what_is_undone_goes_back_to_its_place(work, add):
    for id in ("run-1", "run-2", "run-3"):
        add(id)
    for id in ("run-1", "run-2"):
        work.do(Keep(id=id))
    work.do(Discard(id="run-1"))
    work.do(Keep(id="run-3"))
    assert work.session.state.kept == ("run-2", "run-3")
    work.undo()
    work.undo()
    assert work.session.state.kept == ("run-1", "run-2")


def test_a_run_whose_section_was_closed_cannot_be_kept(work, add):
    entry = add("run-1")
    work.do(CloseSections(labels=(ONE,)))
    with pytest.raises(InputError, match="was closed"):
        Keep(id="run-1").apply(replace(work.session.state, runs=(entry,)))


@dataclass(frozen=True, eq=False)
class Cuts:
    """An outcome of which one of several cuts is kept."""

    kept_cut: str | None = None

    def kept(self) -> Cuts:
        return Cuts("this one")

    def kept_as(self, other: Cuts) -> Cuts:
        return Cuts(other.kept_cut)

    def results(self, state) -> list:
        return []


def test_what_is_kept_of_an_outcome_is_noted_in_it(work, add):
    add("run-1")
    work.do(UpdateRun(id="run-1", outcome=Cuts()))
    work.do(Keep(id="run-1"))
    assert work.session.state.entry("run-1").outcome.kept_cut == "this one"
    work.undo()
    assert work.session.state.entry("run-1").outcome.kept_cut is None


def test_to_discard_shows_the_run_before(work, add, tissue):
    add("run-1")
    add("run-2")
    work.do(ChangeView.of(gene=work.session.state.opened.section.genes[0], view="difference"))
    work.do(Keep(id="run-2"))
    before = work.session.state
    work.do(Discard(id="run-2"))
    state = work.session.state
    assert state.kept == ()
    assert own_keys(tissue) == set()
    assert state.shown_run("generation").id == "run-1"
    assert state.view.view == "difference"
    work.do(Discard(id="run-1"))
    assert work.session.state.shown_run("generation") is None
    assert work.session.state.view.view == "measured"  # there is nothing to compare with
    work.undo()
    assert work.session.state.view.view == "difference"
    work.undo()
    assert work.session.state.kept == before.kept
    assert work.session.state.shown == before.shown
    assert own_keys(tissue) == {"gest_stub_run-2"}


def test_a_run_that_comes_back_shows_none_that_went_meanwhile(work, add):
    add("run-1", [ONE], kind="perturbation")
    add("run-2", [TWO], kind="perturbation")
    work.do(ShowRuns(kind="perturbation", ids=("run-2", "run-1")))
    work.do(Discard(id="run-1"))
    work.do(CloseSections(labels=(TWO,)))
    work.undo()
    assert work.session.state.shown["perturbation"] == ("run-1",)


def test_names_are_given_and_taken_back(work, add):
    add("run-1")
    add("run-2")
    work.do(RenameRun(id="run-1", name="  mine "))
    assert work.session.state.entry("run-1").name == "mine"
    for name in ("mine", "", "  "):
        with pytest.raises(InputError):
            work.do(RenameRun(id="run-2", name=name))
    work.undo()
    assert work.session.state.entry("run-1").name == "a run"


@pytest.mark.parametrize("action", [RenameRun(id="run-1", name="mine"), Discard(id="run-1")])
def test_a_name_that_was_taken_meanwhile_gets_a_number(work, add, action):
    add("run-1")
    work.do(action)
    add("run-2")  # under the name that is free now
    work.undo()
    assert [e.name for e in work.session.state.runs] == ["a run (2)", "a run"]


def test_only_runs_on_the_list_are_looked_at(work, add):
    add("run-1")
    add("run-2")
    work.do(Discard(id="run-1"))
    work.do(ShowRuns(kind="generation", ids=("gone", "run-1", "run-2")))
    assert work.session.state.shown["generation"] == ("run-2",)
    work.do(ShowRuns(kind="generation", ids=()))
    assert work.session.state.shown_run("generation") is None


def test_undo_of_what_is_gone_changes_nothing(work, add):
    add("run-1")
    state = work.session.state
    actions = [Keep(id="run-1"), Discard(id="run-1"), RenameRun(id="run-1", name="mine")]
    reverts = [action.revert(state) for action in actions]
    work.do(CloseSections(labels=(ONE,)))
    now = work.session.state
    assert all(revert(now) is now for revert in reverts)
