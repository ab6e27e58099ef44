"""Random actions, undone and done again, leave a session whole.

500 steps in the suite, the same each time; others, and as many as wanted, with ``GEST_APP_STEPS``
(see "How to fuzz" in CONTRIBUTING.md).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import shapely
from app_stubs import entry_of, own_keys, shape
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from napari_gest.app.actions import (
    Action,
    Activate,
    AddRun,
    ChangeView,
    Choose,
    CloseSections,
    Discard,
    Keep,
    OpenSections,
    RenameRun,
    SetEdits,
    SetShapes,
    SetStrokes,
    ShowDraw,
    ShowRuns,
    UpdateRun,
)
from napari_gest.app.journal import Journal
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Stroke
from napari_gest.app.session import Session
from napari_gest.app.state import EditChoices, State
from napari_gest.errors import InputError
from napari_gest.tissue.simulate import simulate

STEPS, IN_A_SESSION = int(os.environ.get("GEST_APP_STEPS", "500")), 50
FIELDS = frozenset(field.name for field in fields(State))
KINDS = ("generation", "perturbation", "niches", "labels")
UNDOABLE = (SetShapes, SetStrokes, SetEdits, Keep, Discard, RenameRun, ShowDraw)
TISSUE = simulate(n_cells=60, n_genes=6, n_sections=2, seed=1)
GENES = tuple(TISSUE.var_names)

places = st.integers(0, 3)
roles = st.sampled_from(["unseen", "named", "edited"])
corners = st.lists(st.tuples(places, st.integers(0, 5)), max_size=3)


def undoable(state: State) -> dict[str, object]:
    """Return what only actions that can be undone change, besides opening and closing."""
    return {
        "shapes": state.shapes,
        "strokes": state.strokes,
        "edits": state.edits,
        "kept": state.kept,
        "discarded": {entry.id for entry in state.runs if entry.discarded},
        "names": {entry.id: entry.name for entry in state.runs},
        "draws": {entry.id: entry.outcome.number for entry in state.runs},
    }


class AppMachine(RuleBasedStateMachine):
    """One session, driven by actions alone."""

    @initialize()
    def start(self) -> None:
        self.files = [TISSUE.copy(), TISSUE.copy()]
        self.left: list[set[str]] = [set(), set()]
        self.journal = Journal(Session())
        self.names: dict[str, str] = {}
        self.heard: list[frozenset[str]] = []
        self.journal.session.changed.connect(self._hear)

    def _hear(self, changed: frozenset[str]) -> None:
        self.heard.append(changed)

    @property
    def state(self) -> State:
        return self.journal.session.state

    def label(self, place: int) -> str:
        """Return the label of a section; sometimes of one that is not open."""
        labels = [*self.state.sections, "closed"]
        return labels[place % len(labels)]

    def keys(self) -> list[set[str]]:
        return [own_keys(adata) for adata in self.files]

    def told(self, change: Callable[[], object]) -> None:
        """Change something, and check that it is told of once, with what it changed."""
        before, keys = self.state, self.keys()
        self.heard.clear()
        change()
        fields_changed = self.state.changed_fields(before)
        if self.state == before:
            assert self.heard == []
            assert self.keys() == keys
            return
        (changed,) = self.heard
        assert changed & FIELDS == fields_changed
        after = self.keys()
        written = changed - FIELDS
        assert set().union(*(a ^ b for a, b in zip(keys, after, strict=True))) <= written
        assert written <= set().union(*keys, *after)

    def do(self, action: Action) -> None:
        """Do an action; where it can be undone, do so at once, and do it again."""
        before, keys = self.state, self.keys()
        try:
            self.told(lambda: self.journal.do(action))
        except InputError:
            assert self.state is before
            assert self.keys() == keys
            assert self.heard == []
            return
        if self.state == before or not isinstance(action, UNDOABLE):
            return
        after, keys_after = undoable(self.state), self.keys()
        self.told(self.journal.undo)
        assert undoable(self.state) == undoable(before)
        assert self.keys() == keys
        self.told(self.journal.redo)
        assert undoable(self.state) == after
        assert self.keys() == keys_after

    # What a user does.

    @rule(file=st.integers(0, 1), names=st.sampled_from([None, [0], [1]]))
    def open(self, file: int, names: list[int] | None) -> None:
        adata = self.files[file]
        if len(self.state.sections) < 6:
            opened = open_sections(adata)
            opened = opened if names is None else [opened[n] for n in names]
            self.do(OpenSections.of(opened, self.state))

    @rule(chosen=st.sets(places, min_size=1, max_size=2))
    def close(self, chosen: set[int]) -> None:
        self.do(CloseSections(labels=tuple(self.label(place) for place in chosen)))

    @rule(place=places)
    def activate(self, place: int) -> None:
        self.do(Activate(label=self.label(place)))

    @rule(role=roles, drawn=corners)
    def draw(self, role: str, drawn: list[tuple[int, int]]) -> None:
        shapes = tuple(shape(self.label(place), role, float(at)) for place, at in drawn)
        self.do(SetShapes(role=role, shapes=shapes))

    @rule(painted=corners, clear=st.booleans())
    def paint(self, painted: list[tuple[int, int]], clear: bool) -> None:
        strokes = tuple(
            Stroke(section=self.label(place), mode="add", wkt=shapely.Point(at, 0).buffer(1).wkt)
            for place, at in painted
        )
        self.do(SetStrokes(strokes=strokes, clear_shapes=clear))

    @rule(strength=st.sampled_from([0.5, 1.0, 2.0]), remove=st.booleans())
    def edit(self, strength: float, remove: bool) -> None:
        self.do(SetEdits(edits=EditChoices(strength=strength, remove=remove)))

    @rule(
        changes=st.fixed_dictionaries(
            {},
            optional={
                "seed": st.integers(0, 2),
                "mode": st.sampled_from(["weighted", "pick", "sample"]),
                "mask_key": st.sampled_from([None, "region", "absent"]),
                "model": st.sampled_from([None, "m"]),
            },
        )
    )
    def choose(self, changes: dict[str, object]) -> None:
        self.do(Choose.of(**changes))

    @rule(
        changes=st.fixed_dictionaries(
            {},
            optional={
                "gene": st.sampled_from([None, *GENES]),
                "column": st.sampled_from([None, "cell_type", "absent"]),
                "view": st.sampled_from(
                    ["measured", "generated", "expected", "difference", "delta"]
                ),
                "hidden": st.frozensets(st.sampled_from("ab")),
            },
        )
    )
    def look(self, changes: dict[str, object]) -> None:
        self.do(ChangeView.of(**changes))

    @precondition(lambda self: self.state.sections)
    @rule(
        kind=st.sampled_from(KINDS),
        chosen=st.sets(places, min_size=1, max_size=2),
        fails=st.sampled_from([False, False, False, True]),
        name=st.sampled_from(["a run", "another"]),
    )
    def run(self, kind: str, chosen: set[int], fails: bool, name: str) -> None:
        labels = [self.label(place) for place in chosen]
        labels = [label for label in dict.fromkeys(labels) if label in self.state.sections]
        if labels:
            id = self.journal.session.next_id()
            fails_on = labels[-1:] if fails else ()
            entry = entry_of(self.state, id, labels, kind, name=name, fails_on=fails_on)
            self.names[id] = name
            self.do(AddRun.of(entry))

    def chosen(self, number: int) -> str:
        entries = list(self.state.listed())
        return entries[number % len(entries)].id

    @precondition(lambda self: any(True for _ in self.state.listed()))
    @rule(number=st.integers(0, 5))
    def keep(self, number: int) -> None:
        self.do(Keep(id=self.chosen(number)))

    @precondition(lambda self: any(True for _ in self.state.listed()))
    @rule(number=st.integers(0, 5))
    def discard(self, number: int) -> None:
        self.do(Discard(id=self.chosen(number)))

    @precondition(lambda self: any(True for _ in self.state.listed()))
    @rule(number=st.integers(0, 5), name=st.sampled_from(["a run", "mine", "a run (2)", " "]))
    def rename(self, number: int, name: str) -> None:
        self.do(RenameRun(id=self.chosen(number), name=name))

    @precondition(lambda self: any(True for _ in self.state.listed()))
    @rule(number=st.integers(0, 5))
    def update(self, number: int) -> None:
        id = self.chosen(number)
        self.do(UpdateRun(id=id, outcome=self.state.entry(id).outcome))

    @precondition(lambda self: any(True for _ in self.state.listed()))
    @rule(number=st.integers(0, 5), draw=st.integers(0, 4), more=st.integers(0, 2))
    def draw_again(self, number: int, draw: int, more: int) -> None:
        self.do(ShowDraw(id=self.chosen(number), draw=draw, added=("a draw",) * more))

    @rule(kind=st.sampled_from(KINDS), numbers=st.lists(st.integers(0, 5), max_size=2))
    def show(self, kind: str, numbers: list[int]) -> None:
        ids = [entry.id for entry in self.state.runs]
        self.do(ShowRuns(kind=kind, ids=tuple(ids[n] for n in set(numbers) if n < len(ids))))

    @rule()
    def undo(self) -> None:
        self.again(self.journal.undo)

    @rule()
    def redo(self) -> None:
        self.again(self.journal.redo)

    def again(self, way: Callable[[], bool]) -> None:
        before, keys = self.state, self.keys()
        try:
            self.told(way)
        except InputError:  # what could be written once cannot be written again
            assert self.state is before
            assert self.keys() == keys

    # What holds whatever they do.

    @invariant()
    def the_section_in_use_is_open(self) -> None:
        assert (self.state.active is None) == (not self.state.sections)
        assert self.state.active in {None, *self.state.sections}

    @invariant()
    def regions_lie_on_open_sections(self) -> None:
        lying = {one.section for one in (*self.state.shapes, *self.state.strokes)}
        assert lying <= set(self.state.sections)

    @invariant()
    def no_id_and_no_name_is_there_twice(self) -> None:
        ids = Counter(entry.id for entry in self.state.runs)
        names = Counter(entry.name for entry in self.state.listed())
        assert all(n == 1 for n in (*ids.values(), *names.values()))

    @invariant()
    def a_draw_that_is_shown_is_there(self) -> None:
        for entry in self.state.runs:
            assert 1 <= entry.outcome.number <= entry.outcome.n_draws

    @invariant()
    def runs_belong_to_open_sections(self) -> None:
        for entry in self.state.runs:
            for snapshot in entry.run.snapshots:
                assert self.state.sections[snapshot.label].section is snapshot.section

    @invariant()
    def what_is_kept_and_shown_is_on_the_list(self) -> None:
        kinds = {entry.id: entry.kind for entry in self.state.listed()}
        assert len(set(self.state.kept)) == len(self.state.kept)
        assert set(self.state.kept) <= set(kinds)
        for kind, ids in self.state.shown.items():
            assert {kinds[id] for id in ids} <= {kind}

    @invariant()
    def every_open_file_holds_what_is_kept_and_nothing_else(self) -> None:
        sections = self.state.sections
        for number, adata in enumerate(self.files):
            if not any(opened.adata is adata for opened in sections.values()):
                self.left[number] = own_keys(adata)  # a file that was closed keeps what was kept
                continue
            wanted = set(self.left[number])
            for kept in self.state.kept:
                for snapshot in self.state.entry(kept).run.snapshots:
                    if sections[snapshot.label].adata is adata:
                        wanted.add(f"gest_stub_{kept}")
            assert own_keys(adata) == wanted

    @invariant()
    def results_are_those_of_what_is_kept(self) -> None:
        for label, opened in self.state.sections.items():
            on_it = [
                f"gest_stub_{id}"
                for id in self.state.kept
                if label in [s.label for s in self.state.entry(id).run.snapshots]
            ]
            assert [result.key for result in opened.results] == on_it

    @invariant()
    def measured_values_are_as_they_were(self) -> None:
        for adata in self.files:
            np.testing.assert_array_equal(adata.X.data, TISSUE.X.data)

    def teardown(self) -> None:
        """Undo everything: what was drawn, painted, edited and decided is as at first."""
        if not hasattr(self, "journal"):
            return
        while self.journal.undoes is not None:
            self.again(self.journal.undo)
            self.what_is_kept_and_shown_is_on_the_list()
            self.every_open_file_holds_what_is_kept_and_nothing_else()
        state = undoable(self.state)
        assert state["shapes"] == state["strokes"] == state["kept"] == ()
        assert state["edits"] == EditChoices()
        assert state["discarded"] == set()
        for id, name in state["names"].items():
            assert name.startswith(self.names[id])
        while self.journal.redoes is not None:
            before = self.state
            self.again(self.journal.redo)
            if self.state is before:  # what failed stays to be done
                break


def test_a_session_stays_whole_whatever_is_done() -> None:
    run_state_machine_as_test(
        AppMachine,
        settings=settings(
            max_examples=max(STEPS // IN_A_SESSION, 1),
            stateful_step_count=IN_A_SESSION,
            deadline=None,
            database=None,
            derandomize="GEST_APP_STEPS" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
