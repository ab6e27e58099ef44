"""A perturbation to come: its title, what is refused, and as a scenario. No Qt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.regions import Stroke
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.perturbation import READOUTS, PerturbationRun
from napari_gest.app.scenarios import read_scenario
from napari_gest.app.state import EditChoices, Label, State
from napari_gest.errors import InputError
from napari_gest.tissue.edits import Edit


def _disc(at: float, section: str) -> Stroke:
    return Stroke.of(section, "add", shapely.Point(at, at).buffer(1.0))


def test_titles_say_what_is_edited(plan):
    gene = plan.edits[0].gene
    assert plan.title == f"{gene} × 2"
    assert replace(plan, strength=0.5).title == f"{gene} × 2 at 0.5"
    off = (Edit("A", "knockout"), Edit("B", "shift", -1.0), Edit("C", "set", 3.0))
    assert replace(plan, edits=off).title == "A off, B -1 + 1 more"
    only = Label("cell_type", "type 1")
    assert replace(plan, edits=(), remove=True, only=only).title == "cells removed in type 1"
    assert replace(plan, become=only).title == "become type 1"


def test_what_cannot_run_is_refused_before_the_model_is_loaded(plan):
    plan.check()
    with pytest.raises(InputError, match="no edit"):
        replace(plan, edits=()).check()
    replace(plan, edits=(), remove=True).check()
    away = _disc(-1e5, plan.snapshot.label)
    with pytest.raises(InputError, match="no cell"):
        replace(plan, strokes=(away,)).check()
    with pytest.raises(InputError, match="no region"):
        replace(plan, strokes=()).check()


def test_a_plan_is_a_scenario(plan, tmp_path):
    from napari_gest.tasks.perturbation.scenario import Scenario

    plan = replace(plan, strength=0.5, seed=3, only=Label("cell_type", "type 1"))
    plan.scenario("mine", 20).write(tmp_path / "mine")
    read = Scenario.read(tmp_path / "mine")
    assert read.edits == plan.edits
    assert read.settings.name == "mine"
    assert read.settings.only.values == ("type 1",)
    assert (read.settings.strength, read.settings.seed) == (0.5, 3)
    np.testing.assert_array_equal(read.cells(plan.snapshot.section), plan.inside)


def _state(opened, **given) -> State:
    return State(sections={opened.label: opened}, active=opened.label, **given)


def test_a_run_takes_what_is_drawn_and_chosen(plan, opened, model_info):
    edits = EditChoices(plan.edits, only=Label("cell_type", "type 1"), strength=0.5)
    elsewhere = _disc(0.0, "another section")
    state = _state(opened, strokes=(*plan.strokes, elsewhere), edits=edits)
    run = PerturbationRun.of(state, model_info)
    assert (run.strokes, run.edits, run.strength) == (plan.strokes, plan.edits, 0.5)
    assert run.readout == next(iter(READOUTS))
    np.testing.assert_array_equal(run.inside, plan.inside)
    assert run.mask(run.only).sum() == (opened.obs_values("cell_type") == "type 1").sum()


def test_a_run_is_stale_once_its_region_is_changed_until_that_is_undone(plan, opened):
    entry = RunEntry("run-1", "mine", plan, None)
    state = _state(opened, strokes=plan.strokes)
    assert why_stale(entry, state) is None
    more = replace(state, strokes=(*plan.strokes, _disc(0.0, opened.label)))
    assert "region" in why_stale(entry, more)
    elsewhere = replace(state, strokes=(*plan.strokes, _disc(0.0, "another section")))
    assert why_stale(entry, elsewhere) is None
    assert "closed" in why_stale(entry, replace(state, sections={}))


@pytest.fixture
def registry(model_info, monkeypatch, tmp_path) -> ModelRegistry:
    from napari_gest.app import model_registry

    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "none")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "none")
    return ModelRegistry()


def test_a_scenario_is_read_as_what_can_be_chosen(plan, opened, registry, tmp_path):
    become = Label("cell_type", "type 1")
    plan = replace(plan, become=become, strength=0.5, seed=3, readout="Generated again")
    plan.scenario("mine", 20).write(tmp_path / "mine")
    read = read_scenario(tmp_path / "mine", opened, registry)
    wanted = EditChoices(plan.edits, None, become, False, 0.5, "Generated again")
    assert (read.name, read.edits, read.seed) == ("mine", wanted, 3)
    assert read.model in registry.models
    np.testing.assert_array_equal(read.roi.contains(opened.section.coords_um), plan.inside)


def test_a_scenario_that_cannot_be_chosen_is_refused(plan, opened, registry, tmp_path):
    foreign = replace(plan, only=Label("cell_type", "no such type"))
    foreign.scenario("foreign", 20).write(tmp_path / "foreign")
    with pytest.raises(InputError, match="no such type"):
        read_scenario(tmp_path / "foreign", opened, registry)
    other = plan.scenario("other", 20)
    other = replace(other, settings=other.settings.model_copy(update={"passes": 2}))
    other.write(tmp_path / "other")
    with pytest.raises(InputError, match="settings that this step does not have"):
        read_scenario(tmp_path / "other", opened, registry)
    assert not registry.models  # a model is added only by a scenario that can run
