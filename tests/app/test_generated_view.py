"""What each view shows of generated cells, and what it is called. No Qt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_gest import keys
from napari_gest.app import generated_view
from napari_gest.app.colors import Categories
from napari_gest.app.generated_view import (
    caption,
    described,
    generated_names,
    generated_values,
    shown_kind,
    shown_view,
)
from napari_gest.app.opened import Normalization, Snapshot
from napari_gest.app.preview import Preview
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.view_state import ViewState
from napari_gest.tasks.generation.generated import Generated, Painted

SPACE = Normalization()


@pytest.fixture
def result(opened) -> Generated:
    """Three cells that were drawn."""
    section = opened.section
    shape = (3, len(section.genes))
    return Generated(
        section,
        section.rows[:3],
        np.arange(3),
        section.coords_um[:3],
        np.ones(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(3, np.float32),
        np.zeros(3, np.int32),
        np.zeros(3, np.float32),
        section.genes,
        {"mode": "sample"},
        donor=np.array([10, 11, 12]),
        expected=np.full(shape, 0.5, np.float32),
        candidates=np.array([[10, 10, 10, 20], [20, 20, 21, 11], [30, 30, 30, 30]]),
    )


@pytest.fixture
def kinds(opened) -> None:
    """Cells 10 to 12 are a, b and c; 20 is b, 21 is a, and 30 has no name."""
    names = np.full(opened.adata.n_obs, "d", object)
    for cell, name in {10: "a", 11: "b", 12: "c", 20: "b", 21: "a", 30: None}.items():
        names[opened.section.rows[cell]] = name
    opened.adata.obs["kind"] = pd.Categorical(names)


def shown(result: Generated, number: int = 1, of: int = 1) -> GeneratedCells:
    return GeneratedCells.showing(Snapshot("a", result.section), result, number, of)


def test_names_are_those_of_donors_with_their_share(opened, result, kinds):
    view = ViewState(column="kind", view="generated")
    named, share = generated_names(view, shown(result), opened, SPACE)
    assert [named.names[code] for code in named.codes] == ["a", "b", "c"]
    np.testing.assert_allclose(share, [0.75, 0.75, np.nan])  # of the last nothing has a name
    expected = ViewState(column="kind", view="expected")
    named, share = generated_names(expected, shown(result), opened, SPACE)
    assert named.codes[2] == -1
    likeliest = replace(result, candidates=np.array([[20, 20, 10, 30]] * 3))
    named, share = generated_names(expected, shown(likeliest), opened, SPACE)
    assert {named.names[code] for code in named.codes} == {"b"}
    np.testing.assert_allclose(share, 2 / 3)


def test_names_without_candidates_come_without_a_share(opened, result, kinds):
    view = ViewState(column="kind", view="generated")
    of_file = shown(replace(result, candidates=None))
    named, share = generated_names(view, of_file, opened, SPACE)
    assert [named.names[code] for code in named.codes] == ["a", "b", "c"]
    assert np.isnan(share).all()
    bare = shown(replace(result, donor=None, candidates=None))
    assert generated_names(view, bare, opened, SPACE) is None
    assert generated_names(ViewState(gene="g"), shown(result), opened, SPACE) is None


def test_labels_that_are_not_kept_name_cells_too(opened, result):
    codes = np.zeros(opened.section.n_obs, np.int64)
    codes[[10, 20]] = 1
    named = Categories(("x", "y"), np.eye(4, dtype=np.float32)[:2], codes)
    preview = Preview("labels", {opened.section: named})
    view = ViewState(of_run=("run-1", "label"), view="generated")
    made, share = generated_names(view, shown(result), opened, SPACE, preview)
    np.testing.assert_array_equal(made.codes, [1, 0, 0])
    np.testing.assert_allclose(share, [1.0, 0.5, 1.0])
    cells = shown(result)
    own = Categories(("x", "y"), named.colors, np.array([1, 1, 1]))
    compared = Preview("niches", {opened.section: named}, {cells.result: own})
    assert generated_names(view, cells, opened, SPACE, compared)[0] is own


def test_niches_that_were_written_for_generated_cells_are_theirs(opened, result):
    names = np.full(opened.adata.n_obs, "1", object)
    opened.adata.obs[keys.NICHE] = pd.Categorical(names, categories=["1", "2"])
    view = ViewState(column=keys.NICHE, view="generated")
    assert set(generated_names(view, shown(result), opened, SPACE)[0].codes) == {0}
    own = np.full(opened.adata.n_obs, None, object)
    own[opened.section.rows[:3]] = "2"
    opened.adata.obs[keys.GENERATED_NICHE] = pd.Categorical(own)
    assert set(generated_names(view, shown(result), opened, SPACE)[0].codes) == {1}


def test_a_view_that_a_run_lacks_shows_what_it_has(opened, result):
    both, mean = shown(result), shown(replace(result, settings={"mode": "weighted"}))
    drawn = shown(replace(result, expected=None))
    assert [shown_view(v, both) for v in ("generated", "expected")] == ["generated", "expected"]
    assert [shown_view(v, mean) for v in ("generated", "expected")] == ["expected", "expected"]
    assert [shown_view(v, drawn) for v in ("generated", "expected")] == ["generated", "generated"]
    gene = opened.section.genes[0]
    for view, value in (("generated", 1.0), ("expected", 0.5)):
        values = generated_values(ViewState(gene=gene, view=view), both, opened, SPACE)
        np.testing.assert_array_equal(values, value)


def test_what_is_seen_is_said(result):
    second = shown(result, 2, 3)
    assert described("generated", second) == "typical (draw 2 of 3)"
    assert described("generated", shown(result)) == "typical"
    assert caption("generated", second) == "generated: draw 2"
    for view in ("expected", "uncertainty", "difference"):
        assert described(view, second) == view
        assert caption(view, second) == f"generated: {view}"


def test_cells_that_fill_in_are_called_expected_until_they_are_drawn(opened):
    unseen = np.zeros(opened.section.n_obs, bool)
    unseen[:2] = True
    made = GeneratedCells(Snapshot("a", opened.section), opened.section.genes, unseen, draws=True)
    values = np.ones((1, len(made.genes)), np.float32)
    one = np.zeros(1, np.int64)

    def painted(cell: int, drawn: bool) -> Painted:
        number = values * (2 if drawn else 1)
        return Painted(np.array([cell]), number, values, one, one, drawn)

    made.fill(painted(0, drawn=False))
    assert caption("generated", made) == "generated: expected"
    np.testing.assert_array_equal(made.expression[0], made.expected[0])
    assert np.isnan(made.expected[1]).all()
    made.fill(painted(1, drawn=False))
    made.fill(painted(0, drawn=True))
    assert caption("generated", made) == "generated: draw 1"
    np.testing.assert_array_equal(made.expression[:, 0], [2, 1])  # the other is still to come
    np.testing.assert_array_equal(made.expected[:, 0], [1, 1])


def test_a_niche_is_of_a_place_and_not_of_a_donor(opened, result):
    names = np.full(opened.adata.n_obs, "1", object)
    names[opened.section.rows[10]] = "2"  # the donor of one cell, and of none of the others
    opened.adata.obs[keys.NICHE] = pd.Categorical(names, categories=["1", "2"])
    for view in ("generated", "expected"):
        seen = ViewState(column=keys.NICHE, view=view)
        for candidates in (result.candidates, None):
            made = shown(replace(result, candidates=candidates))
            named, share = generated_names(seen, made, opened, SPACE)
            assert set(named.codes) == {0}
            assert len(set(share)) == 1
            assert 0.5 < share[0] < 1


def test_means_have_the_likeliest_name_of_their_donors(opened, result, kinds):
    means = replace(result, donor=None, settings={"mode": "weighted"})
    made = GeneratedCells.showing(Snapshot(opened.label, opened.section), means)
    named, share = generated_names(ViewState(column="kind"), made, opened, SPACE)
    assert [named.names[code] if code >= 0 else None for code in named.codes] == ["a", "b", None]
    np.testing.assert_allclose(share, [0.75, 0.75, np.nan])


def test_a_region_is_of_places_and_a_type_is_of_cells(opened, result):
    section = opened.section
    x = section.coords_um[:, 0]
    places = {"region": x > np.median(x), "kind": np.random.default_rng(0).random(len(x)) > 0.5}
    for column, codes in places.items():
        names = np.full(opened.adata.n_obs, "a", object)
        names[section.rows[codes]] = "b"
        opened.adata.obs[column] = pd.Categorical(names)
    assert opened.are_of_places(places["region"].astype(np.int64))
    assert not opened.are_of_places(places["kind"].astype(np.int64))
    assert not opened.are_of_places(np.full(len(x), -1))
    made = shown(result)
    for column, kind in (("region", "places"), ("kind", "cells")):
        view = ViewState(column=column, view="generated")
        assert shown_kind(view, made, opened, SPACE) == kind
        named, share = generated_names(view, made, opened, SPACE)
        donors = places[column][result.donor].astype(np.int64)
        if kind == "cells":
            np.testing.assert_array_equal(named.codes, donors)
        else:  # these three are near each other
            assert len(set(named.codes)) == len(set(share)) == 1
    assert caption("generated", made, "places") == "generated: likeliest name"
    assert described("expected", made, "places") == "likeliest name"


def test_what_is_not_known_of_generated_cells_is_said(opened, result):
    numbers = Preview("confidence", {opened.section: np.zeros(opened.section.n_obs, np.float32)})
    view = ViewState(of_run=("run-1", "confidence"), view="generated")
    made = shown(result)
    assert shown_kind(view, made, opened, SPACE, numbers) == "nothing"
    assert caption("generated", made, "nothing") == "generated: not known"
    known = Preview("x", numbers.sections, {made.result: np.zeros(3, np.float32)})
    assert shown_kind(view, made, opened, SPACE, known) == "cells"
    assert shown_kind(ViewState(gene="g", view="generated"), made, opened, SPACE) == "cells"


def test_names_of_places_are_counted_among_all_donors_around(opened, result, kinds, monkeypatch):
    monkeypatch.setattr(type(opened), "are_of_places", lambda self, codes: True)
    monkeypatch.setattr(generated_view, "_AT_ONCE", 1)  # cell after cell
    view, made = ViewState(column="kind", view="expected"), shown(result)
    named, share = generated_names(view, made, opened, SPACE)
    # All three are around each: four of eight donors with a name are "a".
    assert [named.names[code] for code in named.codes] == ["a", "a", "a"]
    np.testing.assert_allclose(share, 4 / 8)
    monkeypatch.setattr(generated_view, "_near", None)  # nothing is counted again
    again, _ = generated_names(view, made, opened, SPACE)
    np.testing.assert_array_equal(again.codes, named.codes)


def test_names_of_places_follow_a_column_that_changes(opened, result, kinds, monkeypatch):
    monkeypatch.setattr(type(opened), "are_of_places", lambda self, codes: True)
    view, made = ViewState(column="kind", view="expected"), shown(result)
    generated_names(view, made, opened, SPACE)
    opened.adata.obs["kind"] = pd.Categorical(np.full(opened.adata.n_obs, "d", object))
    opened.forget_names()
    named, share = generated_names(view, made, opened, SPACE)
    assert [named.names[code] for code in named.codes] == ["d", "d", "d"]
    np.testing.assert_allclose(share, 1)
